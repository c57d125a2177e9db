#!/usr/bin/env bash
# The tests of this directory, as root, for only root may make network namespaces.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/common.sh
if ! as_root ip netns list >/dev/null 2>&1; then
    say "this system has no network namespaces; the network tests need Linux, iproute2 and root"
    exit 1
fi
tests/media.sh
as_root python3 tests/network/test_network.py
as_root python3 tests/network/test_gstreamer.py
cd tests && as_root node --test network/narrow_link.test.mjs
