# The table of all records (see nvidia.awk), one row a kernel and target: the worst of its variants, and the hot loop of
# the first one. Files: stage=known known.txt, stage=skipped lines of target and reason, stage=records; all=1 if these are
# all that there can be; before them stage=bounds bounds.txt. Exits with 1 if a kernel spills or uses private memory beyond
# what known.txt allows, or does not keep to bounds.txt. Messages go to stderr.

BEGIN {
    known = skips = rows = failed = bounds = 0
}

function complain(text) {
    print "vendors: " text >"/dev/stderr"
    failed = 1
}

# Once a kernel, target and kind of complaint.
function breaks(kernel, target, text,    kind) {
    kind = kernel " " target " " (text ~ /multiply-adds/)
    if (!broken[kind]++)
        complain(kernel " on " target ": " text)
}

function larger(a, b) {
    return b == "-" ? a : a + 0 > b + 0 ? a : b
}

# Whether known.txt allows that much.
function is_known(kernel, target, spills, private,    i) {
    for (i = 0; i < known; ++i)
        if (kernel ~ "^(" known_kernel[i] ")$" && target ~ "^(" known_target[i] ")$" &&
            spills + 0 <= known_spills[i] + 0 && private + 0 <= known_private[i] + 0) {
            used[i] = 1
            return 1
        }
    return 0
}

function ratio(a, b, format) {
    return a == "-" ? "–" : b + 0 ? sprintf(format, a / b) : "–"
}

stage == "known" && NF && !/^#/ && $3 != "rejected" {
    known_kernel[known] = $1
    known_target[known] = $2
    known_spills[known] = $3
    known_private[known++] = $4
}
stage == "bounds" && NF && !/^#/ {
    bound[bounds++] = $0
}
stage == "skipped" {
    skipped[skips++] = $0
}
stage != "records" {
    next
}
{
    id = $1 FS $2
    if (!(id in variants)) {
        order[rows++] = id
        low[id] = $11
        loop[id] = $14 FS $15 FS $16 FS $17 FS $18
    }
    ++variants[id]
    for (i = 0; i < bounds; ++i) {
        split(bound[i], of, " ")
        if ($2 !~ "^(" of[1] ")$" || $1 !~ "^(" of[2] ")$")
            continue
        if ($5 > of[3] + 0 || $9 > of[4] + 0 || $11 + 0 < of[5] + 0)
            breaks($2, $1, sprintf("%d registers, %d local bytes, occupancy %d: not within %d, %d, %d, with %s", $5, $9, $11,
                                   of[3], of[4], of[5], $4))
        if (variants[id] == 1 && $16 + 0 && $16 / $15 < of[6] + 0)
            breaks($2, $1, sprintf("%.2f of the hot loop's instructions are multiply-adds, not %s", $16 / $15, of[6]))
    }
    registers[id] = larger(registers[id], $5)
    scalars[id] = larger(scalars[id], $6)
    spills[id] = larger(spills[id], $7)
    scalar_spills[id] = larger(scalar_spills[id], $8)
    local_bytes[id] = larger(local_bytes[id], $9)
    private[id] = larger(private[id], $10)
    low[id] = $11 + 0 < low[id] + 0 ? $11 : low[id]
    limit[id] = $12
    mode[id] = $13 ~ /^SIMD/ ? $13 " threads" : $13
    if ($7 + $10 > 0 && !is_known($2, $1, $7, $10) && !bad[id]++)
        example[id] = sprintf("%d registers spilled, %d bytes of private memory with %s %s", $7, $10, $3, $4)
}
END {
    for (i = 0; i < rows; ++i)
        if (order[i] in bad) {
            split(order[i], of, FS)
            complain(sprintf("%s on %s: %s (%d variants)", of[2], of[1], example[order[i]], bad[order[i]]))
        }
    print "| target | kernel | variants | registers | spilled | local bytes | private bytes | occupancy |" \
        " hot loop | FMA | global loads | local loads | FMA share | FMA a load |"
    print "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for (i = 0; i < rows; ++i) {
        id = order[i]
        split(id, of, FS)
        split(loop[id], hot, FS)
        printf "| %s | %s | %d | %d%s | %d%s | %d | %d | %d of %d %s | %s | %s | %s | %s | %s | %s |\n", of[1], of[2],
            variants[id], registers[id], scalars[id] == "" ? "" : " + " scalars[id] " s", spills[id],
            scalar_spills[id] + 0 ? " + " scalar_spills[id] " s" : "", local_bytes[id], private[id], low[id],
            limit[id], mode[id], hot[1] == "-" ? "–" : hot[2] (hot[1] ? "" : " (no loop)"), hot[3] == "-" ? "–" : hot[3],
            hot[4] == "-" ? "–" : hot[4], hot[5] == "-" ? "–" : hot[5], ratio(hot[3], hot[2], "%.2f"),
            ratio(hot[3], hot[4] + hot[5], "%.1f")
    }
    for (i = 0; i < skips; ++i) {
        target = reason = skipped[i]
        sub(/ .*/, "", target)
        sub(/^[^ ]* /, "", reason)
        printf "| %s | **not compiled**: %s | | | | | | | | | | | | |\n", target, reason
    }
    for (i = 0; i < known && all; ++i)
        if (!(i in used))
            print "vendors: known.txt: nothing needs the line of " known_kernel[i] " on " known_target[i] >"/dev/stderr"
    exit failed
}
