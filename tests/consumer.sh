#!/bin/sh
# Installs to a temporary prefix, and builds and runs tests/consumer against it by find_package and by
# pkg-config; by pkg-config it builds the examples, too.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
consumer=$CLFAVOR_SOURCE/tests/consumer

cmake --install "$CLFAVOR_BUILD" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix" # an installed tree can be moved
libdir=$(dirname "$(find "$work/prefix" -name 'libclfavor.*' | head -n 1)")
LD_LIBRARY_PATH=$libdir
export LD_LIBRARY_PATH

cmake -S "$consumer" -B "$work/build" -DCMAKE_C_COMPILER="$CC" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
"$work/build/consumer"

PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
static=
[ -e "$libdir/libclfavor.so" ] || static=--static
# shellcheck disable=SC2046,SC2086 # lists of flags
"$CC" $CFLAGS "$consumer/consumer.c" -o "$work/by-pkg-config" $(pkg-config --cflags --libs $static clfavor)
"$work/by-pkg-config"
for example in "$CLFAVOR_SOURCE"/examples/*.c; do
    # shellcheck disable=SC2046,SC2086 # lists of flags
    "$CC" $CFLAGS -Wall -Wextra -Werror "$example" -o "$work/example" \
        $(pkg-config --cflags --libs $static clfavor OpenCL) -lm
done

expected=$("$work/build/consumer")
[ "$expected" = "clfavor $(pkg-config --modversion clfavor): CLFAVOR_SUCCESS" ]
if [ -x "$work/prefix/bin/clfavor" ]; then
    "$work/prefix/bin/clfavor" --version
fi
