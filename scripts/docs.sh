#!/bin/sh
# Sets up Doxygen and makes the API reference, build/docs/html/index.html; fails if anything lacks words. Usage: docs.sh
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh" doxygen
cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$root/build" --target clfavor_docs >&2
echo "$root/build/docs/html/index.html"
