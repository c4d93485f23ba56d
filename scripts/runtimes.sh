#!/bin/sh
# Runs the project's tests on other OpenCL implementations than the one that is installed: kernels that are right on one
# compiler and scheduler may be wrong on the next. docs/runtimes.md has what came of it.
# Usage: runtimes.sh [--quick] [--optional] intel|oclgrind|pocl-threads|all [CTEST OPTION...]
#   intel         the tests that use a device, on Intel's CPU runtime alone; then `clfavor verify` of both classes, there
#                 and on PoCL
#   oclgrind      tests/simulated.c under Oclgrind, both classes: races, accesses out of bounds, values never written
#   pocl-threads  tests of kernels on PoCL with 1, 2, 3 and 8 threads, which is also what the device then claims to have
#   --quick       a part of each that a CI can afford
#   --optional    a runtime that cannot be had is no failure
# CTEST OPTIONs, such as -R exact, go to intel and pocl-threads. CLFAVOR_RUNTIMES is the folder for what is installed
# (build/runtimes).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
tools=${CLFAVOR_RUNTIMES:-$build/runtimes}
jobs=$(getconf _NPROCESSORS_ONLN)
intel_wheels="intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0 tbb==2023.2.0 tcmlib==1.6.0"

# Those that have most to say about kernels in the least time.
intel_quick='^test_(context|attention_gpu|exact_keys|events)$'
threads_tests='^test_(attention|attention_gpu|prefix|rule_bits|exact|features|events)$'
threads_quick='^test_(attention_gpu|rule_bits|events)$'

usage() {
    sed -n 's/^# \(Usage.*\)/\1/p' "$0" >&2
    exit 2
}

quick=0 optional=0 what=
while [ $# -gt 0 ] && [ -z "$what" ]; do
    case $1 in
    --quick) quick=1 ;;
    --optional) optional=1 ;;
    intel | oclgrind | pocl-threads | all) what=$1 ;;
    *) usage ;;
    esac
    shift
done
[ -n "$what" ] || usage

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
: >"$log"
: >"$work/summary"
result=0

say() { echo "runtimes: $*" >&2; }
quietly() { "$@" >>"$log" 2>&1; }
note() {
    echo "$*"
    echo "$*" >>"$work/summary"
}
fail() {
    note "FAILED $*"
    result=1
}
# missing NAME WHY
missing() {
    tail -n 5 "$log" >&2
    if [ $optional = 1 ]; then note "$1: left out, $2"; else fail "$1: $2"; fi
}
seconds() { date +%s; }

# --- What is run.

sh "$root/scripts/setup.sh"
cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release
cmake --build "$build" --parallel "$jobs"
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)

# tests NAME VARIABLE=VALUE... -- CTEST OPTION...
tests() {
    name=$1 begin=$(seconds) environment=
    shift
    while [ "$1" != -- ]; do
        environment="$environment $1"
        shift
    done
    shift
    status=0
    # shellcheck disable=SC2086 # a list of variables without spaces
    (cd "$build" && env $environment ctest --output-on-failure --parallel "$jobs" --no-tests=error "$@") \
        >"$work/ctest" 2>&1 || status=$?
    cat "$work/ctest"
    text=$(sed -n 's/^.*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$work/ctest")
    failed=${text% *} count=${text#* }
    if [ $status = 0 ] && [ -n "$text" ]; then
        skipped=$(grep -c '\*\*\*Skipped' "$work/ctest" || :)
        note "$name: $((count - skipped)) tests passed, $skipped skipped ($(($(seconds) - begin)) s)"
    else
        fail "$name: ${failed:-all} of ${count:-the} tests failed"
    fi
}

# verified NAME VARIABLE=VALUE CLASS DEVICE
verified() {
    begin=$(seconds)
    if env "$2" "$build/bin/clfavor" verify --level quick --class "$3" --device "$4" >"$work/verify" 2>"$work/verify.err"; then
        note "$1: verify --class $3: $(sed -n 's/^checks: //p' "$work/verify") ($(($(seconds) - begin)) s)"
    else
        tail -n 40 "$work/verify" "$work/verify.err" >&2
        fail "$1: verify --class $3"
    fi
}

# --- Intel's CPU runtime, from PyPI. It needs no more than its libraries beside each other, which a virtual environment
# --- is a folder for, and an .icd that names the first of them.

have_intel() {
    intel=$tools/intel
    if [ "$(cat "$intel/installed" 2>/dev/null)" != "$intel_wheels" ]; then
        say "installing $intel_wheels"
        rm -rf "$intel"
        quietly python3 -m venv "$intel" || { quietly sh "$root/scripts/setup.sh" python3 python3-venv &&
            quietly python3 -m venv --clear "$intel"; } || return 1
        # shellcheck disable=SC2086 # a list of packages
        quietly "$intel/bin/python" -m pip --disable-pip-version-check install $intel_wheels || return 1
        mkdir -p "$intel/icd"
        echo "$intel/lib/libintelocl.so" >"$intel/icd/intel.icd"
        echo "$intel_wheels" >"$intel/installed"
    fi
    OCL_ICD_VENDORS="$intel/icd" "$build/bin/clfavor" devices >"$work/devices" 2>>"$log" || return 1
    grep -q 'platform: Intel' "$work/devices" && [ "$(grep -c '^ *platform:' "$work/devices")" -eq 1 ]
}

run_intel() {
    have_intel || {
        missing intel "Intel's CPU runtime could not be had"
        return 0
    }
    sed -n 's/^ *\(name\|version\|driver\): /intel: \1 /p' "$work/devices"
    [ $quick = 0 ] || set -- -R "$intel_quick" "$@"
    tests intel "OCL_ICD_VENDORS=$intel/icd" -- -L device "$@"
    if [ $quick = 0 ]; then
        for class in cpu gpu; do
            verified intel "OCL_ICD_VENDORS=$intel/icd" $class Intel
            verified pocl CLFAVOR_DEVICE= $class Portable
        done
    fi
}

# --- Oclgrind. Its 21.10 does not know what LLVM's optimizer makes of kernels (freeze, noalias scopes), hence no
# --- passes, nor prefetches.

have_oclgrind() {
    command -v oclgrind >/dev/null || quietly sh "$root/scripts/setup.sh" oclgrind || return 1
    command -v oclgrind >/dev/null
}

simulate() {
    rm -f "$work/complaints"
    : >"$work/complaints"
    oclgrind --data-races --uninitialized --check-api --log "$work/complaints" \
        --build-options '-disable-llvm-passes -D__builtin_prefetch(...)=((void)0)' "$build/tests/simulated" "$@" \
        >"$work/simulated" 2>&1
}

run_oclgrind() {
    have_oclgrind || {
        missing oclgrind "Oclgrind could not be had"
        return 0
    }
    # What says nothing about faults says nothing about kernels without complaints.
    simulate --control || fail "oclgrind: the kernels with faults did not run"
    for complaint in 'Invalid write' 'data race' 'Uninitialized value'; do
        grep -q "$complaint" "$work/complaints" || fail "oclgrind: no '$complaint' where there is one"
    done
    for class in cpu gpu; do
        lengths=1,31,65
        [ $quick = 0 ] || lengths=33
        begin=$(seconds) status=0
        simulate --class $class --n $lengths || status=$?
        complaints=$(grep -c '^[A-Z]' "$work/complaints" || :)
        if [ $status = 0 ] && [ ! -s "$work/complaints" ]; then
            note "oclgrind: class $class: $(tail -n 1 "$work/simulated"), 0 complaints ($(($(seconds) - begin)) s)"
        else
            tail -n 20 "$work/simulated" >&2
            head -n 40 "$work/complaints" >&2
            fail "oclgrind: class $class: exit status $status, $complaints complaints"
        fi
    done
}

# --- PoCL's threads.

run_pocl_threads() {
    expression=$threads_tests counts='1 2 3 8'
    [ $quick = 0 ] || { expression=$threads_quick counts='1 3'; }
    for threads in $counts; do
        tests "pocl, $threads threads" "POCL_MAX_PTHREAD_COUNT=$threads" CLFAVOR_TEST_DEVICE=Portable -- \
            -R "$expression" "$@"
    done
}

case $what in
intel) run_intel "$@" ;;
oclgrind) run_oclgrind ;;
pocl-threads) run_pocl_threads "$@" ;;
all)
    run_intel "$@"
    run_oclgrind
    run_pocl_threads "$@"
    ;;
esac
printf '\n'
cat "$work/summary"
exit $result
