#!/bin/sh
# Installs the library, shared and static, and builds and runs tests/consumer against it in C and C++, by find_package
# and by pkg-config; by that the examples, too.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
consumer=$CLFAVOR_SOURCE/tests/consumer
case $CC in
*clang*) CXX=clang++ ;;
*) CXX=g++ ;;
esac
command -v $CXX >/dev/null || CXX=
# shellcheck disable=SC2153 # sanitizers, for both
CXXFLAGS=$CFLAGS
export CXX CXXFLAGS

# consume BUILD NAME
consume() {
    cmake --install "$1" --prefix "$work/before" >/dev/null
    mv "$work/before" "$work/$2" # an installed tree can be moved
    libdir=$(dirname "$(find "$work/$2" -name 'libclfavor.*' | head -n 1)")
    LD_LIBRARY_PATH=$libdir
    PKG_CONFIG_PATH=$libdir/pkgconfig
    export LD_LIBRARY_PATH PKG_CONFIG_PATH
    static=
    [ -e "$libdir/libclfavor.so" ] || static=--static
    flags="$CFLAGS -Wall -Wextra -Wpedantic -Werror"
    link=$(pkg-config --cflags --libs $static clfavor)

    cmake -S "$consumer" -B "$work/by-cmake" -DCMAKE_C_COMPILER="$CC" -DCMAKE_PREFIX_PATH="$work/$2" >/dev/null
    cmake --build "$work/by-cmake" >/dev/null
    # shellcheck disable=SC2086 # lists of flags
    "$CC" -std=c11 $flags "$consumer/consumer.c" -o "$work/by-pkg-config" $link
    # shellcheck disable=SC2086 # lists of flags
    [ -z "$CXX" ] || $CXX -std=c++11 $flags "$consumer/consumer.cpp" -o "$work/by-pkg-config_cpp" $link

    expected="clfavor $(pkg-config --modversion clfavor): CLFAVOR_SUCCESS"
    for program in "$work/by-cmake/consumer" "$work/by-pkg-config" ${CXX:+"$work/by-cmake/consumer_cpp" "$work/by-pkg-config_cpp"}; do
        [ "$("$program")" = "$expected" ] || {
            echo "$program of $2 does not print '$expected'"
            exit 1
        }
    done
    for example in "$CLFAVOR_SOURCE"/examples/*.c; do
        # shellcheck disable=SC2086 # lists of flags
        "$CC" -std=c11 $CFLAGS -Wall -Wextra -Werror "$example" -o "$work/by-example" $link -lm
    done
    rm -r "$work"/by-*
}

consume "$CLFAVOR_BUILD" built
for file in bin/clfavor share/man/man1/clfavor.1 share/bash-completion/completions/clfavor; do
    [ -z "$CLFAVOR_BIN" ] || [ -e "$work/built/$file" ] || {
        echo "$file is not installed"
        exit 1
    }
done
[ -z "$CLFAVOR_BIN" ] || [ "$("$work/built/bin/clfavor" --version)" = "${expected%:*}" ]

# And the other kind of library.
shared=ON
[ -z "$static" ] && shared=OFF
cmake -S "$CLFAVOR_SOURCE" -B "$work/build" -DCMAKE_C_COMPILER="$CC" -DCMAKE_BUILD_TYPE=Debug -DBUILD_SHARED_LIBS=$shared \
    -DCLFAVOR_BUILD_CLI=OFF -DCLFAVOR_BUILD_TESTS=OFF >/dev/null
cmake --build "$work/build" >/dev/null
consume "$work/build" other
