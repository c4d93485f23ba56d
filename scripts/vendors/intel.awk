# Records (see nvidia.awk) of the kernels that ocloc compiled. Files: stage=log what ocloc said, stage=info the section
# .ze_info of its binary, in YAML. Variables: target, file, variant. Registers are those of a hardware thread, which
# runs 8 to 32 work-items (the mode).

# Hardware threads of an execution unit: 7 before dg2, then 8; half as many with 256 registers.
function threads(registers) {
    return int((target == "tgllp" ? 7 : 8) / (registers > 128 ? 2 : 1))
}

function record() {
    if (name != "")
        printf "%s\t%s\t%s\t%s\t%d\t-\t%d\t-\t%d\t%d\t%d\t%d\tSIMD%d\t-\t-\t-\t-\t-\n", target, name, file, variant,
            registers, spills[name], local_bytes, private_bytes, threads(registers), threads(128), simd
    name = ""
}

# warning: kernel NAME  compiled SIMD32 allocated 128 regs and spilled around 2
stage == "log" && /spilled around/ {
    for (i = 1; i < NF; ++i)
        if ($i == "kernel")
            spills[$(i + 1)] += $NF
}

stage == "info" && /^[a-z]/ {
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
    record()
}
