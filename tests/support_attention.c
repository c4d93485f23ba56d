#include "support_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

test_case test_case_resolve(test_case c) {
    c.batch = c.batch ? c.batch : 1;
    c.heads = c.heads ? c.heads : 1;
    c.heads_kv = c.heads_kv ? c.heads_kv : c.heads;
    c.n_k = c.n_k ? c.n_k : c.n;
    c.dv = c.dv ? c.dv : c.d;
    c.sets = c.sets ? c.sets : 1;
    c.sigma = c.sigma != 0.0 ? c.sigma : 1.0;
    return c;
}

test_inputs test_inputs_create(const test_case *user) {
    const test_case c = test_case_resolve(*user);
    test_inputs in = {.q_count = (size_t)(c.batch * c.heads * c.n * c.d),
                      .k_count = (size_t)(c.batch * c.heads_kv * c.n_k * c.d),
                      .v_count = (size_t)(c.batch * c.heads_kv * c.n_k * c.dv)};
    in.q = test_normals(3 * c.seed + 101, in.q_count, c.sigma);
    in.k = test_normals(3 * c.seed + 102, in.k_count, c.sigma);
    in.v = test_normals(3 * c.seed + 103, in.v_count, 1.0);
    return in;
}

void test_inputs_free(test_inputs *in) {
    free(in->q);
    free(in->k);
    free(in->v);
}

clfavor_estimator *test_estimator(const test_case *user) {
    const test_case c = test_case_resolve(*user);
    if (c.exact)
        return NULL;
    clfavor_estimator *estimator = NULL;
    if (c.exponential) {
        ck_assert_int_eq(clfavor_estimator_create_exponential(&estimator, c.exponential), CLFAVOR_SUCCESS);
        return estimator;
    }
    clfavor_projection *projection = NULL;
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .kind = c.projection, .features = c.m, .dim = c.d, .sets = c.sets, .seed = c.seed};
    clfavor_estimator_desc estimator_desc = {
        .struct_size = sizeof estimator_desc, .map = c.map, .dim = c.d, .scale = c.scale};
    if (c.map != CLFAVOR_MAP_ELU) {
        ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
        estimator_desc.projection = projection;
    }
    ck_assert_int_eq(clfavor_estimator_create(&estimator, &estimator_desc), CLFAVOR_SUCCESS);
    clfavor_projection_destroy(projection);
    return estimator;
}

test_outputs test_run(test_device *device, clfavor_context *context, const test_case *c, const test_inputs *in) {
    test_call call = test_call_create(device, context, c, in);
    test_outputs out = test_call_run(&call);
    test_call_release(&call);
    return out;
}

void test_outputs_free(test_outputs *out) {
    free(out->o);
    free(out->lse);
    free(out->sign);
}

test_reference test_run_reference(const test_case *user, const test_inputs *in) {
    const test_case c = test_case_resolve(*user);
    size_t rows = (size_t)(c.batch * c.heads * c.n);
    test_reference out = {.o = test_alloc(rows * c.dv, sizeof(double)),
                          .lse = test_alloc(rows, sizeof(double)),
                          .sign = test_alloc(rows, sizeof(double)),
                          .abs_sum = test_alloc(rows, sizeof(double))};
    double *q = test_doubles(in->q, in->q_count), *k = test_doubles(in->k, in->k_count),
           *v = test_doubles(in->v, in->v_count);
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .batch = c.batch,
                                   .heads = c.heads,
                                   .heads_kv = c.heads_kv,
                                   .n = c.n,
                                   .n_k = c.n_k,
                                   .dim = c.d,
                                   .value_dim = c.dv,
                                   .causal = c.causal,
                                   .scale = c.exact ? c.scale : 0.0,
                                   .q = q,
                                   .k = k,
                                   .v = v,
                                   .o = out.o,
                                   .lse = out.lse,
                                   .sign = out.sign,
                                   .abs_sum = out.abs_sum,
                                   .exact_keys = c.exact_keys,
                                   .exact_count = c.exact_count,
                                   .corrections = c.corrections};
    clfavor_estimator *estimator = test_estimator(&c);
    ck_assert_int_eq(c.exact ? clfavor_reference_exact(&args) : clfavor_reference_attention(estimator, &args),
                     CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(estimator);
    free(q);
    free(k);
    free(v);
    return out;
}

void test_reference_free(test_reference *reference) {
    free(reference->o);
    free(reference->lse);
    free(reference->sign);
    free(reference->abs_sum);
}

bool test_is_signed(clfavor_map map) {
    return map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE || map == CLFAVOR_MAP_GAUSSIAN;
}

/* Tolerance. A feature is 2^e with e = t + scalar - reference, so its relative error is the absolute error of e. t is a
 * sum of d products: |error| <= eps d |w||x| at worst, about eps sqrt(d) |w||x| / 2 for errors of random sign; the
 * scalar adds eps sqrt(d) |x|^2/2. Features of queries and keys add, and sums of up to n and m terms average such
 * errors, so with a = |w||x| + |x|^2/2 for typical |w|^2 = d, |x|^2 = sigma^2 d scale: tolerance = eps (16 + 2 sqrt(d)
 * a),   eps = 2^-24, 16 for exp2, log2, divisions and sums. Signed maps multiply it by the cancellation sum|terms| /
 * |sum| of a row (capped where a row is skipped at 0.1/eps); the rows' errors are weighted by that in the Frobenius
 * norm, so the root mean square over the rows is used. */
double test_case_tolerance(const test_case *user, const test_reference *reference) {
    const test_case c = test_case_resolve(*user);
    double d = c.d, scale = c.scale != 0.0 ? c.scale : 1.0 / sqrt(d), eps = 0x1p-24;
    double square = c.sigma * c.sigma * d * scale;
    double base = eps * (16.0 + 2.0 * sqrt(d) * (sqrt(d * square) + square / 2.0));
    if (!reference || !test_is_signed(c.map))
        return base;
    double sum = 0.0, count = 0.0;
    for (size_t row = 0; row < c.batch * c.heads * c.n; ++row) {
        double cancellation = exp(reference->abs_sum[row] - reference->lse[row]);
        if (eps * cancellation <= 0.1) {
            sum += cancellation * cancellation;
            count += 1.0;
        }
    }
    return base * sqrt(count > 0.0 ? sum / count : 1.0);
}

double test_case_error(const test_case *user, const test_outputs *out, const test_reference *reference,
                       size_t *skipped) {
    const test_case c = test_case_resolve(*user);
    bool is_signed = !c.exact && test_is_signed(c.map);
    const double eps = 0x1p-24;
    double worst = 0.0;
    *skipped = 0;
    for (uint64_t head = 0; head < c.batch * c.heads; ++head) {
        double difference = 0.0, norm = 0.0;
        for (uint64_t i = 0; i < c.n; ++i) {
            size_t row = (size_t)(head * c.n + i);
            if (is_signed && !(eps * exp(reference->abs_sum[row] - reference->lse[row]) <= 0.1)) {
                ++*skipped;
                continue;
            }
            for (uint32_t l = 0; l < c.dv; ++l) {
                double expected = reference->o[row * c.dv + l], error = (double)out->o[row * c.dv + l] - expected;
                difference += error * error;
                norm += expected * expected;
            }
        }
        double error = difference == 0.0 ? 0.0 : sqrt(difference / norm);
        worst = error <= worst ? worst : error; /* NaN wins */
    }
    return worst;
}

const char *test_case_name(const test_case *user, clfavor_device_class device_class) {
    static const char *const maps[] = {"positive", "hyperbolic", "trig", "trig-phase",
                                       "gaussian", "relu",       "elu",  "exponential"};
    static _Thread_local char text[320];
    const test_case c = test_case_resolve(*user);
    snprintf(
        text, sizeof text,
        "%s %s%s B=%llu H=%llu H_kv=%llu n=%llu n_k=%llu d=%u dv=%u m=%u sets=%u chunk=%u pieces=%u sigma=%g seed=%llu",
        device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu", c.exact ? "exact" : maps[c.map], c.causal ? " causal" : "",
        (unsigned long long)c.batch, (unsigned long long)c.heads, (unsigned long long)c.heads_kv,
        (unsigned long long)c.n, (unsigned long long)c.n_k, c.d, c.dv, c.m, c.sets, c.chunk, c.pieces, c.sigma,
        (unsigned long long)c.seed);
    return text;
}
