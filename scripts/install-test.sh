#!/usr/bin/env bash
# Installs what the tests need beyond the build: two browsers, Node modules, a Python environment with aiortc, cargo-deny.
# Quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
scripts/install-build.sh

if have_apt; then
    debian_packages chromium coturn ffmpeg firefox-esr iproute2 iptables libssl-dev openssl procps python3-venv
    # A viewer on GStreamer, with Debian's own Python.
    debian_packages gir1.2-gst-plugins-bad-1.0 gstreamer1.0-libav gstreamer1.0-nice gstreamer1.0-plugins-bad \
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good python3-gi
    command -v node >/dev/null || debian_packages nodejs npm
fi
for tool in ffmpeg node npm python3; do
    if ! command -v "$tool" >/dev/null; then
        say "$tool is missing, the tests need it"
        exit 1
    fi
done

if [ ! -e tests/node_modules/.package-lock.json ] || [ tests/package-lock.json -nt tests/node_modules/.package-lock.json ]; then
    (cd tests && npm ci --no-audit --no-fund --loglevel=error)
    touch tests/node_modules/.package-lock.json
fi

if [ ! -e tests/.venv/installed ] || [ tests/aiortc/requirements.txt -nt tests/.venv/installed ]; then
    python3 -m venv tests/.venv
    tests/.venv/bin/pip install --quiet --requirement tests/aiortc/requirements.txt
    touch tests/.venv/installed
fi

# An unoptimised build checks the same licences and is ready in half the time.
if ! command -v cargo-deny >/dev/null; then
    say "installing cargo-deny"
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked cargo-deny
fi
