/* The feature matrices alone, for attention of your own making: phi(q)'phi(k) estimates exp(q.k / sqrt(d)).
 *
 * phi = features * exp(log_scale): a query has one log scale, a key's features have one each, shared by all keys. */
#include "common.h"

enum { N = 64, D = 16, M = 1024, SIZE = N * D };

/* phi [N, M] and its log scale (one a token for queries, one a feature for keys) of x [N, D]. */
static void features_of(const example *e, const clfavor_weights *weights, clfavor_operation operation, const float *x,
                        float *phi, float *log_scale) {
    int scales = operation == CLFAVOR_OP_FEATURES_QUERY ? N : M;
    clfavor_plan *plan;
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = operation,
                              .map = CLFAVOR_MAP_POSITIVE,
                              .features = M,
                              .dim = D,
                              .max_n = N};
    CHECK(clfavor_plan_create(&plan, e->context, &desc));
    clfavor_features_args args = {.struct_size = sizeof args, .weights = weights, .n = N};
    args.x = clfavor_tensor_dense(example_buffer(e, SIZE, x), 1, N, D);
    args.features = clfavor_tensor_dense(example_buffer(e, N * M, NULL), 1, N, M);
    args.log_scale = clfavor_tensor_dense(example_buffer(e, (size_t)scales, NULL), 1, (uint64_t)scales, 1);
    args.workspace = example_workspace(e, plan);
    CHECK(clfavor_enqueue_features(plan, &args, e->queue, 0, NULL, NULL));
    example_read(e->queue, args.features.buffer, N * M, phi);
    example_read(e->queue, args.log_scale.buffer, (size_t)scales, log_scale);
    cl_mem buffers[] = {args.x.buffer, args.features.buffer, args.log_scale.buffer, args.workspace};
    for (int b = 0; b < 4; ++b)
        example_release(buffers[b]);
    clfavor_plan_destroy(plan);
}

int main(void) {
    example e = example_open();
    float *q = example_normal(SIZE, 1, 0.5), *k = example_normal(SIZE, 2, 0.5);
    float *phi_q = calloc(2 * N * M + N + M, sizeof *phi_q);
    if (!phi_q)
        return EXIT_FAILURE;
    float *phi_k = phi_q + N * M, *scale_q = phi_k + N * M, *scale_k = scale_q + N;

    clfavor_projection *projection;
    clfavor_estimator *estimator;
    clfavor_weights *weights;
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = M, .dim = D, .seed = 1};
    CHECK(clfavor_projection_create(&projection, &w));
    clfavor_estimator_desc map = {.struct_size = sizeof map, .map = CLFAVOR_MAP_POSITIVE, .projection = projection};
    CHECK(clfavor_estimator_create(&estimator, &map));
    CHECK(clfavor_weights_create(&weights, e.context, estimator));
    features_of(&e, weights, CLFAVOR_OP_FEATURES_QUERY, q, phi_q, scale_q);
    features_of(&e, weights, CLFAVOR_OP_FEATURES_KEY, k, phi_k, scale_k);

    double mean = 0, square = 0; /* of estimate / exp(q.k / sqrt(d)) over all pairs */
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j) {
            double dot = 0, estimate = 0;
            for (int l = 0; l < D; ++l)
                dot += (double)q[i * D + l] * (double)k[j * D + l];
            for (int r = 0; r < M; ++r)
                estimate +=
                    (double)phi_q[i * M + r] * (double)phi_k[j * M + r] * exp((double)(scale_q[i] + scale_k[r]));
            double ratio = estimate / exp(dot / sqrt(D));
            mean += ratio / (N * N);
            square += ratio * ratio / (N * N);
        }
    double deviation = sqrt(square - mean * mean);
    printf("estimate / exp(q.k / sqrt(d)) over %d pairs: mean %.3f, standard deviation %.3f\n", N * N, mean, deviation);

    clfavor_weights_destroy(weights);
    clfavor_estimator_destroy(estimator);
    clfavor_projection_destroy(projection);
    free(q);
    free(k);
    free(phi_q);
    example_close(&e);
    return !(fabs(mean - 1) < 0.05 && deviation < 0.2);
}
