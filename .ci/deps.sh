#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, and nothing else: `deps.sh build` what the build and the quick tests
# need, `deps.sh all` what the other suites need too. Says what it cannot do and who can.
set -euo pipefail

readonly RUST_MIN=1.95
readonly GO_MIN=1.25
readonly GO_VERSION=1.26.8
readonly CARGO_DENY=0.20.2
readonly CARGO_FUZZ=0.13.2
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/huatuo-otel"

fail() { echo "deps: $*" >&2; exit 1; }

# True where the first version is at least the second.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]; }

need_rust() {
    command -v cargo >/dev/null || fail "Rust is missing; install $RUST_MIN or later from https://rustup.rs"
    local version
    version=$(rustc --version | cut -d' ' -f2)
    at_least "$version" "$RUST_MIN" || fail "Rust $version is too old; run: rustup update stable"
}

# Pairs of `package:how to see that it is there`.
missing_packages() {
    local pair
    for pair in "$@"; do
        eval "${pair#*:}" >/dev/null 2>&1 || echo "${pair%%:*}"
    done
}

install_packages() {
    local missing
    missing=$(missing_packages "$@")
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || fail "install these by hand, this is no Debian or Ubuntu:" $missing
    [ "$(id -u)" = 0 ] || fail "run as root, or: sudo apt-get install" $missing
    echo "deps: installs" $missing
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Distributions have old Go versions; the module proxy has all of them.
install_go() {
    if command -v go >/dev/null && at_least "$(go env GOVERSION | sed 's/^go//')" "$GO_MIN"; then
        return
    fi
    [ -x "$CACHE/go/bin/go" ] && return
    local arch sum name
    case $(uname -m) in
        x86_64) arch=amd64 sum=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7 ;;
        aarch64) arch=arm64 sum=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99 ;;
        *) fail "install Go $GO_MIN or later by hand" ;;
    esac
    name="v0.0.1-go$GO_VERSION.linux-$arch"
    echo "deps: fetches Go $GO_VERSION"
    mkdir -p "$CACHE"
    curl -fsS -o "$CACHE/go.zip" "https://proxy.golang.org/golang.org/toolchain/@v/$name.zip"
    echo "$sum  $CACHE/go.zip" | sha256sum -c --quiet || fail "go.zip is not what it should be"
    rm -rf "$CACHE/go.new"
    unzip -q "$CACHE/go.zip" -d "$CACHE/go.new"
    mv "$CACHE/go.new/golang.org/toolchain@$name" "$CACHE/go"
    rm -rf "$CACHE/go.zip" "$CACHE/go.new"
    chmod +x "$CACHE"/go/bin/* "$CACHE"/go/pkg/tool/*/*
}

# A cargo command of this version, e.g. `deny 0.20.2`.
install_cargo_command() {
    cargo "$1" --version 2>/dev/null | grep -q " $2$" && return
    echo "deps: builds cargo-$1, once"
    cargo install --quiet --locked "cargo-$1@$2" || fail "cargo install cargo-$1 failed"
}

# libFuzzer is C++.
install_fuzz() {
    install_packages "g++:command -v c++"
    install_cargo_command fuzz "$CARGO_FUZZ"
}

readonly BUILD=(
    "gcc:command -v cc"
    "make:command -v make"
    "clang:command -v clang"
    "llvm:command -v llvm-strip"
    "libclang-dev:ls /usr/lib/llvm-*/lib/libclang.so /usr/lib/*/libclang*.so*"
    "libbpf-dev:test -e /usr/include/bpf/bpf_helpers.h"
    "ca-certificates:test -e /etc/ssl/certs/ca-certificates.crt"
)
readonly REST=(
    "curl:command -v curl"
    "unzip:command -v unzip"
    "git:command -v git"
    "prometheus:command -v promtool"
    "prometheus-node-exporter:command -v prometheus-node-exporter"
    "rt-tests:command -v hackbench"
    "linux-perf:command -v perf"
    "podman:command -v podman"
    "runc:command -v runc"
    "containerd:command -v ctr"
    "bpftool:command -v bpftool"
    "iproute2:command -v ip"
    "ibverbs-utils:command -v ibv_rc_pingpong"
    "ibverbs-providers:ls /usr/lib/*/libibverbs/librxe*"
    "dmsetup:command -v dmsetup"
    "e2fsprogs:command -v mkfs.ext4"
    "util-linux:command -v fsfreeze"
    "busybox-static:command -v busybox && busybox true"
    "qemu-system-x86:command -v qemu-system-x86_64"
    "debian-archive-keyring:test -e /usr/share/keyrings/debian-archive-keyring.gpg"
    "kmod:command -v depmod"
    "cpio:command -v cpio"
    "xz-utils:command -v xz"
    "zstd:command -v zstd"
)

case ${1:-all} in
    build)
        need_rust
        install_packages "${BUILD[@]}"
        ;;
    all)
        need_rust
        install_packages "${BUILD[@]}" "${REST[@]}"
        install_go
        install_cargo_command deny "$CARGO_DENY"
        install_fuzz
        ;;
    fuzz) install_fuzz ;;
    *) fail "usage: deps.sh build|fuzz|all" ;;
esac
