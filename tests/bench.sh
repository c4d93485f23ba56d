#!/bin/sh
# clfavor bench as a user meets it: figures that are there and possible, reports, exit codes. Nothing here depends on how
# fast the machine is.
# Needs CLFAVOR_BIN and CLFAVOR_SOURCE.
subcommand=bench
# shellcheck source=tests/scripts/subcommand.sh
. "$CLFAVOR_SOURCE/tests/scripts/subcommand.sh"

# has KEY COUNT: so many lines of that key
has() {
    [ "$(grep -c "^$1: ." stdout)" -eq "$2" ] || fail "not $2 lines of $1: $(cat stdout)"
}

# between KEY LOW HIGH: every value of that key
between() {
    awk -v key="$1:" -v low="$2" -v high="$3" '$1 == key { ++n; if (!($2 > low && $2 < high)) bad = 1 }
        END { exit !n || bad }' stdout || fail "$1 is not in $2 .. $3: $(cat stdout)"
}

# ------------------------------------------------------------------------------------------------- usage

"$bin" bench --help | grep -q -e '--shape' || fail "--help"
for shape in 8 8,64,16 0,64,16,32 1,64,300,32 1,64,16,65537 1,64,16,32,4 1,64,16,x -1,64,16,32 ' 1,64,16,32' \
    1,99999999999999999999,16,32; do
    bad 2 'expects H,n,d,m' "--shape=$shape"
done
bad 2 'expects a value' --shape ''
bad 2 'attention, exact' --operation backward
bad 2 'positive, hyperbolic' --map softmax
bad 2 '--repeats expects' --repeats 0
bad 2 'cpu, gpu or auto' --class tpu
bad 2 'unexpected argument' 8,64,16,32
bad 2 'unknown option' --nothing
bad 2 'leave --shape out' --sweep --shape 1,64,16,32
bad 2 'both kinds' --sweep --causal
bad 2 'takes hours' --sweep --operation exact
bad 2 '--peers goes with' --peers --map relu
bad 2 'no features' --operation exact --map positive
bad 2 'neither causal' --operation features-key --causal
bad 3 'matches no device' --device nothing
bad 1 'cannot write' --shape 1,64,16,32 --json /nonexistent/x.json
bad 2 'two outputs' --shape 1,64,16,32 --json x --report x
bad 1 'clfavor' --shape 1,64,16,32 --kernel-dir /nonexistent
bad 1 'smaller --shape' --shape 65536,16777216,256,1 --causal

# ------------------------------------------------------------------------------------------------- figures

good --shape 2,64,16,32 --shape 1,96,16,32 --repeats 2 --json one.json --report one.html
for key in device.name device.class peak.by peak.fma_8_gflops.best peak.fma_12_gflops.best peak.fma_16_gflops.best \
    exponential.fma_equivalents bandwidth.gbytes_per_second.best worst.fraction_of_peak; do
    has $key 1
done
for key in microseconds_per_token_and_head.best microseconds_per_token_and_head.median fraction_of_peak.best \
    fraction_of_peak.median workspace_bytes plan_seconds.cold plan_seconds.second first_run_seconds cpu_over_wall; do
    has $key 4
done
grep -q '^flops_per_token_and_head: 4096$' stdout || fail "8 d m is not 4096"
between fraction_of_peak.best 0 1.2
between roofline_bound 0 1.0001
between peak.gflops.best 0 1e9
between exponential.fma_equivalents 0 1000
grep -q '^peak.sgemm_gflops' stdout || grep -q 'note: OpenBLAS is not there' stderr ||
    ! grep -q '^device.class: cpu' stdout || fail "nothing about sgemm: $(cat stderr)"

grep -q '"schema": "clfavor-bench"' one.json || fail "JSON without its schema"
grep -q '"schema_version": 1' one.json || fail "JSON without its version"
[ "$(grep -c '"fraction_of_peak": {' one.json)" -eq 4 ] || fail "JSON without four workloads"
if command -v python3 >/dev/null; then
    python3 -m json.tool one.json >/dev/null || fail "the JSON cannot be read"
fi
grep -q '<svg' one.html || fail "no plot in the page"
grep -E -q 'https?://|<script' one.html && fail "the page asks for something outside"

good --shape 1,64,16,32 --causal --repeats 1
has causal 1
grep -q '^causal: yes$' stdout || fail "--causal: $(cat stdout)"
good --shape 1,64,16,32 --operation exact --bidirectional --repeats 1
grep -q '^flops_per_token_and_head: 4096$' stdout || fail "4 n d is not 4096"
between fraction_of_peak.best 0 1.2
good --shape 1,64,16,32 --operation features-query --repeats 1
grep -q '^flops_per_token_and_head: 1024$' stdout || fail "2 m d is not 1024"

# ------------------------------------------------------------------------------------------------- fitted

# Plain, plain with exact keys, fitted with them, fitted; causal: plain, fitted.
good --shape 2,64,16,32 --fitted --repeats 2
has map 6
has time_over_plain.best 4
[ "$(grep -c '^map: exponential$' stdout)" -eq 3 ] || fail "--fitted: $(cat stdout)"
[ "$(grep -c '^exact_keys: 16$' stdout)" -eq 2 ] || fail "half of the rows: $(cat stdout)"
between time_over_plain.best 0 1e9
good --shape 1,8,16,32 --fitted --bidirectional --repeats 1 # no room for 16 exact keys
has map 2
bad 2 'fitted goes with' --fitted --sweep
bad 2 'fitted goes with' --fitted --map relu
bad 2 'fitted goes with' --fitted --operation exact

# ------------------------------------------------------------------------------------------------- peers

# Those in Python have their own test, and what an interpreter has is not for this one to know.
export CLFAVOR_BENCH_PYTHON=/nonexistent/python3
good --shape 2,300,16,32 --shape 1,64,16,32 --peers --repeats 1 --json peers.json --report peers.html
[ "$(grep -c 'note: peers in Python' stderr)" -eq 1 ] || fail "not one note for all shapes: $(cat stderr)"
for peer in openblas clblast; do
    grep -q "^peer: $peer$" stdout || grep -q "note: $peer: not" stderr || fail "nothing about $peer: $(cat stderr)"
done
if grep -q '^peer: ' stdout; then
    between peer_over_linear.best 0 1e9
    between peer_over_exact.best 0 1e9
    grep -q '^failed: no$' stdout || fail "--peers: $(cat stdout)"
    grep -q '"peer_over_linear": {' peers.json || fail "JSON without the peers"
    grep -q 'Beside others' peers.html || fail "no peers in the page"
fi
