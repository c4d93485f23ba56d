#!/bin/sh
# The program as a user meets it: exit codes, one clear line for every mistake, no file left behind, and right results.
# Needs CLFAVOR_BIN and CLFAVOR_SOURCE.
# shellcheck disable=SC2086,SC2015 # groups of options in variables are meant to be split; "a && b || fail" means it
# shellcheck source=tests/scripts/program.sh
. "$CLFAVOR_SOURCE/tests/scripts/program.sh"
data=$CLFAVOR_SOURCE/data

# ------------------------------------------------------------------------------------------------------- no device yet

good --version
grep -q '^clfavor [0-9]*\.[0-9]*\.[0-9]*$' stdout || fail "--version: $(cat stdout)"
good --help
for command in run features devices bench tune selftest; do
    good "$command" --help
    grep -q "^Usage: clfavor $command" stdout || fail "$command --help"
done

array q.npy '<f4' '4, 40, 6' 960 1
array k.npy '<f4' '2, 40, 6' 480 2
array v.npy '<f4' '2, 40, 5' 400 3
qkv="--q q.npy --k k.npy --v v.npy"
o="--out out/o.npy --lse out/lse.npy --lse-sign out/sign.npy"

bad 2 'expected a subcommand'
bad 2 'expected a subcommand' walk
bad 2 "unknown option '--bogus'" run $qkv $o --bogus
bad 2 "unknown option '-xyz'" run $qkv $o -xyz
bad 2 'expects a value' run $qkv --out
bad 2 'takes no value' run $qkv $o --causal=1
bad 2 "unexpected argument 'more'" run $qkv $o more
bad 2 'needs --v' run --q q.npy --k k.npy $o
bad 2 'needs --role' features --x q.npy --out out/f.npy

for number in 0 -3 12x 70000 '' ' 5' 1e3 4294967297 18446744073709551617; do
    bad 2 '--features expects a whole number' run $qkv $o "--features=$number"
done
for number in -1 18446744073709551616 0x12 x; do
    bad 2 '--seed expects a whole number' run $qkv $o "--seed=$number"
done
for number in nan inf 0 -1 1e39 1e999 1e-999 1x ''; do
    bad 2 '--scale expects a finite number' run $qkv $o "--scale=$number"
done
bad 2 '--repeat expects' run $qkv $o --repeat 0
bad 2 '--chunk expects' run $qkv $o --chunk 0
for number in some ALL 0 -1 18446744073709551616; do
    bad 2 'above 0, or all' run $qkv $o "--compare-rows=$number"
done
bad 2 '--lse expects a name' run $qkv --out out/o.npy --lse=
bad 2 '--device expects a name' run $qkv $o --device ''
bad 2 '--map expects' run $qkv $o --map softmax
bad 2 '--projection expects' run $qkv $o --projection haar
bad 2 '--role expects' features --x q.npy --out out/f.npy --role value

# Files: missing, a folder, no .npy, cut, too long, of another type or order.
bad 2 'No such file' run --q none.npy --k k.npy --v v.npy $o
bad 2 'not a regular file' run --q . --k k.npy --v v.npy $o
printf 'these are no numbers, only text that goes on a little' >text.npy
bad 2 'no .npy file' run --q text.npy --k k.npy --v v.npy $o
for bytes in 0 5 60 200; do
    head -c $bytes q.npy >cut.npy
    bad 2 "$(if [ $bytes -eq 0 ]; then echo 'is empty'; else echo 'is cut off'; fi)" run --q cut.npy --k k.npy --v v.npy $o
done
cp q.npy long.npy
printf x >>long.npy
bad 2 '1 bytes after the data' run --q long.npy --k k.npy --v v.npy $o
for type in '>f4' '<i4' '|O' '<c8'; do
    header typed.npy "$type" '4, 40, 6'
    tail -c +129 q.npy >>typed.npy
    bad 2 'expected float32' run --q typed.npy --k k.npy --v v.npy $o
done
header fortran.npy '<f4' '4, 40, 6' True
tail -c +129 q.npy >>fortran.npy
bad 2 'Fortran order' run --q fortran.npy --k k.npy --v v.npy $o

# Shapes.
array rank1.npy '<f4' '6,' 6 1
array rank5.npy '<f4' '1, 1, 1, 2, 6' 12 1
header empty.npy '<f4' '4, 0, 6'
array wide.npy '<f4' '2, 257' 514 1
array d7.npy '<f4' '2, 40, 7' 560 1
array n39.npy '<f4' '2, 39, 5' 390 1
array h3.npy '<f4' '3, 40, 6' 720 1
array hv1.npy '<f4' '1, 40, 5' 200 1
array k39.npy '<f4' '2, 39, 6' 468 1
array b2.npy '<f4' '2, 2, 40, 6' 960 1
array flat.npy '<f4' '40, 6' 240 1
bad 2 'expected [n, d]' run --q rank1.npy --k k.npy --v v.npy $o
bad 2 'expected [n, d]' run --q rank5.npy --k k.npy --v v.npy $o
bad 2 'axis of length 0' run --q empty.npy --k k.npy --v v.npy $o
bad 2 'last axis of 257' run --q wide.npy --k wide.npy --v wide.npy $o
bad 2 'last axis of q' run --q q.npy --k d7.npy --v v.npy $o
bad 2 'heads and tokens of k' run --q q.npy --k k.npy --v n39.npy $o
bad 2 'heads and tokens of k' run --q q.npy --k k.npy --v hv1.npy $o
bad 2 'must be a multiple' run --q q.npy --k h3.npy --v h3.npy $o
bad 2 'number of axes' run --q q.npy --k flat.npy --v flat.npy $o
bad 2 'number of axes' run --q b2.npy --k k.npy --v v.npy $o
bad 2 'as many queries as keys' run --q q.npy --k k39.npy --v k39.npy $o --causal

# Projections that do not fit.
array w.npy '<f8' '8, 6' 48 4
array w3.npy '<f8' '3, 8, 6' 144 4
array w7.npy '<f8' '8, 7' 56 4
array w1.npy '<f8' '6,' 6 4
bad 2 'contradicts' run $qkv $o --projection-in w.npy --features 9
bad 2 'contradicts' run $qkv $o --projection-in w.npy --projection-per-head
bad 2 'has 3 matrices' run $qkv $o --projection-in w3.npy
bad 2 'have 6 dimensions' run $qkv $o --projection-in w7.npy
bad 2 'expected [m, 6]' run $qkv $o --projection-in w1.npy
bad 2 'has no projection' run $qkv $o --exact --projection-out out/w.npy
bad 2 'has no projection' run $qkv $o --map elu --projection-in w.npy
header infinite.npy '<f8' '1, 6'
printf '\000\000\000\000\000\000\360\077\000\000\000\000\000\000\360\177' >>infinite.npy
printf '\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >>infinite.npy
bad 2 'holds inf at element 1' run $qkv $o --projection-in infinite.npy
cp w.npy phased.npy
array phased.phase.npy '<f8' '7,' 7 1
bad 2 'the phases' run $qkv $o --projection-in phased.npy

# Outputs that cannot be, or would overwrite something of the same run.
bad 1 'cannot write' run $qkv --out none/o.npy
bad 1 'Is a directory' run $qkv --out out
bad 1 'Not a directory' run $qkv --out q.npy/o.npy
bad 1 'cannot write' run $qkv --out out/o.npy --lse none/lse.npy
if [ -w /dev/full ]; then
    bad 1 'No space left' run $qkv --out /dev/full --lse out/lse.npy
fi
cp q.npy kept.npy
bad 2 'also an input' run --q kept.npy --k k.npy --v v.npy --out kept.npy
bad 2 'also an input' run --q kept.npy --k k.npy --v v.npy --out "$work/./kept.npy"
cmp -s q.npy kept.npy || fail "an input was overwritten"
bad 2 'two outputs' run $qkv --out out/o.npy --lse out/o.npy
bad 2 'two outputs' run $qkv --out out/o.npy --lse out/../out/o.npy
bad 2 'two outputs' run $qkv --out out/o.phase.npy --projection-out out/o.npy

# A device may have room for any pieces that can be asked for; where it has not, the line says what to do.
array large.npy '<f4' '1, 256' 256 1
status=0
"$bin" run --q large.npy --k large.npy --v large.npy --features 65536 --pieces 1024 >stdout 2>stderr || status=$?
[ $status -eq 0 ] || grep -q 'give fewer --pieces or --features$' stderr || fail "1024 pieces: $(cat stderr)"
checks=$((checks + 1))

# Devices that are not there.
bad 3 'matches no device' run $qkv $o --device 'no such device'
bad 3 'matches no device' run $qkv $o --device 99:0
(
    export OCL_ICD_VENDORS="$work/none"
    bad 3 'install an OpenCL driver' run $qkv $o
    bad 3 'install an OpenCL driver' devices
)
(
    export CLFAVOR_DEVICE=nonesuch
    bad 3 "CLFAVOR_DEVICE 'nonesuch' matches no device" run $qkv $o
)

# ------------------------------------------------------------------------------------------------------------- devices

good devices
grep -q '^    class: [cg]pu$' stdout || fail "devices: $(cat stdout)"
index=$(sed -n 's/^    index: //p' stdout | head -n 1)
good devices --json
grep -q '"class_reason": "' stdout && grep -q '"chosen": true' stdout || fail "devices --json: $(cat stdout)"
good run $qkv --device "$index"
name=$(field device)
good run $qkv --device "$(echo "$name" | tr '[:lower:]' '[:upper:]')"
[ "$(field device)" = "$name" ] || fail "a name in capitals chose $(field device)"

# ------------------------------------------------------------------------------------------- exact attention against awk

# softmax CAUSAL: exact attention of [4, n, 6] queries and [2, n_k, ..] keys and values in double; q, k, v as numbers.
softmax() {
    cat "$2" "$3" "$4" | awk -v causal="$1" -v n="$5" -v nk="$6" -v part="$7" '
        { x[NR - 1] = $1 }
        END {
            d = 6; dv = 5; k0 = 4 * n * d; v0 = k0 + 2 * nk * d
            for (h = 0; h < 4; ++h)
                for (i = 0; i < n; ++i) {
                    kv = int(h / 2); last = causal ? i : nk - 1; top = -1e300; sum = 0
                    for (j = 0; j <= last; ++j) {
                        s[j] = 0
                        for (l = 0; l < d; ++l)
                            s[j] += x[(h * n + i) * d + l] * x[k0 + (kv * nk + j) * d + l]
                        s[j] /= sqrt(d)
                        if (s[j] > top)
                            top = s[j]
                    }
                    for (l = 0; l < dv; ++l)
                        o[l] = 0
                    for (j = 0; j <= last; ++j) {
                        p = exp(s[j] - top); sum += p
                        for (l = 0; l < dv; ++l)
                            o[l] += p * x[v0 + (kv * nk + j) * dv + l]
                    }
                    if (part == "lse")
                        print top + log(sum)
                    else
                        for (l = 0; l < dv; ++l)
                            printf "%.9g\n", o[l] / sum
                }
        }'
}

# Sums of at most 60 terms of magnitude below 2, each rounded to 2^-24 relative, twice: 60 * 2 * 2 * 6e-8 = 1.4e-5.
tolerance=1.5e-5
array k60.npy '<f4' '2, 60, 6' 720 5
array v60.npy '<f4' '2, 60, 5' 600 6
for file in q k v k60 v60; do
    values $file.npy >$file.txt
done
good run $qkv $o --exact --causal
[ "$(shape out/o.npy)" = '4, 40, 5' ] && [ "$(shape out/lse.npy)" = '4, 40' ] || fail "shapes: $(shape out/o.npy)"
values out/o.npy >got.txt
softmax 1 q.txt k.txt v.txt 40 40 o >want.txt
same got.txt want.txt $tolerance
values out/lse.npy >got.txt
softmax 1 q.txt k.txt v.txt 40 40 lse >want.txt
same got.txt want.txt $tolerance
values out/sign.npy | sort -u | tr -d '\n' | grep -q '^1$' || fail "signs of exact attention"
good run --q q.npy --k k60.npy --v v60.npy --out out/o.npy --exact
values out/o.npy >got.txt
softmax 0 q.txt k60.txt v60.txt 40 60 o >want.txt
same got.txt want.txt $tolerance

# ------------------------------------------------------------------------------------------------- types, ranks, maps

for map in positive hyperbolic trig trig-phase gaussian relu elu; do
    for causal in '' --causal; do
        good run $qkv $o --map $map --features 13 $causal
        [ "$(field map)" = $map ] || fail "map: $(cat stdout)"
        values out/o.npy | grep -qi nan && fail "$map $causal gives NaN"
        [ "$(values out/o.npy | wc -l)" -eq 800 ] || fail "$map $causal: size"
    done
done

good run $qkv --out out/o4.npy
for type in '<f2' '<f8'; do
    array tq.npy "$type" '4, 40, 6' 960 1
    array tk.npy "$type" '2, 40, 6' 480 2
    array tv.npy "$type" '2, 40, 5' 400 3
    good run --q tq.npy --k tk.npy --v tv.npy --out out/o.npy
    cmp -s out/o.npy out/o4.npy || fail "$type gives other bits than <f4"
    [ "$(grep -c 'float64' stderr)" -eq "$([ "$type" = '<f8' ] && echo 3 || echo 0)" ] || fail "note: $(cat stderr)"
done

# An output must not get the number of a closed stream: what is printed there, here three notes, would be in it.
"$bin" run --q tq.npy --k tk.npy --v tv.npy --out out/o.npy >stdout 2>&- || fail "exit $? with stderr closed"
cmp -s out/o.npy out/o4.npy || fail "with stderr closed the output has other bytes"
for arguments in --help --version devices 'devices --help' 'run --help' 'features --help' "run $qkv"; do
    status=0
    "$bin" $arguments >&- 2>stderr || status=$?
    [ $status -eq 1 ] && grep -q 'stdout cannot be written' stderr || fail "exit $status with stdout closed: $arguments"
    checks=$((checks + 1))
done

array fq.npy '<f4' '40, 6' 240 1
good run --q fq.npy --k fq.npy --v fq.npy --out out/o.npy --lse out/lse.npy
[ "$(shape out/o.npy)" = '40, 6' ] && [ "$(shape out/lse.npy)" = '40,' ] || fail "shape of [n, d]: $(shape out/lse.npy)"
array bq.npy '<f4' '2, 4, 40, 6' 1920 1
array bk.npy '<f4' '2, 2, 40, 6' 960 2
array bv.npy '<f4' '2, 2, 40, 5' 800 3
good run --q bq.npy --k bk.npy --v bv.npy --out out/o.npy --lse out/lse.npy --json
[ "$(shape out/o.npy)" = '2, 4, 40, 5' ] && [ "$(shape out/lse.npy)" = '2, 4, 40' ] || fail "shape of [B, H, n, d]"

# One token: O is its value; to rounding, since a sum of one term is divided by itself.
array one.npy '<f4' '1, 6' 6 1
array onev.npy '<f4' '1, 3' 3 2
values onev.npy >want.txt
for options in '' --causal --exact '--exact --causal' '--map relu' '--map elu'; do
    good run --q one.npy --k one.npy --v onev.npy --out out/o.npy $options
    values out/o.npy >got.txt
    same got.txt want.txt 1e-6
done

# ----------------------------------------------------------------------------------------------- projections and seeds

good run $qkv --out out/a.npy --projection-out out/w.npy --features 9 --seed 18446744073709551615 --map gaussian
good run $qkv --out out/b.npy --features 9 --seed 18446744073709551615 --map gaussian
cmp -s out/a.npy out/b.npy || fail "the same seed gives other bits"
good run $qkv --out out/b.npy --features 9 --seed 1 --map gaussian
cmp -s out/a.npy out/b.npy && fail "another seed gives the same bits"
[ "$(shape out/w.npy)" = '9, 6' ] && [ "$(shape out/w.phase.npy)" = '9,' ] || fail "shape of W: $(shape out/w.npy)"
# trig-phase depends on the phases.
good run $qkv --out out/a.npy --projection-out out/w.npy --features 9 --seed 7 --map trig-phase
good run $qkv --out out/b.npy --projection-in out/w.npy --projection-out out/w2.npy --map trig-phase
cmp -s out/a.npy out/b.npy && cmp -s out/w.npy out/w2.npy && cmp -s out/w.phase.npy out/w2.phase.npy ||
    fail "the projection does not survive the round trip"
rm out/w.phase.npy
good run $qkv --out out/b.npy --projection-in out/w.npy --seed 8 --map trig-phase
cmp -s out/a.npy out/b.npy && fail "the phases were not drawn from --seed"
good run $qkv --out out/b.npy --projection-in out/w.npy --seed 7 --map trig-phase
cmp -s out/a.npy out/b.npy || fail "the phases drawn from the seed differ"

good run $qkv --out out/a.npy --projection-out out/w.npy --features 9 --projection-per-head
[ "$(shape out/w.npy)" = '2, 9, 6' ] && [ "$(shape out/w.phase.npy)" = '2, 9' ] || fail "shape of W: $(shape out/w.npy)"
good run $qkv --out out/b.npy --projection-in out/w.npy
cmp -s out/a.npy out/b.npy || fail "a projection per head does not survive the round trip"
# One matrix a query head: the same two, each for two heads, must give the same to rounding.
header out/w4.npy '<f8' '4, 9, 6'
tail -c +129 out/w.npy >both.bin
{ head -c 432 both.bin && head -c 432 both.bin && tail -c 432 both.bin && tail -c 432 both.bin; } >>out/w4.npy
good run $qkv --out out/b.npy --projection-in out/w4.npy
values out/a.npy >want.txt
values out/b.npy >got.txt
same got.txt want.txt 1e-5

good run $qkv --projection simplex
good run $qkv --projection orthogonal-pairs
grep -q 'half of the rows' stderr && fail "orthogonal-pairs is said to be wasted on positive features"
good run $qkv --projection orthogonal-pairs --map hyperbolic
grep -q 'half of the rows' stderr || fail "orthogonal-pairs does not say that hyperbolic features repeat"
good run $qkv --projection orthogonal-fixed-norm
grep -q 'biased' stderr || fail "orthogonal-fixed-norm does not say that it is biased"
good run $qkv --map elu --features 12 --scale 2
grep -q 'ignored' stderr || fail "elu does not say what it ignores"

# ------------------------------------------------------------------------------------------------------------ features

# elu has no random numbers: features * exp(log scale) = elu(x) + 1, for queries a scale a row, for keys one a feature.
awk '{ printf "%.9g\n", ($1 > 0 ? $1 + 1 : exp($1)) }' q.txt >want.txt
good features --x q.npy --out out/f.npy --role query --map elu
[ "$(shape out/f.npy)" = '4, 40, 6' ] && [ "$(shape out/f.logscale.npy)" = '4, 40' ] || fail "shape of features"
values out/f.logscale.npy >scale.txt
values out/f.npy | awk '
    NR == FNR { scale[NR - 1] = $1; next }
    { printf "%.9g\n", $1 * exp(scale[int((FNR - 1) / 6)]) }' scale.txt - >got.txt
same got.txt want.txt 2e-6
good features --x q.npy --out out/f.npy --out-scale out/s.npy --role key --map elu
[ "$(shape out/s.npy)" = '4, 6' ] || fail "shape of the keys' log scale: $(shape out/s.npy)"
values out/s.npy >scale.txt
values out/f.npy | awk '
    NR == FNR { scale[NR - 1] = $1; next }
    { r = FNR - 1; printf "%.9g\n", $1 * exp(scale[int(r / 240) * 6 + r % 6]) }' scale.txt - >got.txt
same got.txt want.txt 2e-6
for map in trig trig-phase gaussian; do
    good features --x fq.npy --out out/f.npy --out-scale out/s.npy --role key --map $map --features 9
    [ "$(shape out/s.npy)" = '1,' ] || fail "log scale of $map keys: $(shape out/s.npy)"
done
good features --x q.npy --out out/f.npy --role query --map hyperbolic --projection-in out/w.npy
[ "$(shape out/f.npy)" = '4, 40, 18' ] || fail "shape of hyperbolic features: $(shape out/f.npy)"
cp out/w.npy w2.npy
rm -f out/*
bad 2 'divisor of the 3 heads' features --x h3.npy --out out/f.npy --role query --projection-in w2.npy
bad 2 'has 2 matrices' features --x h3.npy --out out/f.npy --role key --projection-in w2.npy

# ------------------------------------------------------------------------------------------------ reports and comparison

layer="--q $data/minilm-layer5-q.npy --k $data/minilm-layer5-k.npy --v $data/minilm-layer5-v.npy"
long="--q $data/minilm-long-q.npy --k $data/minilm-long-k.npy --v $data/minilm-long-v.npy"
good run $layer --compare --json --repeat 2
keys=$(grep -o '"[a-z_]*":' stdout | tr -d '":' | tr '\n' ' ')
[ "$keys" = "device class shape map features seconds wall_seconds tokens_per_second relative_error median per_head \
mean_value_error workspace_bytes build_seconds " ] || fail "keys of the report: $keys"
if command -v python3 >/dev/null; then
    python3 -m json.tool <stdout >/dev/null || fail "no JSON: $(cat stdout)"
fi
grep -q 'compared 512 of 512' stderr || fail "--compare does not say how many rows: $(cat stderr)"
good run $layer --compare
between "$(field mean_value_error)" 0.80 0.81 # data/README.md: 0.80, as the median over heads
[ "$(field relative_error.per_head | wc -w)" -eq 12 ] || fail "one error a head: $(cat stdout)"
between "$(field seconds)" 0 60
good run $long --exact --compare-rows 100
between "$(field relative_error.median)" 0 1e-6
between "$(field mean_value_error)" 0.5 1
grep -q 'compared 99 of 3657' stderr || fail "rows of --compare-rows: $(cat stderr)" # every 37th
good run $long --exact --compare-rows 100 --causal
between "$(field relative_error.median)" 0 1e-6
good run $layer --exact --features 3 --compare-rows all
grep -q 'ignored' stderr || fail "--exact does not say what it ignores"

# NaN is legal input, and null in JSON; so is a sum of 0.
cp v.npy nan.npy
printf '\000\000\300\177' | dd of=nan.npy bs=1 seek=128 conv=notrunc 2>/dev/null
good run --q q.npy --k k.npy --v nan.npy --out out/o.npy --compare --json
grep -q 'null' stdout || fail "NaN in JSON: $(cat stdout)"
values out/o.npy | grep -qi nan || fail "NaN was lost"
header zero.npy '<f4' '40, 6'
dd if=/dev/zero bs=960 count=1 2>/dev/null >>zero.npy
good run --q zero.npy --k fq.npy --v fq.npy --map relu --out out/o.npy --lse out/lse.npy --lse-sign out/sign.npy
grep -q '40 of 40 rows had a sum that is not positive' stderr || fail "sums of 0 are not reported: $(cat stderr)"
[ "$(values out/o.npy | sort -u)" = 0 ] && [ "$(values out/lse.npy | sort -u)" = -inf ] &&
    [ "$(values out/sign.npy | sort -u)" = 0 ] || fail "sums of 0: O, lse, sign"
rm -f out/*

# A million tokens: the file is sparse, so that mapping it costs nothing.
header million.npy '<f4' '1000000, 16'
dd if=/dev/zero of=million.npy bs=1 count=1 seek=64000127 conv=notrunc 2>/dev/null
good run --q million.npy --k million.npy --v million.npy --features 16 --compare-rows 8
between "$(field relative_error.median)" 0 0

# A signal in the middle leaves nothing behind.
"$bin" run $layer --out out/o.npy --features 4096 --repeat 1000000 >stdout 2>stderr &
child=$!
tries=0
while [ -z "$(ls -A out)" ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
[ -n "$(ls -A out)" ] || fail "no temporary file appeared"
kill -TERM $child
status=0
wait $child || status=$?
[ $status -eq 143 ] || fail "exit $status after SIGTERM"
[ -z "$(ls -A out)" ] || fail "left behind after SIGTERM: $(ls -A out)"

echo "test_cli: $checks checks"
