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

first=1
for data in minilm-layer5 minilm-long; do
    for features in 64 256 1024; do
        : >"$results"
        for seed in $seeds; do
            "$root/build/bin/clfavor" run --q "$root/data/$data-q.npy" --k "$root/data/$data-k.npy" \
                --v "$root/data/$data-v.npy" --features $features --seed "$seed" --compare --repeat 3 \
                >>"$results" 2>"$notes" || {
                cat "$notes" >&2
                exit 1
            }
        done
        awk -v first=$first -v data=$data '
            {
                colon = index($0, ": ")
                key = substr($0, 1, colon - 1)
                value[key] = substr($0, colon + 2)
            }
            key == "tokens_per_second" && (!time || 1e6 / value[key] < time) { time = 1e6 / value[key] }
            key == "relative_error.median" { median += value[key]; ++draws }
            key == "relative_error.per_head" {
                heads = split(value[key], error, " ")
                for (i = 1; i <= heads; ++i)
                    per_head[i] += error[i]
            }
            END {
                if (first) {
                    printf "device: %s (%s class)\n\n", value["device"], value["class"]
                    printf "%-14s %-14s %4s %7s   %s\n", "", "B H n d", "", "us a", "relative error |O - E| / |E|"
                    printf "%-14s %-14s %4s %7s   %6s %7s  %s\n", "data", "shape", "m", "token*", "median", "mean(V)", "per head"
                }
                printf "%-14s %-14s %4d %7.2f   %6.3f %7.3f ", data, value["shape"], value["features"], time,
                    median / draws, value["mean_value_error"]
                for (i = 1; i <= heads; ++i)
                    printf " %.2f", per_head[i] / draws
                print ""
            }' "$results"
        first=0
    done
done
printf '\n* of all heads together, best of three draws; errors are means of the draws %s.\n' "$seeds"
printf 'mean(V): the error of answering every query with the mean of the values. E: exact attention.\n'
