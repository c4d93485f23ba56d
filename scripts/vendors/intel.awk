# Records (see nvidia.awk) of the kernels that ocloc compiled. Needs loops.awk. Files: stage=log what ocloc said,
# stage=asm kernel=NAME the disassembly of each kernel (may be missing), stage=info the section .ze_info, in YAML.
# Variables: target, file, variant. Registers are those of a hardware thread, which runs 8 to 32 work-items (the mode).

# Hardware threads of an execution unit: 7 before dg2, then 8; half as many with 256 registers.
function threads(registers) {
    return int((target == "tgllp" ? 7 : 8) / (registers > 128 ? 2 : 1))
}

function asm_end() {
    if (now == "")
        return
    loops_end()
    hot[now] = hot_loop "\t" hot_count "\t" hot_fma "\t" hot_global "\t" hot_local
    now = ""
}

function record() {
    if (name != "" && name !~ /^Intel_Symbol_Table/)
        printf "%s\t%s\t%s\t%s\t%d\t-\t%d\t-\t%d\t%d\t%d\t%d\tSIMD%d\t%s\n", target, name, file, variant, registers,
            spills[name], local_bytes, private_bytes, threads(registers), threads(128), simd,
            name in hot ? hot[name] : "-\t-\t-\t-\t-"
    name = ""
}

# warning: kernel NAME  compiled SIMD32 allocated 128 regs and spilled around 2
stage == "log" && /spilled around/ {
    for (i = 1; i < NF; ++i)
        if ($i == "kernel")
            spills[$(i + 1)] += $NF
}

stage == "asm" && kernel != now {
    asm_end()
    now = kernel
    loops_begin()
}
stage == "asm" && /^L[0-9]+:/ {
    sub(/:.*/, "", $1)
    loops_label($1)
}
# (W&f0.0) mad (16|M0) r1.0<1>:f ...; what a send does is in the comment
stage == "asm" && /^[ (]/ {
    line = $0
    sub(/^ *(\([^)]*\))? */, "", line)
    op = line
    sub(/[ (].*/, "", op)
    if (op ~ /^mad/ && line ~ /:h?f[ ,]/)
        kind = "fma"
    else if (op ~ /^send/ && line ~ /(; load|read)/ && line !~ /scratch/)
        kind = op ~ /slm/ || line ~ /0x[0-9A-F]*FE / ? "local" : "global"
    else if (op ~ /^(jmpi|goto|join|while|break|cont|if|else|endif|call|ret|nop|sync|brd|brc|halt)/)
        kind = "control"
    else
        kind = "other"
    loops_instruction(kind)
    if (kind == "control")
        while (match(line, /L[0-9]+/)) {
            loops_branch(substr(line, RSTART, RLENGTH))
            line = substr(line, RSTART + RLENGTH)
        }
}

stage == "info" && /^[a-z]/ {
    asm_end()
    record()
    kernels = /^kernels:/
}
stage == "info" && kernels && /^  - name:/ {
    record()
    name = $NF
    registers = simd = local_bytes = private_bytes = memory = 0
}
stage == "info" && kernels && /^    [a-z]/ {
    memory = /per_thread_memory_buffers/
}
stage == "info" && kernels && /^      / {
    if ($1 == "grf_count:")
        registers = $2
    else if ($1 == "simd_size:")
        simd = $2
    else if ($1 == "slm_size:")
        local_bytes = $2
    else if (memory && $1 == "size:")
        private_bytes += $2
}

END {
    asm_end()
    record()
}
