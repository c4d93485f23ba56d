#include "attention_broken.h"

#include <math.h>

#define BREAK(text, status, change) ((change), (fuzz_breakage){text, CLFAVOR_##status})
#define IF(condition, breakage)     ((condition) ? (breakage) : (fuzz_breakage){0})

fuzz_breakage fuzz_break_args(const test_call *call, int index, uint32_t r, clfavor_attention_args *a,
                              cl_command_queue *queue, cl_uint *num_events) {
    const test_case *c = &call->c;
    clfavor_tensor *const inputs[] = {&a->q, &a->k, &a->v}, *const all[] = {&a->q, &a->k,   &a->v,
                                                                            &a->o, &a->lse, &a->sign};
    clfavor_tensor *input = inputs[r % 3], *any = all[r % 6];
    switch (index) {
    case 0:
        return BREAK("n = 0", INVALID_SHAPE, a->n = 0);
    case 1:
        return BREAK("batch", INVALID_SHAPE, a->batch += 1 + (uint64_t)r * r);
    case 2:
        return BREAK("heads", INVALID_SHAPE, a->heads += 1 + (uint64_t)r * r);
    case 3:
        return BREAK("heads_kv", INVALID_SHAPE, a->heads_kv = a->heads + 1 + r);
    case 4:
        return BREAK("n_k", INVALID_SHAPE, a->n_k = (c->n > c->n_k ? c->n : c->n_k) + 1 + (uint64_t)r * r);
    case 5:
        return BREAK("no buffer", INVALID_ARGUMENT, (r & 4 ? &a->o : input)->buffer = NULL);
    case 6:
        return BREAK("a crooked offset", INVALID_TENSOR, any->offset += 1 + r % 3);
    case 7:
        return BREAK("a far offset", INVALID_TENSOR, any->offset = SIZE_MAX - 3);
    case 8:
        return IF(c->n > 1, BREAK("a far stride", INVALID_TENSOR, a->q.stride_token = UINT64_MAX / (1 + r % 16)));
    case 9:
        return IF(c->n > 1, BREAK("rows that overlap", OVERLAP, a->o.stride_token = r % c->dv));
    case 10:
        return BREAK("lse in o", OVERLAP, (a->lse.buffer = a->o.buffer, a->lse.offset = a->o.offset));
    case 11:
        return BREAK("lse in q", OVERLAP, (a->lse.buffer = a->q.buffer, a->lse.offset = a->q.offset));
    case 12:
        return IF(call->info.workspace_size, BREAK("no workspace", WORKSPACE, a->workspace = NULL));
    case 13:
        return IF(call->info.workspace_size,
                  BREAK("a workspace that is not aligned", WORKSPACE, a->workspace_offset += 4 * (1 + r % 31)));
    case 14:
        return BREAK("struct_size", INVALID_ARGUMENT, a->struct_size = r % sizeof a->struct_size);
    case 15:
        return BREAK("a queue", INVALID_ARGUMENT, *queue = NULL);
    case 16:
        return BREAK("a wait list", INVALID_ARGUMENT, *num_events = 1 + r % 9);
    case 17:
        return BREAK("key_lengths", UNSUPPORTED, a->key_lengths = a->q.buffer);
    case 18:
        return c->exact ? BREAK("scale", NOT_FINITE, a->scale = r & 1 ? (double)NAN : -1.0)
                        : BREAK("scale", INVALID_ARGUMENT, a->scale = 1.0);
    case 19:
        return r & 1 ? BREAK("half", UNSUPPORTED, any->dtype = CLFAVOR_F16)
                     : BREAK("dtype", INVALID_ARGUMENT, any->dtype = (clfavor_dtype)(3 + (r >> 1) % 1000));
    default:
        return IF(!c->exact, BREAK("no weights", INVALID_ARGUMENT, a->weights = NULL));
    }
}

fuzz_breakage fuzz_break_plan(const test_case *c, bool cpu, int index, uint32_t r, clfavor_plan_desc *desc) {
    bool random = !c->exact;
    switch (index) {
    case 0:
        return BREAK("d", INVALID_SHAPE, desc->dim = r & 1 ? 0 : CLFAVOR_MAX_DIM + 1 + r);
    case 1:
        return BREAK("dv", INVALID_SHAPE, desc->value_dim = CLFAVOR_MAX_DIM + 1 + (r >> 1));
    case 2:
        return BREAK("map", INVALID_ARGUMENT, desc->map = (clfavor_map)(8 + r % 1000));
    case 3:
        return IF(random, BREAK("m", INVALID_SHAPE, desc->features = CLFAVOR_MAX_FEATURES + 1 + (r >> 1)));
    case 4:
        return BREAK("half", UNSUPPORTED, desc->dtype = r & 1 ? CLFAVOR_F16 : CLFAVOR_BF16);
    case 5:
        return BREAK("causal", INVALID_ARGUMENT, desc->causal = 2 + (r >> 1));
    case 6:
        return BREAK("corrections", INVALID_ARGUMENT, desc->corrections = 2 + (r >> 1));
    case 7:
        return IF(c->causal || c->exact, BREAK("exact keys", UNSUPPORTED, desc->exact_keys = 1 + r % 100));
    case 8:
        return IF(cpu || c->exact, BREAK("a back end", UNSUPPORTED, desc->backend = CLFAVOR_BACKEND_STAGED));
    case 9:
        return BREAK("back end", INVALID_ARGUMENT, desc->backend = (clfavor_backend)(4 + r % 1000));
    case 10:
        return IF(random, BREAK("workspace", WORKSPACE, desc->workspace_limit = 1 + r % 64));
    case 11:
        return BREAK("max_n", INVALID_SHAPE, desc->max_n = ((uint64_t)1 << 40) + 1 + r);
    case 12:
        return BREAK("max_batch", INVALID_SHAPE, desc->max_batch = ((uint64_t)1 << 32) + r);
    default:
        return BREAK("struct_size", INVALID_ARGUMENT, desc->struct_size = r % sizeof desc->struct_size);
    }
}
