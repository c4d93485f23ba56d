/* Causal attention: row i sees keys 0 .. i only, to the last bit. The later half of the keys and values is replaced by
 * NaN, and the earlier half of the rows does not change. */
#include "common.h"

enum { HEADS = 2, N = 512, D = 32, M = 128, SIZE = HEADS * N * D };

int main(void) {
    example e = example_open();
    float *q = example_normal(SIZE, 1, 1), *k = example_normal(SIZE, 2, 1), *v = example_normal(SIZE, 3, 1);
    float *before = calloc(SIZE, sizeof *before), *after = calloc(SIZE, sizeof *after);
    if (!before || !after)
        return EXIT_FAILURE;

    clfavor_projection *projection;
    clfavor_estimator *estimator;
    clfavor_weights *weights;
    clfavor_plan *plan;
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = M, .dim = D, .seed = 1};
    CHECK(clfavor_projection_create(&projection, &w));
    clfavor_estimator_desc map = {.struct_size = sizeof map, .map = CLFAVOR_MAP_POSITIVE, .projection = projection};
    CHECK(clfavor_estimator_create(&estimator, &map));
    CHECK(clfavor_weights_create(&weights, e.context, estimator));
    clfavor_plan_desc desc = {
        .struct_size = sizeof desc, .features = M, .dim = D, .causal = 1, .max_heads = HEADS, .max_n = N};
    CHECK(clfavor_plan_create(&plan, e.context, &desc));

    clfavor_attention_args args = {.struct_size = sizeof args, .weights = weights, .heads = HEADS, .n = N};
    args.q = clfavor_tensor_dense(example_buffer(&e, SIZE, q), HEADS, N, D);
    args.k = clfavor_tensor_dense(example_buffer(&e, SIZE, k), HEADS, N, D);
    args.v = clfavor_tensor_dense(example_buffer(&e, SIZE, v), HEADS, N, D);
    args.o = clfavor_tensor_dense(example_buffer(&e, SIZE, NULL), HEADS, N, D);
    args.workspace = example_workspace(&e, plan);
    CHECK(clfavor_enqueue_attention(plan, &args, e.queue, 0, NULL, NULL));
    example_read(e.queue, args.o.buffer, SIZE, before);

    for (int i = 0; i < SIZE; ++i)
        if (i / D % N >= N / 2)
            k[i] = v[i] = NAN;
    CHECK_CL(clEnqueueWriteBuffer(e.queue, args.k.buffer, CL_FALSE, 0, SIZE * sizeof *k, k, 0, NULL, NULL));
    CHECK_CL(clEnqueueWriteBuffer(e.queue, args.v.buffer, CL_FALSE, 0, SIZE * sizeof *v, v, 0, NULL, NULL));
    CHECK(clfavor_enqueue_attention(plan, &args, e.queue, 0, NULL, NULL));
    example_read(e.queue, args.o.buffer, SIZE, after);

    int same = 0, nan = 0;
    for (int row = 0; row < HEADS * N; ++row) {
        const float *a = before + row * D, *b = after + row * D;
        same += !memcmp(a, b, D * sizeof *a);
        nan += isnan(b[0]) != 0;
    }
    /* Row 0 sees one key: O = v_0, whatever W is. */
    double first = example_error(before, v, D);
    printf("%d rows with the same bits, %d of NaN; row 0 is v[0] within %.0e\n", same, nan, first);

    clfavor_plan_destroy(plan);
    clfavor_weights_destroy(weights);
    clfavor_estimator_destroy(estimator);
    clfavor_projection_destroy(projection);
    cl_mem buffers[] = {args.q.buffer, args.k.buffer, args.v.buffer, args.o.buffer, args.workspace};
    for (int b = 0; b < 5; ++b)
        example_release(buffers[b]);
    float *arrays[] = {q, k, v, before, after};
    for (int a = 0; a < 5; ++a)
        free(arrays[a]);
    example_close(&e);
    return !(same == HEADS * N / 2 && nan == HEADS * N / 2 && first < 1e-6);
}
