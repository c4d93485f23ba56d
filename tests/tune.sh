#!/bin/sh
# clfavor tune as a user meets it, and the database that it writes: rows that are put in, replaced and read, files that
# are broken, and --tuning, --class and --backend of the other subcommands. Nothing here depends on how fast the machine
# is.
# Needs CLFAVOR_BIN and CLFAVOR_SOURCE.
# shellcheck disable=SC2086,SC2015 # groups of options in variables are meant to be split; "a && b || fail" means it
# shellcheck source=tests/scripts/program.sh
. "$CLFAVOR_SOURCE/tests/scripts/program.sh"
unset CLFAVOR_TUNING

# ------------------------------------------------------------------------------------------------- usage

good tune --help
grep -q '^Usage: clfavor tune' stdout || fail "tune --help"
bad 2 'expects H,n,d,m' tune --shape 8,64
bad 2 'cpu, gpu or auto' tune --class tpu
bad 2 'expects a value' tune --out ''
bad 2 'unexpected argument' tune file.json
bad 2 'unknown option' tune --nothing
bad 3 'matches no device' tune --device nothing
bad 1 'cannot write' tune --out /nonexistent/x.json
bad 2 'cannot be read' tune --out "$PWD/out/"
bad 1 'smaller --shape' tune --shape 65536,16777216,256,1
mkdir locked
chmod 555 locked
[ "$(id -u)" -eq 0 ] || bad 1 'cannot write' tune --out locked/x.json # root writes everywhere
bad 2 'fused, staged, clblast or auto' run --q q.npy --k k.npy --v v.npy --backend quick

# ------------------------------------------------------------------------------------------------- files

# database ROW: a file of one row
database() {
    printf '{"format": "clfavor-tuning", "version": 1, "rows": [%s]}' "$1" >rows.json
}
gpu='"class": "gpu", "vendor": null'

# broken TEXT: refused by the reader, whoever reads, and not touched by the tuner
broken() {
    cp rows.json before.json
    bad 2 "$1" devices --tuning rows.json
    grep -q "rows.json'" stderr || fail "no file's name: $(cat stderr)"
    bad 2 "$1" tune --quick --shape 1,64,8,8 --out rows.json
    cmp -s rows.json before.json || fail "tune touched a broken file"
}
for text in '' '{' '[]' '{"rows": []}' '{"format": "clfavor-tuning", "version": 1, "rows": {}}' \
    '{"format": "other", "version": 1, "rows": []}' '{"format": "clfavor-tuning", "version": "1", "rows": []}'; do
    printf '%s' "$text" >rows.json
    broken 'clfavor tune'
done
printf '{"format": "clfavor-tuning", "version": 2, "rows": []}' >rows.json
broken 'newer clfavor'
for value in -1 1.5 '"64"' 8192 true null 99999999999; do
    database "{$gpu, \"chunk\": $value}"
    broken 'rows[0]: "chunk" must be a whole number from 1 to 4096'
done
database '7'
broken 'rows[0] must be an object'
database '{"vendor": "x"}'
broken 'rows[0]: "class" must be cpu or gpu'
database '{"class": "tpu"}'
broken '"class" must be cpu or gpu'
database "{$gpu, \"backend\": \"slow\"}"
broken '"backend" must be auto, fused, staged or clblast'
database "{$gpu, \"device\": 7}"
broken '"device" must be a text'
database "{$gpu, \"device\": \"a\", \"device\": \"b\"}"
broken 'no JSON'
# what only the library can tell: it names the row, too
database "{$gpu}, {$gpu, \"group\": 48}"
bad 2 "'rows.json': rows[1]: group must be a power of two" devices --tuning rows.json
database '{"class": "cpu", "backend": "staged"}'
bad 2 'rows[0]: a row of the cpu class has no backend' devices --tuning rows.json
bad 2 'cannot be read' devices --tuning none.json
CLFAVOR_TUNING=none.json
export CLFAVOR_TUNING
bad 2 'cannot be read' devices
CLFAVOR_TUNING=
good devices
unset CLFAVOR_TUNING

# Unknown keys are told and ignored.
database "{$gpu, \"colour\": \"red\", \"chunk\": 64, \"comment\": \"by hand\"}"
good devices --tuning rows.json
grep -q 'note: .*rows\[0\]: the unknown key "colour" is ignored' stderr || fail "unknown key: $(cat stderr)"
grep -q 'comment' stderr && fail "a known key is told"

# ------------------------------------------------------------------------------------------------- rows in use

database '{"class": "gpu", "architecture": "cpu", "backend": "staged", "chunk": 64, "causal_chunk": 16},
    {"class": "gpu", "group": 64, "rows": 32, "features": 32, "columns": 32, "step": 8, "chunk": 96}'
good devices --class gpu
grep -q '^    tuning_reason: the library' stdout || fail "no library's row: $(cat stdout)"
grep -q '^    fused.group: [0-9]' stdout && grep -q '^    fused.local_memory_bytes: [0-9]' stdout ||
    fail "no tiles: $(cat stdout)"
for key in max_work_group sub_groups fp16 fp64 backend backend_reason; do
    grep -q "^    $key: " stdout || fail "no $key: $(cat stdout)"
done
good devices --class gpu --tuning rows.json
grep -q "^    tuning_reason: the caller's row" stdout || fail "not the caller's row: $(cat stdout)"
good devices --json --class gpu --tuning rows.json
grep -q '"tuning_reason": "the caller' stdout || fail "devices --json: $(cat stdout)"
CLFAVOR_TUNING=rows.json "$bin" devices --class gpu >stdout 2>stderr && grep -q "the caller's row" stdout ||
    fail "CLFAVOR_TUNING is not read"

array q.npy '<f4' '2, 40, 6' 480 1
array k.npy '<f4' '2, 40, 6' 480 2
array v.npy '<f4' '2, 40, 5' 400 3
qkv="--q q.npy --k k.npy --v v.npy --features 16"
good run $qkv --out out/cpu.npy --class cpu
[ "$(field class)" = cpu ] && [ -z "$(field backend)" ] || fail "class cpu: $(cat stdout)"
for backend in fused staged; do
    good run $qkv --class gpu --backend $backend --out out/$backend.npy
    [ "$(field backend)" = $backend ] && [ "$(field class)" = gpu ] || fail "--backend $backend: $(cat stdout)"
    values out/$backend.npy >$backend
done
values out/cpu.npy >cpu
same fused staged 2e-6
same cpu staged 2e-6
good run $qkv --class gpu --json
grep -q '"backend": "[fsc]' stdout || fail "no backend: $(cat stdout)"
rm -f out/*.npy
bad 2 'a backend can be asked for only' run $qkv --class cpu --backend fused
bad 2 'a backend can be asked for only' run --q q.npy --k k.npy --v v.npy --class gpu --exact --backend fused
status=0
"$bin" run $qkv --class gpu --backend clblast >stdout 2>stderr || status=$?
case $status in
0) [ "$(field backend)" = clblast ] || fail "clblast: $(cat stdout)" ;;
2) grep -q 'CLBlast' stderr || fail "clblast: $(cat stderr)" ;;
*) fail "clblast: exit $status: $(cat stderr)" ;;
esac

# ------------------------------------------------------------------------------------------------- the tuner

# rows CLASS: how many of it the database has
rows() {
    grep -c "\"class\": \"$1\"" tuned.json
}
good tune --quick --class gpu --shape 1,200,16,24 --out tuned.json
for key in device class library_row row times_faster library_row_kept wall_seconds; do
    [ -n "$(field $key)" ] || fail "no $key: $(cat stdout)"
done
[ "$(field replaced)" = no ] && [ "$(field class)" = gpu ] || fail "first run: $(cat stdout)"
between "$(field times_faster)" 1 1000
grep -q "of the time of the library's row (error" stderr || fail "no variants on stderr: $(cat stderr)"
grep -q 'result is wrong' stderr && fail "a wrong variant: $(cat stderr)"
for key in vendor architecture device class driver library date backend seconds library_seconds shape; do
    grep -q "\"$key\": " tuned.json || fail "no $key: $(cat tuned.json)"
done
CLFAVOR_TUNING=tuned.json
export CLFAVOR_TUNING # the default of --out
good tune --quick --class gpu --shape 1,200,16,24 --json
unset CLFAVOR_TUNING
grep -q '"replaced": true' stdout && grep -q '"variants": \[' stdout || fail "second run: $(cat stdout)"
[ "$(rows gpu)" -eq 1 ] || fail "not one row of the gpu class: $(cat tuned.json)"
good tune --quick --class cpu --shape 1,200,16,24 --out tuned.json
[ "$(field replaced)" = no ] && [ "$(rows gpu)" -eq 1 ] && [ "$(rows cpu)" -eq 1 ] ||
    fail "not a row of each class: $(cat tuned.json)"
for class in cpu gpu; do
    good devices --class $class --tuning tuned.json
    grep -q "^    tuning_reason: the caller's row for this device" stdout || fail "the row is not used: $(cat stdout)"
    [ ! -s stderr ] || fail "the database has something to tell: $(cat stderr)"
    good run $qkv --class $class --tuning tuned.json
done
for file in .clfavor-*; do
    [ ! -e "$file" ] || fail "left behind: $file"
done

echo "$checks checks"
