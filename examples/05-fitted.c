/* An estimator that is fitted to the queries, keys and values: centres, transforms, widths, and the heaviest keys
 * treated exactly. Compared with plain features at the same number of rows, both against exact attention. */
#include "common.h"

enum { HEADS = 4, N = 1024, D = 32, ROWS = 256, EXACT = 128, SIZE = HEADS * N * D };

/* Like real heads: a common part, and a few directions that carry most of the variance. */
static float *tokens(uint32_t seed, float common) {
    float *x = example_normal(SIZE, seed, 0.5);
    for (int i = 0; i < SIZE; ++i)
        x[i] = x[i] * (i % D < 4 ? 6.0F : 1.0F) + (i % D % 3 ? common : -common);
    return x;
}

/* Runs one plan and reads O. */
static void attend(const example *e, clfavor_plan_desc desc, const clfavor_estimator *estimator,
                   clfavor_attention_args args, float *o) {
    clfavor_plan *plan;
    clfavor_weights *weights = NULL;
    desc.struct_size = sizeof desc;
    desc.dim = D;
    desc.max_heads = HEADS;
    desc.max_n = N;
    CHECK(clfavor_plan_create(&plan, e->context, &desc));
    if (estimator)
        CHECK(clfavor_weights_create(&weights, e->context, estimator));
    args.weights = weights;
    args.workspace = example_workspace(e, plan);
    CHECK(clfavor_enqueue_attention(plan, &args, e->queue, 0, NULL, NULL));
    example_read(e->queue, args.o.buffer, SIZE, o);
    example_release(args.workspace);
    clfavor_weights_destroy(weights);
    clfavor_plan_destroy(plan);
}

static clfavor_projection *project(clfavor_projection_kind kind, uint32_t features) {
    clfavor_projection *projection;
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .kind = kind, .features = features, .dim = D, .seed = 1};
    CHECK(clfavor_projection_create(&projection, &desc));
    return projection;
}

int main(void) {
    example e = example_open();
    float *q = tokens(1, 0.7F), *k = tokens(2, 0.7F), *v = example_normal(SIZE, 3, 1);
    float *exact = calloc(SIZE, sizeof *exact), *o = calloc(SIZE, sizeof *o);
    if (!exact || !o)
        return EXIT_FAILURE;
    clfavor_attention_args args = {.struct_size = sizeof args, .heads = HEADS, .n = N};
    args.q = clfavor_tensor_dense(example_buffer(&e, SIZE, q), HEADS, N, D);
    args.k = clfavor_tensor_dense(example_buffer(&e, SIZE, k), HEADS, N, D);
    args.v = clfavor_tensor_dense(example_buffer(&e, SIZE, v), HEADS, N, D);
    args.o = clfavor_tensor_dense(example_buffer(&e, SIZE, NULL), HEADS, N, D);
    attend(&e, (clfavor_plan_desc){.operation = CLFAVOR_OP_EXACT}, NULL, args, exact);

    clfavor_projection *projection = project(CLFAVOR_PROJECTION_ORTHOGONAL, ROWS);
    clfavor_estimator *plain, *fitted;
    clfavor_estimator_desc map = {.struct_size = sizeof map, .map = CLFAVOR_MAP_POSITIVE, .projection = projection};
    CHECK(clfavor_estimator_create(&plain, &map));
    attend(&e, (clfavor_plan_desc){.map = CLFAVOR_MAP_POSITIVE, .features = ROWS}, plain, args, o);
    double plain_error = example_error(o, exact, SIZE);
    clfavor_projection_destroy(projection);

    /* On the host; of K/V heads that share parameters it makes one set each. */
    clfavor_fit *fit;
    clfavor_fit_desc fit_desc = {
        .struct_size = sizeof fit_desc, .dim = D, .heads = HEADS, .n = N, .q = q, .k = k, .v = v, .exact_keys = EXACT};
    clfavor_sderf_desc parameters = {.struct_size = sizeof parameters};
    clfavor_fit_info info = {.struct_size = sizeof info};
    CHECK(clfavor_fit_create(&fit, &fit_desc));
    CHECK(clfavor_fit_get_sderf(fit, &parameters));
    CHECK(clfavor_fit_get_info(fit, &info));
    parameters.projection = projection = project(CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, ROWS - EXACT);
    CHECK(clfavor_estimator_create_sderf(&fitted, &parameters));

    cl_int code;
    cl_mem keys = clCreateBuffer(e.cl, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, HEADS * EXACT * sizeof *info.keys,
                                 (void *)(size_t)info.keys, &code);
    CHECK_CL(code);
    args.exact_keys = clfavor_tensor_dense(keys, HEADS, EXACT, 1);
    attend(&e, (clfavor_plan_desc){.map = CLFAVOR_MAP_EXPONENTIAL, .features = ROWS - EXACT, .exact_keys = EXACT},
           fitted, args, o);
    double fitted_error = example_error(o, exact, SIZE);
    printf("head 0: %.0f keys count; mean |x + y|^2 is %.1f, after the fit %.1f\n", info.effective_keys[0],
           info.mean_s_plain[0], info.mean_s[0]);
    printf("relative error with %d rows: plain %.3f, fitted %.3f\n", ROWS, plain_error, fitted_error);

    clfavor_fit_destroy(fit);
    clfavor_projection_destroy(projection);
    clfavor_estimator_destroy(plain);
    clfavor_estimator_destroy(fitted);
    cl_mem buffers[] = {args.q.buffer, args.k.buffer, args.v.buffer, args.o.buffer, keys};
    float *arrays[] = {q, k, v, exact, o};
    for (int i = 0; i < 5; ++i) {
        example_release(buffers[i]);
        free(arrays[i]);
    }
    example_close(&e);
    return !(fitted_error < 0.5 * plain_error);
}
