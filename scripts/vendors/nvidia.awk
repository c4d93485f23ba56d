# Records of the kernels that ptxas compiled. Needs loops.awk. Files, in this order: stage=ptx K.ptx, stage=log what
# `ptxas -v` said, stage=sass what `nvdisasm -c` printed (may be empty). Variables: target, file, variant, group.
# A record: target kernel file variant registers scalar_registers spills scalar_spills local private occupancy
# occupancy_limit mode loop instructions fma global_loads local_loads, separated by tabs; "-" is not known.

# Warps of a multiprocessor (CUDA's occupancy calculator): 64 at most, 64 K registers given out in 256 a warp and to 4
# warps together, 32 groups, and the local memory, of which each group loses 1 KiB from sm_80 on.
function warps(registers, bytes, size,    a_group, groups, memory, by) {
    a_group = int((size + 31) / 32)
    groups = int(int(65536 / (int((registers * 32 + 255) / 256) * 256) / 4) * 4 / a_group)
    memory = target == "sm_70" ? 98304 : target == "sm_80" ? 167936 : 233472
    if (target != "sm_70")
        bytes += 1024
    by = bytes ? int(memory / (int((bytes + 127) / 128) * 128)) : groups
    groups = by < groups ? by : groups
    by = int(64 / a_group)
    groups = by < groups ? by : groups
    groups = groups > 32 ? 32 : groups
    return groups * a_group
}

function sass_end() {
    if (now == "")
        return
    loops_end()
    hot[now] = hot_loop "\t" hot_count "\t" hot_fma "\t" hot_global "\t" hot_local
    now = ""
}

stage == "ptx" && /\.entry/ {
    kernel = $0
    sub(/.*\.entry +/, "", kernel)
    sub(/[^A-Za-z0-9_].*/, "", kernel)
    names[count++] = kernel
}
stage == "ptx" && /^\.reqntid/ {
    gsub(/[^0-9 ]/, " ")
    required[kernel] = $1 * ($2 ? $2 : 1) * ($3 ? $3 : 1)
}

stage == "log" && /Compiling entry function/ {
    split($0, quoted, "'")
    kernel = quoted[2]
    local_bytes[kernel] = 0
}
stage == "log" && /bytes stack frame/ {
    for (i = 2; i <= NF; ++i) {
        if ($i == "bytes" && $(i + 1) == "stack")
            stack[kernel] = $(i - 1)
        else if ($i == "bytes" && $(i + 1) == "spill")
            spills[kernel] += $(i - 1) / 4
    }
}
stage == "log" && /Used [0-9]+ registers/ {
    for (i = 2; i <= NF; ++i) {
        if ($i ~ /^registers/)
            registers[kernel] = $(i - 1)
        else if ($i == "bytes" && $(i + 1) ~ /^smem/)
            local_bytes[kernel] = $(i - 1)
    }
}

stage == "sass" && /^\.text\./ {
    sass_end()
    now = substr($1, 7)
    sub(/:$/, "", now)
    loops_begin()
}
stage == "sass" && /^\.L[A-Za-z0-9_$]*:/ {
    loops_label(substr($1, 1, length($1) - 1))
}
# /*0120*/  @P0 FFMA R1, R2, R3, R1 ;
stage == "sass" && now != "" && /^ +\/\*[0-9a-f]+\*\/ / {
    op = $2 ~ /^@/ ? $3 : $2
    if (op ~ /^(FFMA|HFMA2|DFMA)/)
        kind = "fma"
    else if (op ~ /^(LDG|LD)(\.|$)/)
        kind = "global"
    else if (op ~ /^LDS/)
        kind = "local"
    else if (op ~ /^(NOP|BRA|BRX|JMP|BSSY|BSYNC|BREAK|CALL|RET|EXIT|WARPSYNC|BAR|DEPBAR)/)
        kind = "control"
    else
        kind = "other"
    loops_instruction(kind)
    if (op ~ /^BRA/ && match($0, /\.L[A-Za-z0-9_$]+/))
        loops_branch(substr($0, RSTART, RLENGTH))
}

END {
    sass_end()
    for (i = 0; i < count; ++i) {
        name = names[i]
        size = name in required ? required[name] : group
        if (name ~ /^fused_(states|outputs|causal)$/ && match(variant, / GROUP=[0-9]+ ROWS=/)) # clang does not say
            size = substr(variant, RSTART + 7, RLENGTH - 13)
        printf "%s\t%s\t%s\t%s\t%d\t-\t%d\t-\t%d\t%d\t%d\t64\twarps\t%s\n", target, name, file, variant,
            registers[name], spills[name], local_bytes[name], stack[name],
            warps(registers[name], local_bytes[name], size), name in hot ? hot[name] : "-\t-\t-\t-\t-"
    }
}
