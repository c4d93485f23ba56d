#!/bin/sh
# Fitted estimators and exact keys as a user meets them: clfavor fit, advise, run --fit, --estimator, --exact-keys and
# --target-error, features --estimator. Needs CLFAVOR_BIN and CLFAVOR_SOURCE.
# Bounds on errors are not limits of rounding: seeds are fixed, and they lie far from what the program gives (in comments).
# shellcheck disable=SC2086,SC2015 # groups of options in variables are meant to be split; "a && b || fail" means it
# shellcheck source=tests/scripts/program.sh
. "$CLFAVOR_SOURCE/tests/scripts/program.sh"

data=$CLFAVOR_SOURCE/data
layer="--q $data/minilm-layer5-q.npy --k $data/minilm-layer5-k.npy --v $data/minilm-layer5-v.npy"
long="--q $data/minilm-long-q.npy --k $data/minilm-long-k.npy --v $data/minilm-long-v.npy"

# ------------------------------------------------------------------------------------------------------------ helpers

# below A B: A is a number less than B
below() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 == a && a + 0 < b + 0) }' || fail "'$1' is not below $2"
    checks=$((checks + 1))
}

half() {
    awk -v a="$1" 'BEGIN { print a / 2 }'
}

# error ARGUMENTS: the median relative error of `run` with them, all rows compared
error() {
    good run "$@" --compare-rows all
    error=$(field relative_error.median)
}

# exact ARGUMENTS: every head of `run` with them is exact up to rounding. Sums of n_k = 60 products, rounded twice, err by
# at most 60 * 2 * 6e-8 = 7e-6 of their terms' sizes; the program is at 2e-7.
exact() {
    error "$@"
    for head in $(field relative_error.per_head); do
        below "$head" 1e-5
    done
}

# json KEY..: the last output is one JSON object with these keys
json() {
    if command -v python3 >/dev/null; then
        python3 -m json.tool <stdout >/dev/null || fail "no JSON: $(cat stdout)"
    fi
    [ "$(wc -l <stdout)" -eq 1 ] || fail "JSON of more than one line: $(cat stdout)"
    for key in "$@"; do
        grep -q "\"$key\": " stdout || fail "no \"$key\": $(cat stdout)"
    done
    checks=$((checks + 1))
}

# identical A B
identical() {
    cmp -s "$1" "$2" || fail "$1 and $2 are not the same"
    checks=$((checks + 1))
}

# notes COUNT TEXT: so many lines of stderr have the text
notes() {
    [ "$(grep -cF -e "$2" stderr)" -eq "$1" ] || fail "expected $1 lines with '$2': $(cat stderr)"
    checks=$((checks + 1))
}

hex() {
    od -An -v -t x1 | tr -d ' \n'
}

# rename FILE NEW [A B]..: writes FILE with the text A as B in NEW, wherever it stands; of the same length, so that the
# archive stays whole
rename() {
    bytes=$(hex <"$1") new=$2
    shift 2
    while [ $# -gt 0 ]; do
        bytes=$(echo "$bytes" | sed "s/$(printf %s "$1" | hex)/$(printf %s "$2" | hex)/g")
        shift 2
    done
    # shellcheck disable=SC2059 # the backslashes are for printf
    printf "$(echo "$bytes" | awk '{
        for (i = 1; i < length($0); i += 2) {
            byte = (index("0123456789abcdef", substr($0, i, 1)) - 1) * 16 + index("0123456789abcdef", substr($0, i + 1, 1)) - 1
            printf "\\%03o", byte
        }
    }')" >"$new"
}

array q.npy '<f4' '4, 40, 6' 960 1
array k.npy '<f4' '2, 40, 6' 480 2
array v.npy '<f4' '2, 40, 5' 400 3
array k60.npy '<f4' '2, 60, 6' 720 5
array v60.npy '<f4' '2, 60, 5' 600 6
array bq.npy '<f4' '2, 4, 40, 6' 1920 1
array bk.npy '<f4' '2, 2, 40, 6' 960 2
array bv.npy '<f4' '2, 2, 40, 5' 800 3
# Few different shapes: kernels are compiled for each.
array fq.npy '<f4' '40, 6' 240 1
array fv.npy '<f4' '40, 5' 200 3
array one.npy '<f4' '1, 6' 6 1
array onev.npy '<f4' '1, 5' 5 2
array seven.npy '<f4' '2, 40, 7' 560 8
array single.npy '<f4' '9, 1' 9 3
header zero.npy '<f4' '2, 40, 6'
dd if=/dev/zero bs=1920 count=1 2>/dev/null >>zero.npy
qkv="--q q.npy --k k.npy --v v.npy"
qkv60="--q q.npy --k k60.npy --v v60.npy"
batch="--q bq.npy --k bk.npy --v bv.npy"
o="--out out/o.npy"
e="--out out/e.npz"

# ----------------------------------------------------------------------------------------------------------- refusals

for command in fit advise; do
    good $command --help
    grep -q "^Usage: clfavor $command" stdout || fail "$command --help"
done
grep -q -e '--draws' stdout && grep -q -e '--svg' stdout || fail "advise --help: $(cat stdout)"

bad 2 'needs --q' fit --k k.npy $e
bad 2 'needs --out' fit --q q.npy --k k.npy
bad 2 'needs --v' advise --q q.npy --k k.npy
bad 2 "unknown option '--device'" fit --q q.npy --k k.npy $e --device 0:0
bad 2 '--fit-method expects' fit $qkv $e --fit-method best
bad 2 '--exact-keys expects' fit $qkv $e --exact-keys=-1
bad 2 '--sample expects' fit $qkv $e --sample 0
bad 2 '--draws expects' advise $qkv --draws 0
bad 2 '--target-error expects' advise $qkv --target-error 0
bad 2 'above 0, or all' advise $qkv --compare-rows 0
bad 2 'number of axes' fit --q q.npy --k fq.npy $e
bad 2 'must be a multiple' fit --q k.npy --k q.npy $e
bad 2 'last axis of q' fit --q k.npy --k seven.npy $e

bad 2 'give --estimator, or say --allow-future-leak' run $qkv $o --fit --causal
bad 2 'contradict each other' run $qkv $o --fit --estimator e.npz
bad 2 '--target-error belongs to --fit' run $qkv $o --target-error 0.1
bad 2 '--sample belongs to --fit' run $qkv $o --sample 8
bad 2 '--fit-method belongs to --fit' run $qkv $o --fit-method oprf
bad 2 '--allow-future-leak belongs to --fit' run $qkv $o --allow-future-leak
bad 2 'leave --features, --exact-keys' run $qkv $o --fit --target-error 0.1 --features 64
bad 2 'leave --features, --exact-keys' run $qkv $o --fit --target-error 0.1 --exact-keys 3
bad 2 'leave --features, --exact-keys' run $qkv $o --fit --target-error 0.1 --projection-in w.npy
bad 2 'does not go with --causal' run $qkv $o --exact-keys 3 --causal
bad 2 'does not go with --causal' run $qkv $o --fit --allow-future-leak --exact-keys 3 --causal
bad 2 'does not go with --exact' run $qkv $o --exact-keys 3 --exact
bad 2 'does not go with --exact' run $qkv $o --fit --exact
for map in trig trig-phase gaussian relu elu; do
    bad 2 '--exact-keys goes with --map positive' run $qkv $o --exact-keys 3 --map $map
    bad 2 'leave --map out' run $qkv $o --fit --map $map
done
bad 2 'leaves no features' run $qkv $o --features 8 --exact-keys 8
bad 2 'leaves no features' run $qkv $o --features 8 --exact-keys 50
bad 2 'leaves no features' run $qkv $o --fit --features 40 --exact-keys 40
bad 2 'leaves no features' fit $qkv $e --features 8 --exact-keys 8
bad 2 'rows of normal length' run $qkv $o --fit --projection orthogonal-fixed-norm
bad 2 'rows of normal length' fit $qkv $e --projection orthogonal-fixed-norm

for name in q k v; do
    cp $name.npy nan.npy
    printf '\000\000\300\177' | dd of=nan.npy bs=1 seek=128 conv=notrunc 2>/dev/null
    inputs=$(echo "$qkv" | sed "s/ $name\.npy/ nan.npy/")
    bad 2 'holds a NaN or an infinity' fit $inputs $e
    bad 2 'holds a NaN or an infinity' run $inputs $o --fit
    bad 2 'holds a NaN or an infinity' run $inputs $o --exact-keys 3
    bad 2 'holds a NaN or an infinity' advise $inputs --svg out/a.svg
done
bad 2 'holds a NaN or an infinity' run $inputs $o --fit --target-error 0.1

# Outputs.
bad 1 'cannot write' fit $qkv --out none/e.npz
bad 1 'Is a directory' fit $qkv --out out
bad 1 'cannot write' advise $qkv --svg none/a.svg
cp k.npy kept.npy
bad 2 'also an input' fit --q q.npy --k kept.npy --out kept.npy
bad 2 'also an input' advise --q q.npy --k kept.npy --v v.npy --svg "$work/./kept.npy"
identical k.npy kept.npy
if [ -w /dev/full ]; then
    bad 1 'No space left' fit $qkv --out /dev/full
    bad 1 'No space left' advise --q fq.npy --k fq.npy --v fv.npy --svg /dev/full
fi
status=0
"$bin" fit $qkv --out o.npz >&- 2>stderr || status=$?
[ $status -eq 1 ] && grep -q 'stdout cannot be written' stderr || fail "exit $status with stdout closed"

# ------------------------------------------------------------------------------------------------------ fit, --estimator

good fit $qkv --out e.npz --features 16 --seed 5
keys=$(sed -n 's/^\([a-z_]*\): .*/\1/p' stdout | tr '\n' ' ')
[ "$keys" = "estimator shape features exact_keys mean_s_plain mean_s effective_keys fit_seconds " ] || fail "fit says: $keys"
[ "$(field shape)" = '1 4 40 6' ] && [ "$(field features)" = 16 ] && [ "$(field mean_s | wc -w)" -eq 2 ] ||
    fail "fit says: $(cat stdout)"
good fit $qkv --out e2.npz --features 16 --seed 5 --json
json estimator shape features exact_keys mean_s_plain mean_s effective_keys fit_seconds
identical e.npz e2.npz
good fit --q q.npy --k k.npy --out out/no-v.npz
good run $qkv --estimator out/no-v.npz

# What is run is the same whether fitted there or read; what the file says is the default, and may be overridden.
same_run() {
    good run $1 --out out/fit.npy --fit $2
    good fit $1 --out out/e.npz $2
    good run $1 --out out/read.npy --estimator out/e.npz
    [ "$(field map)" = exponential ] && [ "$(field estimator)" = attention ] || fail "run says: $(cat stdout)"
    identical out/fit.npy out/read.npy
}
same_run "$qkv" '--features 16 --seed 5'
same_run "$qkv" '--features 16 --seed 5 --exact-keys 3 --projection iid'
[ "$(field exact_keys)" -eq 3 ] || fail "the file's exact keys: $(cat stdout)"
same_run "$qkv" '--features 16 --exact-keys 0'
same_run "$qkv" '--features 100 --scale 0.3'
same_run "$batch" '--features 16 --seed 5'
same_run "$layer" '--features 64 --seed 18446744073709551615'
# A fit depends on the exact keys, which it leaves out: 11 in e.npz.
good run $qkv --out out/fit.npy --fit --features 20 --seed 6 --exact-keys 11 --projection orthogonal
good run $qkv --out out/read.npy --estimator e.npz --features 20 --exact-keys 11 --projection orthogonal
cmp -s out/fit.npy out/read.npy && fail "another seed gives the same bits"
good run $qkv --out out/fit.npy --fit --features 20 --seed 5 --exact-keys 11 --projection orthogonal
identical out/fit.npy out/read.npy
good run $qkv --estimator e.npz --causal # a file's exact keys are left out there
[ "$(field exact_keys)" -eq 0 ] && [ "$(field features)" -eq 16 ] || fail "--estimator --causal: $(cat stdout)"
good run $qkv --fit --causal --allow-future-leak --features 16
for method in plain oprf shift diagonal full sderf; do
    good fit $qkv --out out/e.npz --features 16 --fit-method $method
    [ "$(field estimator)" = $method ] || fail "fit says: $(cat stdout)"
    good run $qkv --estimator out/e.npz
    [ "$(field estimator)" = $method ] || fail "run says: $(cat stdout)"
done

# Projections: one W, one for each K/V head, and files, which bring their own number of rows.
good run $qkv --fit --features 16 --projection-per-head --projection-out out/w.npy
[ "$(shape out/w.npy)" = "2, $((16 - $(field exact_keys))), 6" ] || fail "shape of W: $(shape out/w.npy)"
good run $qkv --fit --features 16 --projection-out out/w.npy --out out/a.npy --exact-keys 9
good run $qkv --fit --projection-in out/w.npy --out out/b.npy --exact-keys 9
identical out/a.npy out/b.npy
good run $qkv --estimator e.npz --projection-in out/w.npy
[ "$(field features)" -eq 7 ] || fail "rows of --projection-in: $(cat stdout)"
array w4.npy '<f8' '4, 8, 6' 192 4
rm -f out/*
bad 2 'has 4 matrices and the fit is for 2 heads' run $qkv $o --fit --projection-in w4.npy

# An estimator for one head goes with any number, one for each query head too.
good fit --q fq.npy --k fq.npy --out one.npz --features 16
good run $qkv --estimator one.npz
good fit --q q.npy --k q.npy --out four.npz --features 16
exact $qkv --estimator four.npz --features 64
array three.npy '<f4' '3, 40, 6' 720 7
bad 2 'is for 2 heads, expected 1, 3' run --q three.npy --k three.npy --v three.npy $o --estimator e.npz
bad 2 'is for heads of 6 dimensions, q and k have 7' run --q seven.npy --k seven.npy --v seven.npy $o --estimator e.npz
bad 2 'contradicts --estimator' run $qkv $o --estimator e.npz --scale 0.3
bad 2 'rows of normal length' run $qkv $o --estimator e.npz --projection orthogonal-fixed-norm
bad 2 'leave --map out' run $qkv $o --estimator e.npz --map trig
bad 2 'does not go with --exact' run $qkv $o --estimator e.npz --exact
cp e.npz kept.npz
bad 2 'also an input' run $qkv --out kept.npz --estimator kept.npz
identical e.npz kept.npz

# features: phi_q phi_k is the kernel's estimate, so that with the log scales the rows' sums are the lse.
good fit --q fq.npy --k fq.npy --out out/f.npz --features 12 --exact-keys 0
good features --x fq.npy --out out/q.npy --role query --estimator out/f.npz
[ "$(field map)" = exponential ] && [ "$(shape out/q.npy)" = '40, 12' ] || fail "features: $(cat stdout)"
good features --x fq.npy --out out/k.npy --role key --estimator out/f.npz
good run --q fq.npy --k fq.npy --v fv.npy --lse out/lse.npy --estimator out/f.npz
values out/lse.npy >want.txt
{ values out/q.npy && values out/q.logscale.npy && values out/k.npy && values out/k.logscale.npy; } | awk '
    { x[NR - 1] = $1 }
    END {
        for (j = 0; j < 40; ++j)
            for (r = 0; r < 12; ++r)
                sum[r] += x[520 + j * 12 + r]
        for (i = 0; i < 40; ++i) {
            total = 0
            for (r = 0; r < 12; ++r)
                total += x[i * 12 + r] * exp(x[480 + i] + x[1000 + r]) * sum[r]
            printf "%.9g\n", log(total)
        }
    }' >got.txt
same got.txt want.txt 1e-5 # of features of exponents below 30: 30 * 2^-23 = 4e-6, twice
rm -f out/*
bad 2 'is for 2 heads of 6 dimensions, x has 4 of 6' features --x q.npy --out out/f.npy --role query --estimator e.npz
bad 2 'leave --map and --scale out' features --x k.npy --out out/f.npy --role key --estimator e.npz --map relu
bad 2 'leave --map and --scale out' features --x k.npy --out out/f.npy --role key --estimator e.npz --scale 1
bad 2 'rows of normal length' features --x k.npy --out out/f.npy --role key --estimator e.npz \
    --projection orthogonal-fixed-norm
cp e.npz kept.npz
bad 2 'also an input' features --x k.npy --out kept.npz --role key --estimator kept.npz

# ------------------------------------------------------------------------------------------------------- damaged files

damaged() {
    bad 2 "$1" run $qkv $o --estimator "$2"
    bad 2 "$1" features --x k.npy --out out/f.npy --role key --estimator "$2"
}
damaged 'No such file' none.npz
damaged 'no whole .npz file' k.npy
printf 'an estimator\n' >text.npz
damaged 'no whole .npz file' text.npz
: >empty.npz
damaged 'is empty' empty.npz
size=$(wc -c <e.npz)
for bytes in 20 $((size / 2)) $((size - 1)); do
    head -c $bytes e.npz >cut.npz
    damaged 'no whole .npz file' cut.npz
done
for name in format xbar tk checksum; do # a byte of each one's first number
    before=$(hex <e.npz | sed "s/$(printf %s "$name.npy" | hex).*//")
    cp e.npz flipped.npz
    printf '\132' | dd of=flipped.npz bs=1 seek=$((${#before} / 2 + ${#name} + 4 + 128 + 3)) conv=notrunc 2>/dev/null
    damaged "$name.npy' is damaged" flipped.npz
done
rename e.npz renamed.npz
identical e.npz renamed.npz
rename e.npz renamed.npz tq.npy tX.npy tk.npy tq.npy tX.npy tk.npy
damaged 'its checksum does not go with its arrays' renamed.npz
rename e.npz renamed.npz format.npy formaX.npy method.npy format.npy formaX.npy method.npy
damaged 'format 0, this clfavor reads 1' renamed.npz
rename e.npz renamed.npz xbar.npy xbaX.npy
damaged "without 'xbar'" renamed.npz
rename e.npz renamed.npz format.npy formaX.npy
damaged "without 'format'" renamed.npz
rename e.npz renamed.npz seed.npy seeX.npy xbar.npy seed.npy seeX.npy xbar.npy
damaged "with another kind of 'seed'" renamed.npz

# -------------------------------------------------------------------------------------------------------------- errors

# Plain features err 0.77 on the real layer at M = 64, a fit with exact keys 0.29, plain features with exact keys 0.53.
error $layer --features 64
plain=$error
error $layer --features 64 --fit
below "$error" "$(half "$plain")"
[ "$(field exact_keys)" -eq 32 ] && [ "$(field features)" -eq 64 ] || fail "M and T: $(cat stdout)"
fitted=$error
error $layer --features 64 --fit --exact-keys 0
below "$error" "$plain"
error $layer --features 64 --exact-keys 32
below "$error" "$plain"
[ "$(field map)" = positive ] && [ "$(field estimator)" = plain ] && [ "$(field exact_keys)" -eq 32 ] ||
    fail "plain features with exact keys: $(cat stdout)"
error $layer --features 64 --exact-keys 32 --map hyperbolic
below "$error" "$plain"
good run $long --features 256 --compare-rows 100 # 0.6, and 0.2 with a fit
plain=$(field relative_error.median)
good run $long --features 256 --compare-rows 100 --fit --json
json device class shape map features estimator exact_keys fit_seconds seconds relative_error median per_head
median=$(sed -n 's/.*"median": \([^,}]*\).*/\1/p' stdout)
below "$median" "$(half "$plain")"

# With more rows than keys all keys are exact.
exact $layer --fit --features 600
exact $qkv --fit --features 41
exact $qkv --exact-keys 50 --features 41
exact $qkv --exact-keys 40 --features 41 --map hyperbolic
exact $qkv --exact-keys 40 --projection-in w4.npy # a W for each query head
exact $qkv60 --fit --features 61
exact $batch --fit --features 41
[ "$(field relative_error.per_head | wc -w)" -eq 8 ] || fail "one error a head of the batch: $(cat stdout)"
exact $batch --fit --features 41 --projection-per-head
exact --q single.npy --k single.npy --v single.npy --fit
exact --q fq.npy --k one.npy --v onev.npy --fit
exact --q one.npy --k fq.npy --v fv.npy --fit

# float16 and float64 give the bits of float32.
good run $qkv --out out/o4.npy --fit --features 16
for type in '<f2' '<f8'; do
    array tq.npy "$type" '4, 40, 6' 960 1
    array tk.npy "$type" '2, 40, 6' 480 2
    array tv.npy "$type" '2, 40, 5' 400 3
    good run --q tq.npy --k tk.npy --v tv.npy --out out/o.npy --fit --features 16
    identical out/o.npy out/o4.npy
done
good fit --q tq.npy --k tk.npy --v tv.npy --out out/e.npz --features 16 --seed 5
notes 3 'is float64'
identical e.npz out/e.npz
good advise --q tq.npy --k tk.npy --v tv.npy --draws 1
notes 3 'is float64'

# The smallest inputs and numbers of features; of one key nothing is left to estimate.
for features in 1 2 3; do
    good run $qkv --fit --features $features --compare
    good run $qkv60 --fit --features $features --projection-per-head
    good run --q single.npy --k single.npy --v single.npy --fit --features $features
    good run --q one.npy --k one.npy --v onev.npy --fit --features $features --out out/o.npy
    values out/o.npy >got.txt
    values onev.npy >want.txt
    same got.txt want.txt 1e-6
done
good fit --q one.npy --k one.npy --out out/e.npz
good run --q one.npy --k one.npy --v onev.npy --estimator out/e.npz --compare
between "$(field relative_error.median)" 0 1e-6

# Queries or keys that are all alike leave nothing to balance; one note a K/V head says so.
good fit --q k.npy --k zero.npy --v v.npy --out out/e.npz
notes 2 'all alike'
good run --q zero.npy --k k.npy --v v.npy --fit --target-error 1e-5
notes 2 'all alike'
good advise --q zero.npy --k zero.npy --v v.npy --methods --svg out/a.svg
notes 2 'all alike'
rm -f out/*

# -------------------------------------------------------------------------------------------------------- target error

good run $layer --fit --target-error 0.2 --compare-rows all # M = 128: predicted 0.18, measured 0.15
notes 1 'has a predicted error of'
between "$(field predicted_error)" 0.02 0.2
between "$(field relative_error.median)" 0.1 0.4
between "$(field features)" 65 512
features=$(field features)
good run $layer --fit --target-error 0.2 --out out/a.npy
good run $layer --fit --features "$features" --out out/b.npy
identical out/a.npy out/b.npy
good run $layer --fit --target-error 0.05 --json
json predicted_error exact_keys
good run $batch --fit --target-error 0.2 --projection-per-head --projection-out out/w.npy
[ "$(shape out/w.npy)" = "2, $(($(field features) - $(field exact_keys))), 6" ] || fail "shape of W: $(shape out/w.npy)"
good run --q one.npy --k one.npy --v onev.npy --fit --target-error 1e-5
good run --q single.npy --k single.npy --v single.npy --fit --target-error 1e-5
rm -f out/*

# Beyond reach: below the rounding of exact keys, and where no number of features on the ladder is enough.
bad 1 'no M up to 64 has a predicted error of at most 1e-09' run $qkv $o --fit --target-error 1e-9
grep -q 'exact attention (--exact) would take about [0-9.e-]* s here$' stderr || fail "what else: $(cat stderr)"
bad 1 'no M up to 4096 has a predicted error' run --q fq.npy --k fq.npy --v fv.npy $o --fit --target-error 1e-9 \
    --causal --allow-future-leak
array many.npy '<f4' '4200, 6' 25200 9
array manyv.npy '<f4' '4200, 5' 21000 9
bad 1 'no M up to 4096 has a predicted error' run --q one.npy --k many.npy --v manyv.npy $o --fit --target-error 1e-9

# ------------------------------------------------------------------------------------------- corrected values, best draws

good run $layer --fit --features 64 --compare-rows all
fit64=$(field relative_error.median)
good run $layer --fit --features 64 --compare-rows all --correct-values --lse out/corrected.npy
below "$(field relative_error.median)" "$(half "$fit64")" # measured 0.12, half of these rows were sampled
[ "$(field corrected_values)" = yes ] || fail "corrected_values: $(cat stdout)"
good run $layer --fit --features 64 --lse out/fit.npy
identical out/corrected.npy out/fit.npy # biased outputs, the same estimate of the kernel
good run $layer --features 64 --compare-rows all --correct-values
below "$(field relative_error.median)" 0.6 # of plain features: 0.73 without
good run $batch --fit --correct-values --features 9
good run $qkv --estimator e.npz --correct-values
good run --q single.npy --k single.npy --v single.npy --correct-values --features 3
good run --q one.npy --k one.npy --v onev.npy --correct-values --features 3 --map hyperbolic
rm -f out/*
bad 2 'does not go with --causal' run $qkv $o --correct-values --causal
bad 2 'does not go with --exact' run $qkv $o --correct-values --exact
bad 2 'goes with --map positive or hyperbolic' run $qkv $o --correct-values --map relu

# Of the draws of seeds 0 to 3 each head keeps the best on 256 of its 512 rows: the median cannot be worse by much than
# that of the best single one, and W is written as it was used.
good run $layer --fit --features 64 --compare-rows all --best-of 4 --projection-out out/best.npy --out out/best_o.npy
below "$(field relative_error.median)" "$fit64"
[ "$(shape out/best.npy)" = "12, 32, 32" ] || fail "shape of W: $(shape out/best.npy)"
good run $layer --fit --exact-keys 32 --projection-in out/best.npy --out out/again.npy
identical out/best_o.npy out/again.npy
good run $layer --fit --features 64 --best-of 1 --out out/a.npy
good run $layer --fit --features 64 --out out/b.npy
identical out/a.npy out/b.npy
good run $layer --features 64 --map trig --best-of 2 --projection-per-head --compare
good run $batch --best-of 3 --features 9
rm -f out/*
bad 2 'best-of chooses projections' run $qkv $o --best-of 2 --causal
bad 2 'best-of chooses projections' run $qkv $o --best-of 2 --projection-in w.npy
bad 2 'best-of expects' run $qkv $o --best-of 65
rm -f out/*

good run $layer --fit --exact-keys auto --features 64 --compare-rows all
notes 1 'have the least predicted error'
below "$(field relative_error.median)" "$(awk -v x="$fit64" 'BEGIN { print 1.2 * x }')"
good run $layer --exact-keys auto --features 64
good run $qkv --estimator e.npz --exact-keys auto
good run --q one.npy --k one.npy --v onev.npy --fit --exact-keys auto --features 2
bad 2 'exact-keys auto does not go with' run $qkv $o --fit --exact-keys auto --causal --allow-future-leak
bad 2 'exact-keys auto does not go with' run $qkv $o --fit --exact-keys auto --target-error 0.1
bad 2 'exact-keys expects' fit $qkv $o --exact-keys auto

# A file holds parameters for runs without exact keys, too: causal ones.
good fit $layer --features 64 --out out/default.npz
good fit $layer --features 64 --exact-keys 0 --out out/none.npz
good run $layer --estimator out/none.npz --causal --compare
none=$(field relative_error.median)
good run $layer --estimator out/default.npz --causal --compare
between "$(field relative_error.median)" "$(awk -v x="$none" 'BEGIN { print 0.99 * x }')" \
    "$(awk -v x="$none" 'BEGIN { print 1.01 * x }')"
rm -f out/*

# ------------------------------------------------------------------------------------------------------------- advise

fields="device class shape mean_s_plain mean_s effective_keys features exact_keys predicted_error predicted_error_per_head
    mean_value_error rows draws fit_seconds seconds exact_seconds faster_up_to advice"
good advise $layer --svg out/a.svg
sed -n 's/^advice: //p' stdout | grep -q '^Use .*\.$' || fail "advice: $(cat stdout)"
[ "$(grep -c '^ *[0-9]* .* [0-9.]* .* [0-9.]*' stdout)" -ge 12 ] || fail "a line a head: $(cat stdout)"
between "$(awk '/^plain / { print $2 }' stdout)" 0.5 1.1          # at M = 64, as measured above
between "$(awk '/^fitted / { print $2 }' stdout)" "$(half "$fitted")" "$(awk -v x="$fitted" 'BEGIN { print 2 * x }')"
below "$(awk '/^fitted / { print $5 }' stdout)" 0.05              # at M = 512
between "$(sed -n 's/^Median over heads (answering mean(V): \(.*\))$/\1/p' stdout)" 0.7 0.9 # 0.80 on all rows
if command -v xmllint >/dev/null; then
    xmllint --noout out/a.svg || fail "no XML"
fi
grep -q '^<svg ' out/a.svg && [ "$(tail -c 7 out/a.svg)" = '</svg>' ] || fail "no SVG: $(head -c 100 out/a.svg)"
good advise $qkv60 --json --target-error 1e-9 --draws 1 --compare-rows all --seed 3
json $fields
grep -q '"advice": "Use exact attention' stdout && grep -q '"draws": 1,' stdout && grep -q '"rows": 40,' stdout ||
    fail "advise --json: $(cat stdout)"
good advise $qkv --methods --json --draws 1 --sample 20 --scale 0.5
json $fields plain fitted 'plain with exact keys' 'fitted, no exact keys' 'key shift' OPRF \
    'diagonal balancing (SADERF)' 'full balancing (ADERF)' SDERF
for inputs in '--q one.npy --k one.npy --v onev.npy' '--q single.npy --k single.npy --v single.npy' "$batch"; do
    good advise $inputs --draws 1 --target-error 100
    grep -q '^advice: Use ' stdout || fail "advice: $(cat stdout)"
done

echo "test_cli_fit: $checks checks"
