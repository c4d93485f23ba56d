#!/bin/sh
# W has the same bits whatever compiled the library and whichever variants of its functions the C library picks: builds
# tests/projection_digest.c in many ways and compares what it prints with tests/golden/projection_digest.txt.
set -eu
source=${CLFAVOR_SOURCE:-$(dirname "$0")/..}
golden=$source/tests/golden/projection_digest.txt
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

build() { # build COMPILER FLAGS...; contraction is off as in the library's own build
    "$@" -std=c11 -ffp-contract="${contract:-off}" -DCLFAVOR_STATIC -I"$source/include" -I"$source/src" \
        "$source/tests/projection_digest.c" "$source/src/projection.c" "$source/src/haar.c" \
        "$source/src/normal.c" "$source/src/detmath.c" -lm -o "$work/digest" 2>"$work/log"
}

compare() { # compare LABEL COMMAND...
    label=$1
    shift
    if "$@" >"$work/out" && cmp -s "$golden" "$work/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "differs: $label"
        diff "$golden" "$work/out" | head -n 4 || true
    fi
}

compilers=$(for c in "$cc" gcc clang; do path=$(command -v "$c") && readlink -f "$path"; done | sort -u)
for compiler in $compilers; do
    build "$compiler" -O0 || { cat "$work/log"; exit 1; }
    compare "$compiler -O0" "$work/digest"
    for flags in -O1 -Os -O2 "-O3 -march=native" "-O3 -funroll-loops" "-O2 -m32 -msse2 -mfpmath=sse"; do
        # shellcheck disable=SC2086 # the flags are words; those of another processor, or -m32, may not build here
        build "$compiler" $flags || { echo "skipped: $compiler $flags"; continue; }
        compare "$compiler $flags" "$work/digest"
    done
done

# glibc picks variants of its functions by processor; the second spelling is that of releases before 2.33.
build "$cc" -O2
for variants in -FMA,-FMA4,-AVX2 -FMA_Usable,-FMA4_Usable,-AVX2_Usable; do
    compare "GLIBC_TUNABLES $variants" env GLIBC_TUNABLES=glibc.cpu.hwcaps=$variants "$work/digest"
done

# The digest can differ: with contraction, which is what it is most likely to meet, every line does. (The few numbers of
# d = 1 may happen to agree.)
if grep -qw fma /proc/cpuinfo 2>/dev/null && command -v gcc >/dev/null; then
    contract=fast build gcc -O2 -mfma
    if "$work/digest" | grep -v " d=1 " | grep -qxFf "$golden"; then
        failed=$((failed + 1))
        echo "contraction left a line of the digest as it was"
    fi
fi

echo "$passed ways to build and run agree, $failed do not"
[ "$failed" -eq 0 ]
