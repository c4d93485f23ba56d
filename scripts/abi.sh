#!/bin/sh
# Compares the library's ABI with that of the last tag, or of a given commit, by libabigail's abidiff. Fails where programs
# compiled against that one would break though the major version is the same; before 1.0 it only tells.
# Usage: abi.sh [COMMIT]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
before=${1:-$(git describe --tags --abbrev=0 2>/dev/null || true)}
[ "$before" ] || {
    echo "abi: no tag to compare with"
    exit 0
}
sh scripts/setup.sh abigail-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build SOURCE NAME
build() {
    {
        cmake -S "$1" -B "$work/$2" -DCMAKE_BUILD_TYPE=Debug -DCLFAVOR_BUILD_CLI=OFF -DCLFAVOR_BUILD_TESTS=OFF &&
            cmake --build "$work/$2" --parallel "$(getconf _NPROCESSORS_ONLN)"
    } >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        echo "abi: $2 does not build (the last lines are above)" >&2
        exit 1
    }
}
mkdir "$work/source"
git archive "$before" | tar -x -C "$work/source"
build "$work/source" before
build "$root" now
major() { awk '$2 == "CLFAVOR_VERSION_MAJOR" {print $3}' "$1/include/clfavor/version.h"; }

# compare [OPTION...]; abidiff's status has bits: 1 and 2 it failed, 4 a change, 8 one that breaks for certain.
compare() {
    status=0
    abidiff --headers-dir1 "$work/source/include" --headers-dir2 include "$@" "$work/before/libclfavor.so" \
        "$work/now/libclfavor.so" >"$work/report" || status=$?
    [ $((status & 3)) -eq 0 ] || {
        cat "$work/report"
        exit 1
    }
}
# What may come: functions, and fields at the end of structures that tell their size.
cat >"$work/allowed" <<'INI'
[suppress_type]
  type_kind = struct
  name_regexp = ^clfavor_.*(desc|args|info|tuning)$
  has_data_member_inserted_at = end
INI
compare --no-added-syms --suppressions "$work/allowed"
if [ "$status" -ne 0 ]; then
    cat "$work/report"
    echo "abi: breaks programs compiled against $before"
    [ "$(major "$root")" -eq 0 ] || [ "$(major "$root")" -ne "$(major "$work/source")" ]
else
    compare
    cat "$work/report"
    echo "abi: compatible with $before"
fi
