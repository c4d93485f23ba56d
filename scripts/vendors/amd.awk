# Records (see nvidia.awk) of the kernels in an assembly file of clang for amdgcn. Needs loops.awk. Variables: target,
# file, variant, group.

function ceil_to(value, step) {
    return int((value + step - 1) / step) * step
}

# Waves of a SIMD (LLVM's AMDGPU backend, ISA documents): the vector registers, on gfx9 the scalar registers, and the
# local memory, 64 KiB for the 4 SIMDs of a unit on gfx9, or for 2 of wave32 later.
function waves(vector, scalar, bytes, size,    limit, total, step, simds, by) {
    limit = target == "gfx906" ? 10 : target ~ /^gfx9/ ? 8 : 16
    total = target == "gfx906" ? 256 : target ~ /^gfx9/ ? 512 : target ~ /^gfx11/ ? 1536 : 1024
    step = target == "gfx906" ? 4 : target ~ /^gfx9/ ? 8 : target ~ /^gfx11/ ? 24 : 16
    simds = target ~ /^gfx9/ ? 4 : 2
    by = int(total / ceil_to(vector ? vector : 1, step))
    limit = by < limit ? by : limit
    if (target ~ /^gfx9/) {
        by = int(800 / ceil_to(scalar ? scalar : 1, 16))
        limit = by < limit ? by : limit
    }
    if (bytes) {
        by = int(int(65536 / ceil_to(bytes, 512)) * int((size + wave - 1) / wave) / simds)
        limit = by < limit ? by : limit
    }
    return limit
}

function record() {
    if (name == "")
        return
    printf "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\twaves\t%s\n", target, name, file, variant, of["vgpr_count"],
        of["sgpr_count"], of["vgpr_spill_count"], of["sgpr_spill_count"], of["group_segment_fixed_size"],
        of["private_segment_fixed_size"],
        waves(of["vgpr_count"], of["sgpr_count"], of["group_segment_fixed_size"], size ? size : group),
        target == "gfx906" ? 10 : target ~ /^gfx9/ ? 8 : 16, hot[name]
    name = ""
}

function instruction(op) {
    if (op ~ /^v_pk_fma/) {
        loops_instruction("fma") # two in one
        loops_instruction("fma")
    } else if (op ~ /^v_(dual_)?(fma|mad|mac|fmac)[a-z]*_(f32|f16|legacy|mix)/)
        loops_instruction("fma")
    else if (op ~ /^(global_load|flat_load|buffer_load|s_load|s_buffer_load)/)
        loops_instruction("global")
    else if (op ~ /^ds_(read|load)/)
        loops_instruction("local")
    else if (op ~ /^s_(waitcnt|nop|branch|cbranch|delay_alu|clause|barrier|endpgm|code_end|inst_prefetch|sleep)/)
        loops_instruction("control")
    else
        loops_instruction("other")
}

# The code.
/^[A-Za-z_][A-Za-z0-9_]*:/ && !metadata {
    kernel = $1
    sub(/:.*/, "", kernel)
    loops_begin()
}
/^\.LBB[0-9_]+:/ {
    sub(/:.*/, "", $1)
    loops_label($1)
}
/^\.Lfunc_end/ && kernel != "" {
    loops_end()
    hot[kernel] = hot_loop "\t" hot_count "\t" hot_fma "\t" hot_global "\t" hot_local
    kernel = ""
}
kernel != "" && /^\t[a-z]+_/ {
    sub(/;.*/, "")
    instruction($1)
    for (i = 2; i < NF; ++i)
        if ($i == "::") # two at once (gfx11)
            instruction($(i + 1))
    if ($1 ~ /^s_c?branch/)
        loops_branch($2)
}

# The metadata: a list of kernels, each with its arguments (indented by 6 and more) and its properties (by 4).
/^\t\.amdgpu_metadata/ {
    metadata = 1
}
metadata && (/^  - / || /^amdhsa\./) {
    record()
    split("", of)
    size = sizes = 0
}
metadata && (/^    \./ || /^  - \./) {
    key = $1 == "-" ? $2 : $1
    value = $NF
    sub(/^\./, "", key)
    sub(/:$/, "", key)
    of[key] = value
    sizes = key == "reqd_workgroup_size"
    if (key == "name")
        name = value
    if (key == "wavefront_size")
        wave = value
}
metadata && sizes && /^      - [0-9]+$/ {
    size = (size ? size : 1) * $2
}
