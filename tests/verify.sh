#!/bin/sh
# clfavor verify as a user meets it: what is listed and selected, exit codes, reports, records that survive a kill, shards
# that join to the bits of one run, seeds, deliberate bugs.
# shellcheck disable=SC2086 # groups of options in variables are meant to be split
# Needs CLFAVOR_BIN and CLFAVOR_SOURCE.
subcommand=verify
# shellcheck source=tests/scripts/subcommand.sh
. "$CLFAVOR_SOURCE/tests/scripts/subcommand.sh"

# Few programs to compile, many blocks, both with and without chance.
some="--suite law/d6 --suite law/lognormal/d6/iid --suite mean/d6/iid/hyperbolic --suite deterministic/haar"

# ------------------------------------------------------------------------------------------------- usage

"$bin" verify --help | grep -q -e '--resume' || fail "--help"
bad 2 'quick, full or nightly' --level slow
bad 2 'no suite or job' --suite nothing
bad 2 'no suite or job' --suite law/d
bad 2 '--seed expects' --seed x
bad 2 '--seed expects' --seed -1
bad 2 '--alpha expects' --alpha 0
bad 2 '--alpha expects' --alpha nan
bad 2 '--alpha expects' --alpha 0.7
bad 2 '--shard expects' --shard 5/4 --resume a
bad 2 '--shard expects' --shard 1 --resume a
bad 2 '--shard expects' --shard 1/0 --resume a
bad 2 'needs --resume' --shard 1/2
bad 2 'unexpected argument' quick
bad 2 'cpu, gpu or auto' --class tpu
bad 2 'only --seed' --q a.npy --k b.npy --level full
bad 2 'unknown option' --nothing
bad 2 'expects a value' --json
bad 2 'both --q and --k' --q nothing.npy
bad 3 'matches no device' --device nothing --suite deterministic/philox
bad 1 'cannot write' --suite deterministic/philox --json /nonexistent/x.json
bad 1 'cannot write' --suite deterministic/philox --resume /nonexistent/records
bad 2 'two outputs' --suite deterministic/philox --json x --report x

# ---------------------------------------------------------------------------------------------- listing, selection

good --list
for suite in deterministic law mean variance attention controls; do
    grep -q "^$suite: " stdout || fail "--list does not name $suite"
done
for level in full nightly; do
    good --list --level $level --suite mean
    grep -q 'mean/d64/iid/positive' stdout || fail "--list --level $level"
    grep -q '^law' stdout && fail "--list --suite mean shows law"
done
good --suite deterministic/philox
grep -q '^deterministic: 3 passed, 0 failed$' stdout || fail "selection: $(cat stdout)"

# --------------------------------------------------------------------------------------------- reports, determinism

good $some --json one.json --junit one.xml --report one.html
grep -q '^checks: .* 0 failed$' stdout || fail "some: $(cat stdout)"
grep -q '"schema_version": 1' one.json || fail "JSON without its version"
grep -q '<testsuite ' one.xml || fail "JUnit"
grep -q '<svg' one.html || fail "no plot in the page"
grep -E -q 'https?://|<script' one.html && fail "the page asks for something outside"
if command -v xmllint >/dev/null; then
    xmllint --noout one.xml || fail "JUnit is not well-formed"
fi

# The statistics of a JSON report: all but what may differ between two runs of one seed.
statistics() {
    awk '/^ "run": \{/ { skip = 1 } !skip { print } skip && /^ \}/ { skip = 0 }' "$1"
}
[ "$(statistics one.json | wc -l)" -gt 500 ] || fail "too little left of the JSON"
[ "$(statistics one.json | wc -l)" -lt "$(wc -l <one.json)" ] || fail "no run in the JSON"
same_statistics() {
    statistics "$1" >a
    statistics "$2" >b
    cmp -s a b || fail "$1 and $2 differ: $(diff a b | head -n 4)"
}

good $some --json two.json --workers 1
same_statistics one.json two.json
good $some --seed 1 --json other.json
statistics other.json >b
statistics one.json | cmp -s - b && fail "another seed gives the same statistics"
good --suite law/d6/iid --seed random
grep -q 'note: seed [0-9]' stderr || fail "--seed random says no seed"

# ----------------------------------------------------------------------------------------------------- records

good $some --resume records --json kept.json
same_statistics one.json kept.json
good $some --resume records --json again.json
same_statistics one.json again.json
grep -q 'of which [0-9]* from records' stdout || fail "nothing was taken from the records"
cp records before
good $some --resume records
cmp -s records before || fail "a run with nothing left to do changed the records"

# Killed at any moment, several times; then what is there is taken up.
rm -f killed
for delay in 0.15 0.3 0.5; do
    "$bin" verify $some --resume killed >/dev/null 2>&1 &
    child=$!
    sleep $delay
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
done
good $some --resume killed --json killed.json
same_statistics one.json killed.json
# A torn tail, as a kill within a write or a full disk leaves it.
size=$(wc -c <records)
head -c $((size - 5)) records >torn
good $some --resume torn --json torn.json
same_statistics one.json torn.json
cmp -s records torn || [ "$(wc -c <torn)" -eq "$size" ] || fail "the torn record was not made again"

bad 2 'of another run' $some --resume records --seed 7
bad 2 'of another run' $some --resume records --alpha 1e-5
printf 'my own text\n' >mine
bad 2 'are no records' $some --resume mine
[ "$(cat mine)" = 'my own text' ] || fail "a file that holds no records was changed"
good --suite law/d6/iid --seed random --resume seeded
seed=$(sed -n 's/^seed: //p' stdout)
good --suite law/d6/iid --seed random --resume seeded
[ "$(sed -n 's/^seed: //p' stdout)" = "$seed" ] || fail "records of a random seed were not taken up with it"

# ------------------------------------------------------------------------------------------------------ shards

for shard in 1 2 3; do
    good $some --shard $shard/3 --resume shard$shard --json shard.json
done
grep -q 'wait for other shards' stdout || fail "a shard says nothing of the others"
good $some --resume shard1 --resume shard2 --resume shard3 --json joined.json
same_statistics one.json joined.json
cat shard1 shard2 shard3 >all
good $some --resume all --json joined.json
same_statistics one.json joined.json

# -------------------------------------------------------------------------------------------- calibration, bugs

good --calibrate 5 --suite law/d6/iid --seed 3
grep -q '^false alarms: ' stdout || fail "--calibrate: $(cat stdout)"

mutants=$(dirname "$bin")/clfavor-mutants
if [ -x "$mutants" ]; then
    # One bug through each way in: host code, a statement, an initialiser; kernels are tried in CI.
    good --mutants --suite deterministic/normals --suite law/d6/iid --report mutants.html --json mutants.json
    grep -q '^mutants: 6 passed, 0 failed$' stdout || fail "mutants: $(cat stdout)"
    grep -q 'radius-24-bits' mutants.html || fail "no table of mutants in the page"
    status=0
    "$mutants" verify --mutant radius-24-bits --suite deterministic/normals >stdout 2>stderr || status=$?
    [ $status -eq 1 ] || fail "a bug goes unnoticed: $(cat stdout)"
    status=0
    "$mutants" verify --mutant nothing >stdout 2>stderr || status=$?
    [ $status -eq 2 ] || fail "an unknown mutant: exit $status"
fi
