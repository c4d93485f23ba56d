#!/bin/sh
# Sets up, builds into build/, and runs linear attention on the real queries, keys and values in data/: how fast, and how
# close to exact attention. Usage: demo.sh (CLFAVOR_DEVICE chooses the device)
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
seeds="0 1 2"
sh "$root/scripts/setup.sh"
echo "building into $root/build" >&2
cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$root/build" --parallel "$(getconf _NPROCESSORS_ONLN)" --target clfavor_cli >/dev/null

results=$(mktemp)
notes=$(mktemp)
trap 'rm -f "$results" "$notes"' EXIT

# run DATA FEATURES [OPTION]: appends the results of all seeds
run() {
    for seed in $seeds; do
        "$root/build/bin/clfavor" run --q "$root/data/$1-q.npy" --k "$root/data/$1-k.npy" --v "$root/data/$1-v.npy" \
            --features "$2" --seed "$seed" --compare --repeat 3 ${3:+"$3"} >>"$results" 2>"$notes" || {
            cat "$notes" >&2
            exit 1
        }
    done
}

first=1
for data in minilm-layer5 minilm-long; do
    for features in 64 256 1024; do
        : >"$results"
        run $data $features
        echo "kind: fitted" >>"$results"
        run $data $features --fit
        awk -v first=$first -v data=$data -v m=$features '
            BEGIN { kind = 0 }
            {
                colon = index($0, ": ")
                key = substr($0, 1, colon - 1)
                value[key] = substr($0, colon + 2)
            }
            key == "kind" { kind = 1 }
            key == "tokens_per_second" && (!time[kind] || 1e6 / value[key] < time[kind]) { time[kind] = 1e6 / value[key] }
            key == "relative_error.median" { median[kind] += value[key]; ++draws[kind] }
            key == "relative_error.per_head" {
                heads = split(value[key], error, " ")
                for (i = 1; kind && i <= heads; ++i)
                    per_head[i] += error[i]
            }
            END {
                if (first) {
                    printf "device: %s (%s class)\n\n", value["device"], value["class"]
                    printf "%-14s %-14s %4s  %-24s  %-15s\n", "", "", "", "relative error", "us a token*"
                    printf "%-14s %-14s %4s  %-7s %7s %7s   %6s %7s   %s\n", "data", "B H n d", "m", "mean(V)", "plain",
                        "fitted", "plain", "fitted", "fitted, per head"
                }
                printf "%-14s %-14s %4d  %-7.3f %7.3f %7.3f   %6.2f %7.2f  ", data, value["shape"], m,
                    value["mean_value_error"], median[0] / draws[0], median[1] / draws[1], time[0], time[1]
                for (i = 1; i <= heads; ++i)
                    printf " %.2f", per_head[i] / draws[1]
                print ""
            }' "$results"
        first=0
    done
done
printf '\n* of all heads together, best of three draws. relative error: |O - E| / |E|, E exact attention; medians over heads,\n'
printf 'means of the draws %s. mean(V): answering every query with the mean of the values. fitted: run --fit, whose m rows\n' "$seeds"
printf 'are features and keys that are treated exactly; where m exceeds the keys, all are.\n'
