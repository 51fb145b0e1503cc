#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs each fuzz target for SECONDS_EACH seconds (20), from its seeds and the documents of the tests.
# What breaks a parser is kept in collector/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../collector"

# The address sanitizer is an option of nightly compilers; a stable one takes it this way.
export RUSTC_BOOTSTRAP=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

declare -A documents=(
    [configuration]=tests/config
    [kernel_text]=tests/kernels
    [pod_document]=tests/pods
)

cargo fuzz build
for target in $(cargo fuzz list); do
    mkdir -p "fuzz/corpus/$target"
    seeds=()
    for folder in "fuzz/seeds/$target" ${documents[$target]:-}; do
        [ ! -d "$folder" ] || seeds+=("$folder")
    done
    cargo fuzz run "$target" "fuzz/corpus/$target" "${seeds[@]}" -- \
        "-max_total_time=${SECONDS_EACH:-20}" -timeout=5 -rss_limit_mb=1024 >"$log" 2>&1 || {
        cat "$log"
        exit 1
    }
    echo "fuzz: $target: $(grep '^Done' "$log")"
done
