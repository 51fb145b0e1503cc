#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Format, lints, licences, sources, generated files.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- -D warnings

# Each source file says its licence within its first lines.
git ls-files '*.rs' '*.c' '*.h' '*.toml' '*.yaml' '*.conf' '*.sh' '*.md' Makefile .ci \
    | while read -r file; do
        head -3 "$file" | grep -q 'SPDX-License-Identifier: ' || echo "$file has no SPDX line"
    done | { ! grep .; }

if ! cargo deny --version >/dev/null 2>&1; then
    echo "lint: cargo-deny is missing; run make deps" >&2
    exit 1
fi
cargo deny check licenses bans sources
# The database of advisories is a git repository on the internet, which not every machine reaches.
if cargo deny fetch db 2>/dev/null; then
    cargo deny check advisories
else
    echo "lint: the database of advisories cannot be reached from here; it was NOT checked" >&2
fi
