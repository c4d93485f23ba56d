#!/bin/sh
# Which lines and branches of the library the tests run, by gcov and gcovr: a line a file, then the lines that none runs.
# Fails where fewer than 95 % of the lines are run. Usage: coverage.sh [CTEST OPTION...], such as -L unit
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build-coverage
jobs=$(getconf _NPROCESSORS_ONLN)
sh "$root/scripts/setup.sh" gcovr
cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS="--coverage -fprofile-update=atomic -O1" >/dev/null
cmake --build "$build" --parallel "$jobs" | grep -E 'warning|error' || :
find "$build" -name '*.gcda' -delete
(cd "$build" && ctest --output-on-failure --parallel "$jobs" "$@")

cd "$root"
# The library is built once; the variant with deliberate bugs is not it.
report() {
    gcovr --root . --filter 'src/' --object-directory "$build/CMakeFiles/clfavor_objects.dir" --exclude-throw-branches \
        "$build/CMakeFiles/clfavor_objects.dir" "$@"
}
report --branches | sed -n '/^src/p; /^TOTAL/p'
report --print-summary --fail-under-line 95
