#!/bin/sh
# The C example of README.md compiles without a warning and runs.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```$/ {inside = 0} inside; /^```c$/ {inside = 1}' "$CLFAVOR_SOURCE/README.md" >"$work/example.c"
# shellcheck disable=SC2086 # a list of flags
"$CC" $CFLAGS -std=c11 -Wall -Wextra -Werror -I"$CLFAVOR_SOURCE/include" "$work/example.c" -o "$work/example" \
    "$CLFAVOR_LIB" -lOpenCL -lm -pthread
# The example is short because it leaves releasing to the end of the process.
ASAN_OPTIONS=detect_leaks=0 LD_LIBRARY_PATH=$(dirname "$CLFAVOR_LIB") "$work/example" >"$work/output"
grep -Eq '^o\[0\] = [0-9.]+, o\[last\] = [0-9.]+$' "$work/output" || {
    echo "the example printed: $(cat "$work/output")"
    exit 1
}
