#!/usr/bin/env bash
# Installs what building and streaming need, if it is missing. Quick when nothing is.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

if have_apt; then
    debian_packages build-essential cmake ffmpeg libopus-dev libvpx-dev nasm pkg-config
else
    for tool in cc cmake nasm pkg-config; do
        command -v "$tool" >/dev/null || missing="${missing:-} $tool"
    done
    if command -v pkg-config >/dev/null; then
        for library in opus vpx; do
            pkg-config --exists "$library" || missing="${missing:-} lib$library"
        done
    fi
    if [ -n "${missing:-}" ]; then
        say "missing:$missing"
        say "hint: Fedora: sudo dnf install gcc gcc-c++ make cmake nasm pkgconf-pkg-config libvpx-devel opus-devel"
        say "hint: macOS:  brew install cmake nasm pkg-config libvpx opus ffmpeg"
        exit 1
    fi
fi

if ! command -v cargo >/dev/null; then
    say "cargo is missing: rtcast is written in Rust"
    say "hint: install Rust 1.95 or newer from https://rustup.rs, then run this again"
    exit 1
fi
