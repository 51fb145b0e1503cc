#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the OpenTelemetry Collector of the tests with its own builder, once per manifest, outside
# the tree. Prints the path of the binary.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=v0.161.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/huatuo-otel"
binary="$cache/otelcol-$(sha256sum "$here/builder.yaml" | cut -c1-16)"
if [ ! -x "$binary" ]; then
    PATH="$cache/go/bin:$PATH"
    command -v go >/dev/null || { echo "build.sh: Go is missing; run make deps" >&2; exit 1; }
    work=$(mktemp -d "${TMPDIR:-/tmp}/otelcol.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    echo "builds the OpenTelemetry Collector, once; this takes some minutes" >&2
    export GOFLAGS="-buildvcs=false ${GOFLAGS:-}" CGO_ENABLED=0
    GOBIN="$work" go install "go.opentelemetry.io/collector/cmd/builder@$version" >&2
    sed "s|^dist:|dist:\n  output_path: $work/dist|" "$here/builder.yaml" >"$work/builder.yaml"
    "$work/builder" --config "$work/builder.yaml" >"$work/log" 2>&1 || {
        tail -20 "$work/log" >&2
        exit 1
    }
    mkdir -p "$cache"
    mv "$work/dist/otelcol" "$binary.new"
    mv "$binary.new" "$binary"
fi
echo "$binary"
