/* Attention with random features beside exact attention, on the same device and the same buffers.
 *
 * The order is that of every program: context, projection, estimator, weights, plan, then as many calls as you like. */
#include "common.h"

enum { HEADS = 4, N = 1024, D = 32, M = 512, SIZE = HEADS * N * D };

static clfavor_weights *make_weights(clfavor_context *context) {
    clfavor_projection *projection;
    clfavor_estimator *estimator;
    clfavor_weights *weights;
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = M, .dim = D, .seed = 1};
    CHECK(clfavor_projection_create(&projection, &w));
    clfavor_estimator_desc map = {.struct_size = sizeof map, .map = CLFAVOR_MAP_POSITIVE, .projection = projection};
    CHECK(clfavor_estimator_create(&estimator, &map));
    CHECK(clfavor_weights_create(&weights, context, estimator));
    clfavor_estimator_destroy(estimator); /* the weights are a copy of what they need */
    clfavor_projection_destroy(projection);
    return weights;
}

/* Runs one operation on the inputs of args and reads O. */
static void attend(const example *e, clfavor_operation operation, clfavor_attention_args args, float *o) {
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = operation,
                              .map = CLFAVOR_MAP_POSITIVE,
                              .features = M,
                              .dim = D,
                              .max_heads = HEADS,
                              .max_n = N};
    clfavor_plan *plan;
    CHECK(clfavor_plan_create(&plan, e->context, &desc));
    args.workspace = example_workspace(e, plan);
    if (operation == CLFAVOR_OP_EXACT)
        args.weights = NULL;
    CHECK(clfavor_enqueue_attention(plan, &args, e->queue, 0, NULL, NULL));
    example_read(e->queue, args.o.buffer, SIZE, o);
    example_release(args.workspace);
    clfavor_plan_destroy(plan);
}

/* What answers every query with the mean of V: a figure that no estimate should exceed. */
static void mean_of_values(const float *v, float *o) {
    for (int h = 0; h < HEADS; ++h)
        for (int l = 0; l < D; ++l) {
            double mean = 0;
            for (int j = 0; j < N; ++j)
                mean += (double)v[(h * N + j) * D + l] / N;
            for (int i = 0; i < N; ++i)
                o[(h * N + i) * D + l] = (float)mean;
        }
}

int main(void) {
    example e = example_open();
    float *q = example_normal(SIZE, 1, 0.5), *k = example_normal(SIZE, 2, 0.5), *v = example_normal(SIZE, 3, 1);
    for (int i = 0; i < SIZE; ++i)
        v[i] = k[i] + 0.1F * v[i]; /* values that depend on the keys, so that attention has something to find */

    clfavor_weights *weights = make_weights(e.context);
    clfavor_attention_args args = {.struct_size = sizeof args, .weights = weights, .heads = HEADS, .n = N};
    args.q = clfavor_tensor_dense(example_buffer(&e, SIZE, q), HEADS, N, D);
    args.k = clfavor_tensor_dense(example_buffer(&e, SIZE, k), HEADS, N, D);
    args.v = clfavor_tensor_dense(example_buffer(&e, SIZE, v), HEADS, N, D);
    args.o = clfavor_tensor_dense(example_buffer(&e, SIZE, NULL), HEADS, N, D);

    float *estimate = q, *exact = k; /* their values are in the buffers by now */
    attend(&e, CLFAVOR_OP_ATTENTION, args, estimate);
    attend(&e, CLFAVOR_OP_EXACT, args, exact);
    double error = example_error(estimate, exact, SIZE);
    mean_of_values(v, estimate);
    double mean_error = example_error(estimate, exact, SIZE);
    printf("relative error with %d features: %.3f; of answering mean(V): %.3f\n", M, error, mean_error);

    clfavor_weights_destroy(weights);
    clfavor_tensor tensors[] = {args.q, args.k, args.v, args.o};
    for (int t = 0; t < 4; ++t)
        example_release(tensors[t].buffer);
    free(q);
    free(k);
    free(v);
    example_close(&e);
    return !(error < 0.6 * mean_error);
}
