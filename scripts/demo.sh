#!/bin/sh
# Sets up, builds into build/, and runs linear attention on the real queries, keys and values in data/: how fast, and how
# close to exact attention. Usage: demo.sh (CLFAVOR_DEVICE chooses the device)
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$root/build" --parallel "$(getconf _NPROCESSORS_ONLN)" --target clfavor_cli >/dev/null

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
result=$work/result.json

# A number, string or array of the result, by name: arrays as they are, strings without their quotes.
field() {
    tr -d '\n' <"$result" | sed -n 's/.*"'"$1"'": *\(\[[^]]*\]\|"[^"]*"\|[^],}]*\).*/\1/p' | tr -d '"'
}

for set in minilm-layer5 minilm-long; do
    for features in 64 256 1024; do
        "$root/build/bin/clfavor" run --q "$root/data/$set-q.npy" --k "$root/data/$set-k.npy" \
            --v "$root/data/$set-v.npy" --features $features --compare --repeat 5 --json >"$result"
        if [ "$set $features" = "minilm-layer5 64" ]; then
            printf 'device: %s (%s class)\n\n' "$(field device)" "$(field class)"
            printf '%-14s %-20s %4s %7s   %-30s\n' "" "" "" "us per" "relative error |O - E| / |E|"
            printf '%-14s %-20s %4s %7s   %6s %7s  %s\n' data shape m token median "mean(V)" "per head"
        fi
        echo "$set|$features|$(field tokens_per_second)|$(field median)|$(field mean_value_error)|$(field per_head)|$(
            field shape)"
    done
done >"$work/rows"

awk -F '|' '
    NF < 7 { print; next }
    {
        printf "%-14s %-20s %4d %7.2f   %6.3f %7.3f ", $1, $7, $2, 1e6 / $3, $4, $5
        heads = split($6, error, /[][, ]+/)
        for (i = 1; i <= heads; ++i)
            if (error[i] != "")
                printf " %.2f", error[i]
        print ""
    }' "$work/rows"
