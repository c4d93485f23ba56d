/* Plans: checks of the description, the choice of the backend, the kernels. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_MAX_N           ((uint64_t)1 << 40)
#define DEFAULT_WORKSPACE_LIMIT ((size_t)64 << 20)

static bool is_exponential(clfavor_map map) {
    return map == CLFAVOR_MAP_POSITIVE || map == CLFAVOR_MAP_HYPERBOLIC || map == CLFAVOR_MAP_EXPONENTIAL;
}

static clfavor_status resolve(clfavor_plan *plan) {
    const clfavor_context *context = plan->context;
    clfavor_plan_desc *desc = &plan->desc;
    bool exact = desc->operation == CLFAVOR_OP_EXACT;
    bool features = desc->operation == CLFAVOR_OP_FEATURES_QUERY || desc->operation == CLFAVOR_OP_FEATURES_KEY;
    if ((unsigned)desc->operation > CLFAVOR_OP_FEATURES_KEY || (unsigned)desc->map > CLFAVOR_MAP_EXPONENTIAL ||
        desc->causal > 1 || desc->corrections > 1 || (unsigned)desc->dtype > CLFAVOR_BF16 ||
        (unsigned)desc->backend > CLFAVOR_BACKEND_CLBLAST)
        return CLFAVOR_REFUSE(
            context, CLFAVOR_INVALID_ARGUMENT,
            "a plan's operation (%d), map (%d), causal (%u), dtype (%d) or backend (%d) is out of range",
            (int)desc->operation, (int)desc->map, desc->causal, (int)desc->dtype, (int)desc->backend);
    if (desc->dtype != CLFAVOR_F32)
        return CLFAVOR_REFUSE(context, CLFAVOR_UNSUPPORTED, "only float32 is supported so far");
    if ((desc->exact_keys || desc->corrections) && (exact || features || desc->causal || !is_exponential(desc->map)))
        return CLFAVOR_REFUSE(context, CLFAVOR_UNSUPPORTED, "%s",
                              desc->causal && !exact
                                  ? "exact keys and corrections are not supported when causal: they depend on queries "
                                    "that come later, and a row must not depend on those"
                                  : "exact keys and corrections belong to attention with positive, hyperbolic or "
                                    "exponential features");
    if (desc->backend && (exact || features || context->device_class == CLFAVOR_CLASS_CPU))
        return CLFAVOR_REFUSE(context, CLFAVOR_UNSUPPORTED,
                              "a backend can be asked for only for attention with random features on the gpu class");
    if (desc->exact_keys > CLFAVOR_MAX_FEATURES)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE, "at most %u keys can be treated exactly, not %u",
                              CLFAVOR_MAX_FEATURES, desc->exact_keys);
    if (features && desc->causal)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the feature matrix is not causal: leave causal 0");
    if (!desc->dim || desc->dim > CLFAVOR_MAX_DIM)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE, "d must be 1 to %u, not %u", CLFAVOR_MAX_DIM, desc->dim);
    if (!desc->value_dim || features)
        desc->value_dim = desc->dim;
    if (desc->value_dim > CLFAVOR_MAX_DIM)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE, "dv must be 1 to %u, not %u", CLFAVOR_MAX_DIM,
                              desc->value_dim);
    if (desc->map == CLFAVOR_MAP_ELU && !exact) {
        if (desc->features && desc->features != desc->dim)
            return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE, "elu has d features: features must be 0 or d");
        desc->features = desc->dim;
    }
    if (!exact && (!desc->features || desc->features > CLFAVOR_MAX_FEATURES))
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE, "m must be 1 to %u, not %u", CLFAVOR_MAX_FEATURES,
                              desc->features);
    if (!desc->max_batch)
        desc->max_batch = 1;
    if (!desc->max_heads)
        desc->max_heads = 1;
    if (!desc->max_n)
        desc->max_n = DEFAULT_MAX_N;
    if (!desc->workspace_limit)
        desc->workspace_limit = DEFAULT_WORKSPACE_LIMIT;
    if (desc->max_batch > UINT32_MAX || desc->max_heads > UINT32_MAX || desc->max_n > DEFAULT_MAX_N)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE, "max_batch, max_heads or max_n is too large");

    static const clfavor_family families[] = {
        [CLFAVOR_MAP_POSITIVE] = CLFAVOR_FAMILY_EXP,  [CLFAVOR_MAP_HYPERBOLIC] = CLFAVOR_FAMILY_EXP,
        [CLFAVOR_MAP_TRIG] = CLFAVOR_FAMILY_TRIG,     [CLFAVOR_MAP_TRIG_PHASE] = CLFAVOR_FAMILY_TRIG_PHASE,
        [CLFAVOR_MAP_GAUSSIAN] = CLFAVOR_FAMILY_TRIG, [CLFAVOR_MAP_RELU] = CLFAVOR_FAMILY_RELU,
        [CLFAVOR_MAP_ELU] = CLFAVOR_FAMILY_ELU,       [CLFAVOR_MAP_EXPONENTIAL] = CLFAVOR_FAMILY_EXP,
    };
    plan->family = families[desc->map];
    plan->general = desc->map == CLFAVOR_MAP_EXPONENTIAL;
    plan->rows = desc->map == CLFAVOR_MAP_HYPERBOLIC ? 2 * desc->features : desc->features;
    plan->features = plan->family == CLFAVOR_FAMILY_TRIG ? 2 * plan->rows : plan->rows;
    plan->value_block = desc->value_dim;
    bool cpu = context->device_class == CLFAVOR_CLASS_CPU;
    plan->engine = features ? &clfavor_engine_features
                   : exact  ? (cpu ? &clfavor_engine_exact_cpu : &clfavor_engine_exact_gpu)
                            : (cpu ? &clfavor_engine_attention_cpu : &clfavor_engine_attention_gpu);
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_plan_create(clfavor_plan **out, clfavor_context *context, const clfavor_plan_desc *desc) {
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    if (!context)
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return CLFAVOR_OUT_OF_MEMORY;
    if (mtx_init(&plan->lock, mtx_plain) != thrd_success) {
        free(plan);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    clfavor_context_retain(context);
    plan->context = context;
    clfavor_status status = clfavor_desc_check(context, "the plan's description", &plan->desc, sizeof plan->desc, desc);
    if (!status)
        status = resolve(plan);
    if (!status)
        status = plan->engine->prepare(plan);
    if (status) {
        clfavor_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return CLFAVOR_SUCCESS;
}

void clfavor_plan_release_kernels(clfavor_plan *plan) {
    for (size_t i = 0; i < CLFAVOR_PLAN_KERNELS; ++i)
        if (plan->kernels[i])
            clReleaseKernel(plan->kernels[i]);
    memset(plan->kernels, 0, sizeof plan->kernels);
}

void clfavor_plan_destroy(clfavor_plan *plan) {
    if (!plan)
        return;
    clfavor_plan_release_kernels(plan);
    mtx_destroy(&plan->lock);
    clfavor_context_destroy(plan->context);
    free(plan);
}

clfavor_status clfavor_plan_get_info(const clfavor_plan *plan, clfavor_plan_info *info) {
    if (!plan || !info)
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_plan_info own = {.workspace_size = plan->workspace_size,
                             .chunk = plan->chunk,
                             .pieces = plan->pieces,
                             .features = plan->features,
                             .programs_built = plan->programs_built,
                             .build_seconds = plan->build_seconds,
                             .backend = plan->backend};
    return clfavor_info_write(info, &own, sizeof own);
}

void clfavor_plan_options(const clfavor_plan *plan, clfavor_options *options) {
    clfavor_options_init(options);
    clfavor_option(options, "FAMILY", (uint64_t)plan->family);
    clfavor_option(options, "GENERAL", plan->general);
    clfavor_option(options, "EXACT", plan->desc.exact_keys > 0);
    clfavor_option(options, "CORRECT", plan->desc.corrections);
    clfavor_option(options, "DIM", plan->desc.dim);
    clfavor_option(options, "VALUE_DIM", plan->value_block);
    clfavor_option(options, "VL", plan->context->device_class == CLFAVOR_CLASS_CPU ? plan->context->vector_width : 1);
    clfavor_option(options, "PANEL", plan->context->panel);
}

clfavor_status clfavor_plan_kernels(clfavor_plan *plan, const char *file, const clfavor_options *options, size_t first,
                                    const char *const *names, size_t count) {
    cl_program program = NULL;
    bool built = false;
    double seconds = 0.0;
    clfavor_status status = clfavor_program_get(plan->context, file, options, &program, &built, &seconds);
    if (status)
        return status;
    plan->programs_built += built;
    plan->build_seconds += seconds;
    for (size_t i = 0; i < count; ++i) {
        cl_int code;
        plan->kernels[first + i] = clCreateKernel(program, names[i], &code);
        if ((status = clfavor_check_cl(plan->context, code, "clCreateKernel")))
            return status;
    }
    return CLFAVOR_SUCCESS;
}
