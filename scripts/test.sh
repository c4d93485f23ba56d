#!/bin/sh
# Sets up, builds into build/ and runs the tests. Usage: test.sh [CTEST OPTION...], such as -R exact
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
jobs=$(getconf _NPROCESSORS_ONLN)
cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release
cmake --build "$root/build" --parallel "$jobs"
cd "$root/build"
exec ctest --output-on-failure --parallel "$jobs" "$@"
