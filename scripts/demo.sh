#!/bin/sh
# Sets up, builds into build/, and runs linear attention on the real queries, keys and values in data/: how fast, and how
# close to exact attention. Usage: demo.sh (CLFAVOR_DEVICE chooses the device)
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$root/build" --parallel "$(getconf _NPROCESSORS_ONLN)" --target clfavor_cli >/dev/null


result=$(mktemp)
notes=$(mktemp)
trap 'rm -f "$result" "$notes"' EXIT

first=1
for set in minilm-layer5 minilm-long; do
    for features in 64 256 1024; do
        "$root/build/bin/clfavor" run --q "$root/data/$set-q.npy" --k "$root/data/$set-k.npy" \
            --v "$root/data/$set-v.npy" --features $features --compare --repeat 5 >"$result" 2>"$notes" || {
            cat "$notes" >&2
            exit 1
        }
        awk -v first=$first -v data=$set '
            { colon = index($0, ": "); value[substr($0, 1, colon - 1)] = substr($0, colon + 2) }
            END {
                if (first) {
                    printf "device: %s (%s class)\n\n", value["device"], value["class"]
                    printf "%-14s %-20s %4s %7s   %s\n", "", "", "", "us a", "relative error |O - E| / |E|"
                    printf "%-14s %-20s %4s %7s   %6s %7s  %s\n", "data", "shape", "m", "token*", "median", "mean(V)", "per head"
                }
                printf "%-14s %-20s %4d %7.2f   %6.3f %7.3f ", data, value["shape"], value["features"],
                    1e6 / value["tokens_per_second"], value["relative_error.median"], value["mean_value_error"]
                heads = split(value["relative_error.per_head"], error, " ")
                for (i = 1; i <= heads; ++i)
                    printf " %.2f", error[i]
                print ""
            }' "$result"
        first=0
    done
done
printf '\n* of all heads together. mean(V): the error of answering every query with the mean of the values.\n'
