#!/bin/sh
# kill -9 and folders that can't be written: what was there stays, whole; what is new is whole or not there; and the next
# run works. verify.sh has the same for records of verify. Needs CLFAVOR_BIN and CLFAVOR_SOURCE.
# shellcheck disable=SC2086 # groups of options in variables are meant to be split
# shellcheck source=tests/scripts/program.sh
. "$CLFAVOR_SOURCE/tests/scripts/program.sh"

array q.npy '<f4' '2, 300, 8' 4800 1
array k.npy '<f4' '2, 300, 8' 4800 2
array v.npy '<f4' '2, 300, 8' 4800 3
qkv="--q q.npy --k k.npy --v v.npy"

# killed NAME DELAYS ARGUMENTS: `clfavor ARGUMENTS --out out/NAME`, killed after each of the delays, over an old file and
# without one; twice uncut, what it writes must be the same bytes.
killed() {
    name=$1 delays=$2
    shift 2
    good "$@" --out "$name.whole"
    good "$@" --out "$name.again"
    cmp -s "$name.whole" "$name.again" || fail "$1: two runs differ"
    echo old >"$name.old"
    cut=0
    for delay in $delays; do
        for before in none old; do
            rm -f "out/$name"
            [ $before = none ] || cp "$name.old" "out/$name"
            "$bin" "$@" --out "out/$name" >/dev/null 2>&1 &
            child=$!
            sleep "$delay"
            kill -9 $child 2>/dev/null && cut=$((cut + 1))
            wait $child 2>/dev/null || true
            if [ -e "out/$name" ]; then
                cmp -s "out/$name" "$name.whole" || { [ $before = old ] && cmp -s "out/$name" "$name.old"; } ||
                    fail "$1 killed after $delay s: out/$name is neither old nor whole"
            else
                [ $before = none ] || fail "$1 killed after $delay s: the old file is gone"
            fi
            checks=$((checks + 1))
        done
    done
    [ $cut -gt 0 ] || fail "$1 was never cut off"
    good "$@" --out "out/$name" # leftovers are in nobody's way
    cmp -s "out/$name" "$name.whole" || fail "$1: after it was killed it writes something else"
    # nothing but temporary files, named as such
    others=$(find out -type f ! -name "${name%.*}*" ! -name '.clfavor-*.tmp')
    [ -z "$others" ] || fail "$1 left $others"
    rm -f out/.clfavor-*.tmp out/*
}

short="0.005 0.02 0.04 0.06 0.08 0.12 0.2"
killed o.npy "$short" run $qkv --features 64
killed f.npy "$short" features --role key --x k.npy --features 64
killed e.npz "$short" fit $qkv --features 64
# Never the same figures twice, so killed() is not for these two: a database that is there stays as it is.
echo '{"schema": 1, "rows": []}' >row.json
for delay in 0.1 0.5 1.5; do
    cp row.json out/row.json
    "$bin" tune --quick --out out/row.json >/dev/null 2>&1 &
    child=$!
    sleep $delay
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
    cmp -s row.json out/row.json || fail "tune killed after $delay s changed the database"
    checks=$((checks + 1))
done
"$bin" bench --json out/bench.json >/dev/null 2>&1 &
child=$!
sleep 0.3
kill -9 $child 2>/dev/null || true
wait $child 2>/dev/null || true
[ ! -e out/bench.json ] || fail "bench left half a report"
rm -rf out
mkdir out

# Folders that are not there, or are files; one that may only be read does not stop root.
touch file
mkdir locked
chmod 500 locked
folders="missing file/sub"
[ -w locked ] || folders="$folders locked"
for folder in $folders; do
    bad 1 "cannot write '$folder/" run $qkv --features 8 --out $folder/o.npy
    bad 1 "cannot write '$folder/" features --role key --x k.npy --features 8 --out $folder/f.npy
    bad 1 "cannot write '$folder/" fit $qkv --features 8 --out $folder/e.npz
done

# A disk that fills up, as the limit of a file's size stands for: nothing is left. Compilers of kernels write, too, but
# not that much.
header long.npy '<f4' '200000, 16'
dd if=/dev/zero of=long.npy bs=1 count=1 seek=12800127 conv=notrunc 2>/dev/null
for command in "run --q long.npy --k long.npy --v long.npy --features 16 --out out/o.npy" \
    "features --role key --x long.npy --features 16 --out out/f.npy"; do
    if (
        trap '' XFSZ
        ulimit -f 8192
        exec "$bin" $command >/dev/null 2>stderr
    ); then
        fail "a full disk is no error to: $command"
    fi
    grep -q 'cannot write' stderr || fail "a full disk: $(cat stderr)"
    [ -z "$(ls -A out)" ] || fail "a full disk leaves $(ls -A out)"
    checks=$((checks + 1))
done

echo "killed: $checks checks"
