#!/bin/sh
# cmake/EmbedKernels.cmake: every byte arrives, and two files of the same name are refused.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/a" "$work/b"
printf 'x;[]"\\\000\377\n' >"$work/a/one.cl"
: >"$work/a/empty.cl"
printf 'y' >"$work/b/one.cl"

embed() {
    cmake "-DOUTPUT=$work/out.c" "-DFILES=$1" -P "$CLFAVOR_SOURCE/cmake/EmbedKernels.cmake"
}

embed "$work/a/empty.cl;$work/a/one.cl"
cat >"$work/main.c" <<'END'
#include <stdio.h>
#include "kernel_sources.h"
int main(void) {
    for (size_t i = 0; i < clfavor_kernel_source_count; ++i) {
        printf("%s %zu:", clfavor_kernel_sources[i].name, clfavor_kernel_sources[i].size);
        for (size_t j = 0; j < clfavor_kernel_sources[i].size; ++j)
            printf(" %02x", clfavor_kernel_sources[i].bytes[j]);
        printf("\n");
    }
}
END
"$CC" -I"$CLFAVOR_SOURCE/include" -I"$CLFAVOR_SOURCE/src" "$work/main.c" "$work/out.c" -o "$work/main"
"$work/main" >"$work/got"
printf 'empty.cl 0:\none.cl 9: 78 3b 5b 5d 22 5c 00 ff 0a\n' >"$work/expected"
diff "$work/expected" "$work/got"

if embed "$work/a/one.cl;$work/b/one.cl" 2>"$work/message"; then
    echo "two files named one.cl were accepted"
    exit 1
fi
grep -q 'two kernel files have the name one.cl' "$work/message"
