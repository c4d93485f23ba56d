/* Linear attention on the cpu class: work-groups of one, each with a chunk's whole work (kernels/cpu_attention.cl).
 *
 * Bidirectional: keys (pieces x slots) -> merge -> rows of exact keys -> corrections -> queries (tokens x
 * slots). Causal: favor_causal
 * (pieces x slots), and favor_combine where the features are split. A slot is a (batch, state head), or a share of its
 * query heads. Slots go in groups that fit the workspace, tokens in waves, value columns in blocks where one state
 * would not fit. */
#include "plan.h"

enum { KEYS, MERGE, QUERIES, EXACT, CORRECT, CAUSAL = 0, COMBINE };

/* plan->numbers */
enum {
    LOCAL_FLOATS,   /* scratch without query heads */
    HEAD_FLOATS,    /* and for each query head */
    SHARE_HEADS,    /* query heads that fit at most */
    SLOT_FLOATS,    /* one state */
    SLOT_TOTAL,     /* a slot's share of the workspace: states and partial outputs */
    SLOTS,          /* slots in flight */
    PARTIAL_WAVE,   /* tokens a launch when the features are split */
    PARTIAL_FLOATS, /* partial outputs a slot */
    EXACT_FLOATS    /* a slot's rows of exact keys */
};

#define PHI_ROWS            132u   /* of the kernels at most */
#define BIDIRECTIONAL_CHUNK 96u    /* tokens: the state goes through the cache once for each chunk */
#define KEY_WAVE            16384u /* tokens of a piece a launch: bounds a launch's time */
#define CAUSAL_WAVE         65536u
#define QUERY_WAVE          65536u
#define GROUP_CHUNKS        8u /* chunks a work-group of queries at most: the first waits for memory */
#define QUERY_GROUPS        8u /* work-groups of queries a core */
#define DEFAULT_PARTIAL     4096u
#define MIN_PIECE           2097152u /* multiply-adds: smaller key ranges are not worth a launch and a merge */
#define CORE_PIECES         2u       /* key ranges a core: more even out its speed, each costs a state and a merge */

/* The scratch of kernels/cpu_chunk.clh in floats. */
static void scratch_sizes(clfavor_plan *plan, uint64_t chunk) {
    uint64_t panel = plan->context->panel, dim = plan->desc.dim;
    uint64_t columns = clfavor_round_up(plan->value_block, (uint32_t)panel);
    plan->numbers[LOCAL_FLOATS] = chunk * (dim + columns + 2 * PHI_ROWS + 1);
    plan->numbers[HEAD_FLOATS] = chunk * (dim + columns + (plan->desc.causal ? chunk : 0) + 2);
}

/* Causal: one panel of tokens, since the work inside a chunk grows with it. Smaller where the scratch of one query head
 * would not fit the device's local memory. */
static clfavor_status choose_chunk(clfavor_plan *plan) {
    uint32_t panel = plan->context->token_panel;
    const clfavor_tuning *row = &plan->context->tuning; /* of the cpu class, or all 0 */
    uint32_t tuned = plan->desc.causal ? row->causal_chunk : row->chunk;
    uint32_t wanted = plan->desc.chunk    ? plan->desc.chunk
                      : tuned             ? tuned
                      : plan->desc.causal ? panel
                                          : BIDIRECTIONAL_CHUNK;
    uint32_t chunk = wanted > 4096 ? clfavor_round_up(4096, panel) : clfavor_round_up(wanted, panel);
    uint64_t floats = plan->context->local_memory / sizeof(float);
    for (;; chunk -= panel) {
        scratch_sizes(plan, chunk);
        if (plan->numbers[LOCAL_FLOATS] + plan->numbers[HEAD_FLOATS] <= floats)
            break;
        if (chunk == panel)
            return CLFAVOR_REFUSE(plan->context, CLFAVOR_DEVICE_MEMORY,
                                  "the device's local memory of %llu bytes is too small for d = %u, dv = %u",
                                  (unsigned long long)plan->context->local_memory, plan->desc.dim, plan->value_block);
    }
    if (plan->desc.chunk && chunk != plan->desc.chunk)
        clfavor_log(plan->context, CLFAVOR_LOG_INFO, "a chunk of %u tokens is used instead of %u", chunk,
                    plan->desc.chunk);
    plan->chunk = chunk;
    plan->numbers[SHARE_HEADS] =
        clfavor_min((floats - plan->numbers[LOCAL_FLOATS]) / plan->numbers[HEAD_FLOATS], plan->desc.max_heads);
    return CLFAVOR_SUCCESS;
}

/* Enough work-groups for all cores: key ranges, or parts of the features when causal. */
static void choose_pieces(clfavor_plan *plan, uint32_t groups) {
    uint64_t heads = plan->desc.max_batch * plan->desc.max_heads, units = plan->context->compute_units;
    uint64_t pieces = plan->desc.pieces ? plan->desc.pieces : plan->context->tuning.pieces;
    if (!pieces && plan->desc.causal)
        pieces = heads >= 2 * units ? 1 : units;
    else if (!pieces) {
        uint64_t token = (uint64_t)plan->rows * (plan->desc.dim + plan->value_block);
        pieces = clfavor_min(clfavor_ceil_div(CORE_PIECES * units, heads),
                             plan->desc.max_n / clfavor_ceil_div(MIN_PIECE, token));
    }
    pieces = clfavor_min(pieces, plan->desc.causal ? groups : clfavor_ceil_div(plan->desc.max_n, plan->chunk));
    plan->pieces = pieces ? (uint32_t)clfavor_min(pieces, 1024) : 1;
}

/* Sizes a slot and sees how many fit: shorter waves, fewer pieces (where they were not asked for) and narrower blocks
 * of V make one fit. */
static clfavor_status choose_workspace(clfavor_plan *plan) {
    uint32_t panel = plan->context->panel, groups = clfavor_round_up(plan->rows, panel) / panel;
    uint64_t features = (uint64_t)groups * panel * (plan->family == CLFAVOR_FAMILY_TRIG ? 2 : 1);
    uint64_t limit = clfavor_min(plan->desc.workspace_limit, plan->context->max_allocation) / sizeof(float);
    uint64_t *numbers = plan->numbers;
    numbers[PARTIAL_WAVE] = DEFAULT_PARTIAL / plan->chunk ? DEFAULT_PARTIAL / plan->chunk * plan->chunk : plan->chunk;
    for (;;) {
        uint64_t columns = clfavor_round_up(plan->value_block, panel);
        bool split = plan->desc.causal && plan->pieces > 1;
        numbers[SLOT_FLOATS] = features * (3 + 2 * columns);
        numbers[PARTIAL_FLOATS] =
            split ? numbers[SHARE_HEADS] * plan->pieces * numbers[PARTIAL_WAVE] * (columns + 2) : 0;
        numbers[PARTIAL_FLOATS] = (numbers[PARTIAL_FLOATS] + 31) / 32 * 32;
        numbers[EXACT_FLOATS] =
            (uint64_t)clfavor_round_up(plan->desc.exact_keys, panel) * (plan->desc.dim + 4 + columns);
        numbers[EXACT_FLOATS] = (numbers[EXACT_FLOATS] + 31) / 32 * 32;
        numbers[SLOT_TOTAL] = numbers[SLOT_FLOATS] * (plan->desc.causal ? 1 : plan->pieces) + numbers[PARTIAL_FLOATS] +
                              numbers[EXACT_FLOATS];
        numbers[SLOT_TOTAL] = (numbers[SLOT_TOTAL] + 31) / 32 * 32;
        numbers[SLOTS] = clfavor_min(limit / numbers[SLOT_TOTAL], plan->desc.max_batch * plan->desc.max_heads);
        if (numbers[SLOTS])
            break;
        if (split && numbers[PARTIAL_WAVE] >= 2 * plan->chunk)
            numbers[PARTIAL_WAVE] = numbers[PARTIAL_WAVE] / 2 / plan->chunk * plan->chunk;
        else if (!plan->desc.pieces && plan->pieces > 1)
            plan->pieces = (plan->pieces + 1) / 2;
        else if (plan->value_block > panel)
            plan->value_block = clfavor_round_up(plan->value_block / 2, panel);
        else
            return CLFAVOR_REFUSE(
                plan->context, CLFAVOR_WORKSPACE, "one head's state needs a workspace of %llu bytes, the limit is %llu",
                (unsigned long long)(numbers[SLOT_TOTAL] * sizeof(float)), (unsigned long long)(limit * sizeof(float)));
    }
    plan->workspace_size = (size_t)(numbers[SLOTS] * numbers[SLOT_TOTAL] * sizeof(float));
    scratch_sizes(plan, plan->chunk);
    return CLFAVOR_SUCCESS;
}

static clfavor_status prepare(clfavor_plan *plan) {
    clfavor_status status = choose_chunk(plan);
    if (status)
        return status;
    choose_pieces(plan, clfavor_round_up(plan->rows, plan->context->panel) / plan->context->panel);
    if ((status = choose_workspace(plan)))
        return status;
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_option(&options, "CHUNK", plan->chunk);
    clfavor_option(&options, "CAUSAL", plan->desc.causal); /* compiles only what is needed */
    static const char *const bidirectional[] = {"favor_keys", "favor_merge", "favor_queries"};
    static const char *const exact[] = {"favor_exact"}, *const correct[] = {"favor_correct"};
    if (plan->desc.exact_keys && (status = clfavor_plan_kernels(plan, "cpu_attention.cl", &options, EXACT, exact, 1)))
        return status;
    if (plan->desc.corrections &&
        (status = clfavor_plan_kernels(plan, "cpu_attention.cl", &options, CORRECT, correct, 1)))
        return status;
    static const char *const causal[] = {"favor_causal", "favor_combine"};
    return plan->desc.causal ? clfavor_plan_kernels(plan, "cpu_attention.cl", &options, CAUSAL, causal, 2)
                             : clfavor_plan_kernels(plan, "cpu_attention.cl", &options, KEYS, bidirectional, 3);
}

static const size_t one[3] = {1, 1, 1};

/* What the kernels take in a row. */
#define ARGS_OPERAND(operand) CLFAVOR_ARG((operand).buffer), CLFAVOR_ARG((operand).view)
#define ARGS_OUTPUTS(call)    ARGS_OPERAND((call)->o), ARGS_OPERAND((call)->lse), ARGS_OPERAND((call)->sign)
#define ARGS_WEIGHTS(call)    CLFAVOR_ARG((call)->weights->buffer), CLFAVOR_ARG((call)->weights->layout)
#define ARGS_WAVE(call, wave) CLFAVOR_ARG((call)->sizes), CLFAVOR_ARG(wave), CLFAVOR_ARG((call)->workspace.buffer)

static size_t scratch_bytes(const clfavor_plan *plan, uint64_t query_heads) {
    return (size_t)(plan->numbers[LOCAL_FLOATS] + query_heads * plan->numbers[HEAD_FLOATS]) * sizeof(float);
}

static clfavor_status launch_keys(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain, clfavor_wave wave,
                                  size_t slots) {
    const clfavor_arg args[] = {
        ARGS_OPERAND(call->k), ARGS_OPERAND(call->v),          ARGS_WEIGHTS(call),
        ARGS_WAVE(call, wave), ARGS_OPERAND(call->exact_keys), CLFAVOR_ARG_LOCAL(scratch_bytes(plan, 0))};
    const size_t global[3] = {wave.pieces, slots, 1};
    return CLFAVOR_LAUNCH(plan, chain, plan->kernels[KEYS], args, global, one);
}

static clfavor_status launch_exact(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain,
                                   clfavor_wave wave, size_t slots) {
    const clfavor_arg args[] = {ARGS_OPERAND(call->k), ARGS_OPERAND(call->v), ARGS_WAVE(call, wave),
                                ARGS_OPERAND(call->exact_keys), CLFAVOR_ARG(call->exact)};
    const size_t global[3] = {clfavor_padded_rows(plan->context, call->sizes.exact) / plan->context->panel, slots, 1};
    return CLFAVOR_LAUNCH(plan, chain, plan->kernels[EXACT], args, global, one);
}

static clfavor_status launch_merge(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain,
                                   clfavor_wave wave, size_t slots) {
    const clfavor_arg args[] = {ARGS_WAVE(call, wave)};
    const size_t global[3] = {clfavor_padded_rows(plan->context, plan->rows) / plan->context->panel, slots, 1};
    return CLFAVOR_LAUNCH(plan, chain, plan->kernels[MERGE], args, global, one);
}

static clfavor_status launch_correct(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain,
                                     clfavor_wave wave, size_t slots) {
    const clfavor_arg args[] = {ARGS_WAVE(call, wave), CLFAVOR_ARG(call->exact), ARGS_OPERAND(call->corrections)};
    uint32_t panel = plan->context->panel, exact = clfavor_padded_rows(plan->context, call->sizes.exact);
    const size_t global[3] = {(clfavor_padded_rows(plan->context, plan->rows) + exact) / panel, slots, 1};
    return CLFAVOR_LAUNCH(plan, chain, plan->kernels[CORRECT], args, global, one);
}

/* favor_queries and favor_combine take the same arguments. */
static clfavor_status launch_rows(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain, cl_kernel kernel,
                                  clfavor_wave wave, size_t groups, size_t slots) {
    const clfavor_arg args[] = {ARGS_OPERAND(call->q),
                                ARGS_OUTPUTS(call),
                                ARGS_WEIGHTS(call),
                                CLFAVOR_ARG(call->weights->log2_norm),
                                ARGS_WAVE(call, wave),
                                CLFAVOR_ARG(call->exact),
                                CLFAVOR_ARG_LOCAL(scratch_bytes(plan, 1))};
    const size_t global[3] = {groups, slots, 1};
    return CLFAVOR_LAUNCH(plan, chain, kernel, args, global, one);
}

static clfavor_status launch_causal(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain,
                                    clfavor_wave wave, size_t slots) {
    const clfavor_arg args[] = {ARGS_OPERAND(call->q), ARGS_OPERAND(call->k),
                                ARGS_OPERAND(call->v), ARGS_OUTPUTS(call),
                                ARGS_WEIGHTS(call),    CLFAVOR_ARG(call->weights->log2_norm),
                                ARGS_WAVE(call, wave), CLFAVOR_ARG_LOCAL(scratch_bytes(plan, wave.share_heads))};
    const size_t global[3] = {wave.pieces, slots, 1};
    return CLFAVOR_LAUNCH(plan, chain, plan->kernels[CAUSAL], args, global, one);
}

static clfavor_status bidirectional(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain,
                                    clfavor_wave wave, size_t slots) {
    clfavor_status status = CLFAVOR_SUCCESS;
    uint64_t chunks = clfavor_ceil_div(call->sizes.n_k, plan->chunk);
    uint64_t step = KEY_WAVE / plan->chunk * plan->chunk;
    wave.span = clfavor_ceil_div(chunks, plan->pieces) * plan->chunk;
    for (wave.begin = 0; !status && wave.begin < wave.span; wave.begin = wave.end) {
        wave.first = wave.begin == 0;
        wave.end = clfavor_min(wave.begin + step, wave.span);
        status = launch_keys(plan, call, chain, wave, slots);
    }
    if (!status && plan->pieces > 1)
        status = launch_merge(plan, call, chain, wave, slots);
    if (!status && call->sizes.exact)
        status = launch_exact(plan, call, chain, wave, slots);
    if (!status && plan->desc.corrections)
        status = launch_correct(plan, call, chain, wave, slots);
    uint64_t fair = clfavor_ceil_div(slots * clfavor_ceil_div(call->sizes.n, plan->chunk),
                                     QUERY_GROUPS * (uint64_t)plan->context->compute_units);
    wave.tokens_a_group = (uint32_t)clfavor_min(fair, GROUP_CHUNKS) * plan->chunk;
    step = QUERY_WAVE / wave.tokens_a_group * wave.tokens_a_group;
    for (wave.begin = 0; !status && wave.begin < call->sizes.n; wave.begin = wave.end) {
        wave.end = clfavor_min(wave.begin + step, call->sizes.n);
        size_t groups = (size_t)clfavor_ceil_div(wave.end - wave.begin, wave.tokens_a_group);
        status = launch_rows(plan, call, chain, plan->kernels[QUERIES], wave, groups, slots);
    }
    return status;
}

static clfavor_status causal(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain, clfavor_wave wave,
                             size_t slots) {
    clfavor_status status = CLFAVOR_SUCCESS;
    bool split = plan->pieces > 1;
    uint64_t step = split ? plan->numbers[PARTIAL_WAVE] : CAUSAL_WAVE / plan->chunk * plan->chunk;
    for (wave.begin = 0; !status && wave.begin < call->sizes.n; wave.begin = wave.end) {
        wave.first = wave.begin == 0;
        wave.end = clfavor_min(wave.begin + step, call->sizes.n);
        status = launch_causal(plan, call, chain, wave, slots);
        size_t groups = (size_t)clfavor_ceil_div(wave.end - wave.begin, plan->chunk);
        if (!status && split)
            status = launch_rows(plan, call, chain, plan->kernels[COMBINE], wave, groups, slots);
    }
    return status;
}

static clfavor_status enqueue(clfavor_plan *plan, const clfavor_call *user_call, clfavor_chain *chain) {
    clfavor_status status = CLFAVOR_SUCCESS;
    clfavor_call call = *user_call;
    uint32_t block = plan->value_block, group = call.sizes.group;
    clfavor_wave wave = {.slot_stride = plan->numbers[SLOT_FLOATS], .pieces = plan->pieces};
    wave.share_heads = plan->desc.causal ? (uint32_t)clfavor_min(group, plan->numbers[SHARE_HEADS]) : group;
    wave.shares = (uint32_t)clfavor_ceil_div(group, wave.share_heads);
    uint64_t slots = call.batch * call.sizes.state_heads * wave.shares;
    uint64_t states = plan->numbers[SLOTS] * plan->numbers[SLOT_FLOATS] * (plan->desc.causal ? 1 : plan->pieces);
    wave.state = call.workspace.view.offset;
    wave.partial = wave.state + (states + 31) / 32 * 32;
    call.exact.rows = wave.partial + plan->numbers[SLOTS] * plan->numbers[PARTIAL_FLOATS];
    call.exact.stride = plan->numbers[EXACT_FLOATS];
    for (uint32_t column = 0; !status && column < plan->desc.value_dim; column += block) {
        call.sizes.value_dim = (uint32_t)clfavor_min(block, plan->desc.value_dim - column);
        for (uint64_t slot = 0; !status && slot < slots; slot += plan->numbers[SLOTS]) {
            size_t count = (size_t)clfavor_min(plan->numbers[SLOTS], slots - slot);
            wave.slot = (uint32_t)slot;
            status = plan->desc.causal ? causal(plan, &call, chain, wave, count)
                                       : bidirectional(plan, &call, chain, wave, count);
        }
        call.v.view.offset += block;
        call.o.view.offset += block;
        call.corrections.view.offset += block;
        call.lse.buffer = call.sign.buffer = NULL; /* written with the first block */
    }
    return status;
}

const clfavor_engine clfavor_engine_attention_cpu = {prepare, enqueue};
