# The hot loop of a kernel in assembly: of the bodies of backward branches that hold no other such body (innermost
# loops), the one with the most fused multiply-adds, then the most loads. One without either is part of an integer
# division and does not count. Callers give the instructions in order:
#     loops_begin();
#     loops_label(NAME); loops_instruction(KIND); loops_branch(NAME);
#     loops_end();
# KIND is "fma", "global" or "local" (a load), "control" (not counted), or anything else. loops_end sets hot_loop (0: no
# loop, the counts are those of the whole kernel), hot_count, hot_fma, hot_global and hot_local.

function loops_begin() {
    at = loops = 0
    split("", all); split("", fmas); split("", globals); split("", locals)
    split("", position); split("", header); split("", latch)
    all[0] = fmas[0] = globals[0] = locals[0] = 0
}

function loops_label(name) {
    position[name] = at
}

function loops_instruction(kind) {
    ++at
    all[at] = all[at - 1] + (kind != "control")
    fmas[at] = fmas[at - 1] + (kind == "fma")
    globals[at] = globals[at - 1] + (kind == "global")
    locals[at] = locals[at - 1] + (kind == "local")
}

# After the branch's own instruction. Branches back to the same label are one loop.
function loops_branch(name,    i) {
    if (!(name in position))
        return
    for (i = 0; i < loops && header[i] != position[name]; ++i)
        ;
    header[i] = position[name]
    latch[i] = at
    if (i == loops)
        ++loops
}

function loops_take(from, to) {
    hot_count = all[to] - all[from]
    hot_fma = fmas[to] - fmas[from]
    hot_global = globals[to] - globals[from]
    hot_local = locals[to] - locals[from]
}

function loops_end(    i, j, inner, score, best) {
    best = -1
    hot_loop = 0
    for (i = 0; i < loops; ++i) {
        inner = all[latch[i]] > all[header[i]]
        for (j = 0; j < loops && inner; ++j)
            inner = j == i || header[j] < header[i] || latch[j] > latch[i] || all[latch[j]] == all[header[j]]
        if (!inner)
            continue
        loops_take(header[i], latch[i])
        if (!hot_fma && !hot_global && !hot_local)
            continue
        score = hot_fma * 1e8 + (hot_global + hot_local) * 1e4 + hot_count
        if (score > best) {
            best = score
            hot_loop = i + 1
        }
    }
    if (hot_loop)
        loops_take(header[hot_loop - 1], latch[hot_loop - 1])
    else
        loops_take(0, at)
}
