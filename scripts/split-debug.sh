#!/bin/sh
# Moves what only debuggers and backtraces read out of a program, into PROGRAM.debug beside it, where they find it.
set -eu
# Where programs are not ELF, the compiler keeps line tables apart already.
[ "$(uname)" = Linux ] || exit 0
program=$1
# Split before, and not built since: there is nothing to move.
if readelf --sections --wide "$program" | grep -q '\.debug_info'; then
    objcopy --only-keep-debug --compress-debug-sections=zlib "$program" "$program.debug"
    # A new file in the place of the old one: what cargo keeps of it stays whole, and a server that runs goes on.
    strip -o "$program.stripped" "$program"
    objcopy --add-gnu-debuglink="$program.debug" "$program.stripped"
    mv "$program.stripped" "$program"
fi
