#!/bin/sh
# Looks for files that what reads them cannot bear, and for calls that break the library's promises: runs every target of
# fuzz/ for SECONDS (default: a minute for all), built by clang into build-fuzz/. One line a target; what was found stays
# in fuzz/findings/TARGET, where the tests replay it, and makes the exit status 1. Usage: fuzz.sh [SECONDS]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build-fuzz
targets="npy npz estimator tuning cache records"
seconds=${1:-8}

sh "$root/scripts/setup.sh" clang libclang-rt-14-dev
cmake -S "$root" -B "$build" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCLFAVOR_FUZZ=ON \
    -DCLFAVOR_SANITIZE="fuzzer-no-link;address;undefined" >/dev/null
# shellcheck disable=SC2086,SC2046 # lists of names
cmake --build "$build" --parallel "$(getconf _NPROCESSORS_ONLN)" --target fuzz_attention $(printf 'fuzz_%s ' $targets) \
    >/dev/null

# SIGABRT, at which fuzz_attention tells the case
export ASAN_OPTIONS=abort_on_error=1 UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1
export LSAN_OPTIONS="suppressions=$root/tests/lsan.supp:print_suppressions=0"
status=0
for target in $targets; do
    findings=$root/fuzz/findings/$target
    corpus=$build/corpus/$target
    log=$build/fuzz_$target.log
    mkdir -p "$findings" "$corpus"
    found=0
    "$build/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=8192 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$findings/" "$corpus" "$root/fuzz/seeds/$target" "$findings" >"$log" 2>&1 || found=1
    printf '%s: %s executions, coverage %s, %s findings\n' "$target" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" "$found"
    if [ "$found" -ne 0 ]; then
        tail -n 40 "$log" >&2
        status=1
    fi
    rmdir "$findings" 2>/dev/null || true # empty
done
rmdir "$root/fuzz/findings" 2>/dev/null || true

if line=$("$build/fuzz/fuzz_attention" --seed "$(date +%s)" --seconds "$seconds"); then
    printf 'attention: %s, 0 findings\n' "$line"
else
    printf 'attention: 1 finding\n%s\n' "$line"
    status=1
fi
exit $status
