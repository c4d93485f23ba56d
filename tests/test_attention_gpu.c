/* The gpu class's attention: what its division of the work must not change, and what its kernels must keep bit by bit.
 * tests/test_attention.c compares its results with the double reference over shapes. */
#include "support_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One pair of d and dv, so that each family of maps is built once. */
#define DIM    20u
#define COLUMN 40u
#define TOKENS 70u

static test_device device;
static clfavor_context *context;

static void setup(void) {
    test_open(&device);
    context = test_context(&device, CLFAVOR_CLASS_GPU);
}

static void teardown(void) {
    clfavor_context_destroy(context);
    test_close(&device);
}

static const clfavor_map maps[] = {CLFAVOR_MAP_POSITIVE,   CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_TRIG,
                                   CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_MAP_GAUSSIAN,   CLFAVOR_MAP_RELU,
                                   CLFAVOR_MAP_ELU};
#define MAPS ((int)(sizeof maps / sizeof *maps))

static test_case small_case(clfavor_map map, uint32_t causal) {
    return test_case_resolve((test_case){
        .map = map, .m = 33, .d = DIM, .dv = COLUMN, .n = TOKENS, .causal = causal, .seed = 5, .sigma = 0.5});
}

static bool same_bits(const float *a, const float *b, size_t count) {
    return memcmp(a, b, count * sizeof *a) == 0;
}

static size_t count_nan(const float *values, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count; ++i)
        found += isnan(values[i]) != 0;
    return found;
}

/* The number that a refused plan names in its log. */
static size_t least_workspace(const test_case *c) {
    clfavor_plan *plan;
    const clfavor_plan_desc desc = {.struct_size = sizeof desc,
                                    .map = c->map,
                                    .features = c->map == CLFAVOR_MAP_ELU ? 0 : c->m,
                                    .dim = c->d,
                                    .value_dim = c->dv,
                                    .causal = c->causal,
                                    .chunk = c->chunk,
                                    .max_batch = c->batch,
                                    .max_heads = c->heads,
                                    .max_n = c->n > c->n_k ? c->n : c->n_k,
                                    .workspace_limit = c->workspace_limit};
    unsigned long long bytes = 0;
    test_log_clear(&device);
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_WORKSPACE);
    ck_assert_ptr_null(plan);
    const char *text = strstr(device.log, "at least ");
    ck_assert_msg(text && sscanf(text, "at least %llu bytes", &bytes) == 1, "the log says: %s", device.log);
    return (size_t)bytes;
}

/* Waves, groups of states, blocks of query heads and of columns: no bit depends on them, only the workspace does. */
START_TEST(division) {
    for (uint32_t causal = 0; causal < 2; ++causal) {
        test_case c = small_case(maps[_i], causal);
        c.batch = 2;
        c.heads = 6;
        c.heads_kv = 2;
        c.n_k = causal ? c.n : 51;
        c.chunk = 16;
        test_inputs inputs = test_inputs_create(&c);
        test_outputs expected = test_run(&device, context, &c, &inputs);
        c.workspace_limit = 1;
        size_t least = least_workspace(&c);
        c.workspace_limit = least - 1;
        ck_assert_uint_eq(least_workspace(&c), least);
        const size_t limits[] = {least, least + least / 3, 2 * least, 5 * least, 11 * least};
        for (size_t i = 0; i < sizeof limits / sizeof *limits; ++i) {
            c.workspace_limit = limits[i];
            test_outputs outputs = test_run(&device, context, &c, &inputs);
            ck_assert_uint_le(outputs.info.workspace_size, limits[i]);
            ck_assert_msg(same_bits(outputs.o, expected.o, expected.o_count) &&
                              same_bits(outputs.lse, expected.lse, expected.rows) &&
                              same_bits(outputs.sign, expected.sign, expected.rows),
                          "%s: other bits in %zu bytes than in %zu", test_case_name(&c, CLFAVOR_CLASS_GPU), limits[i],
                          expected.info.workspace_size);
            test_outputs_free(&outputs);
        }
        test_outputs_free(&expected);
        test_inputs_free(&inputs);
    }
}
END_TEST

/* --- many sequences side by side as a batch, the first of them untouched */

typedef struct sequences {
    test_case c;
    test_inputs inputs;
    size_t k_size, v_size, o_size; /* of a sequence */
} sequences;

/* All sequences alike. */
static sequences sequences_create(test_case c, uint64_t count) {
    sequences s = {.c = c, .inputs = test_inputs_create(&c)};
    test_inputs one = s.inputs;
    s.c.batch = count;
    s.inputs = test_inputs_create(&s.c);
    for (uint64_t b = 0; b < count; ++b) {
        memcpy(s.inputs.q + b * one.q_count, one.q, one.q_count * sizeof(float));
        memcpy(s.inputs.k + b * one.k_count, one.k, one.k_count * sizeof(float));
        memcpy(s.inputs.v + b * one.v_count, one.v, one.v_count * sizeof(float));
    }
    s.k_size = one.k_count;
    s.v_size = one.v_count;
    s.o_size = (size_t)(c.n * c.dv);
    test_inputs_free(&one);
    return s;
}

#define FUTURES 8
static float hostile_key(int future, float value) {
    const float keys[] = {value * 1000.0F, 0.0F, NAN, INFINITY, 1e30F, -INFINITY};
    return future < 6 ? keys[future] : value;
}
static float hostile_value(int future, float value) {
    const float values[] = {value, NAN, INFINITY, 1e30F, -1e30F, value, NAN, INFINITY};
    return values[future];
}

/* Row i depends on keys 0..i only, to the last bit, whatever comes later. */
START_TEST(prefix) {
    static const uint32_t chunks[] = {1, 7, 32, 100};
    static const uint64_t prefixes[] = {1, 2, 6, 7, 8, 31, 32, 33, 63, 64, 65};
    enum { PREFIXES = sizeof prefixes / sizeof *prefixes };
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; ++i) {
        test_case c = small_case(maps[_i], 1);
        c.chunk = chunks[i];
        sequences s = sequences_create(c, 1 + PREFIXES * FUTURES);
        for (size_t p = 0; p < PREFIXES; ++p)
            for (int future = 0; future < FUTURES; ++future) {
                size_t b = 1 + p * FUTURES + (size_t)future;
                float *k = s.inputs.k + b * s.k_size, *v = s.inputs.v + b * s.v_size;
                for (size_t at = prefixes[p] * DIM; at < s.k_size; ++at)
                    k[at] = hostile_key(future, k[at]);
                for (size_t at = prefixes[p] * COLUMN; at < s.v_size; ++at)
                    v[at] = hostile_value(future, v[at]);
            }
        test_outputs outputs = test_run(&device, context, &s.c, &s.inputs);
        ck_assert_uint_eq(count_nan(outputs.o, s.o_size) + count_nan(outputs.lse, TOKENS), 0);
        for (size_t p = 0; p < PREFIXES; ++p)
            for (int future = 0; future < FUTURES; ++future) {
                size_t b = 1 + p * FUTURES + (size_t)future, rows = (size_t)prefixes[p];
                ck_assert_msg(same_bits(outputs.o, outputs.o + b * s.o_size, rows * COLUMN) &&
                                  same_bits(outputs.lse, outputs.lse + b * TOKENS, rows) &&
                                  same_bits(outputs.sign, outputs.sign + b * TOKENS, rows),
                              "%s: future %d changes the first %zu rows", test_case_name(&s.c, CLFAVOR_CLASS_GPU),
                              future, rows);
            }
        /* A shorter sequence has the same bits too. */
        for (size_t p = 0; p < PREFIXES; ++p) {
            test_case shorter = c;
            shorter.n = shorter.n_k = prefixes[p];
            shorter.max_n = TOKENS;
            test_outputs part = test_run(&device, context, &shorter, &s.inputs);
            ck_assert_msg(same_bits(outputs.o, part.o, part.o_count) && same_bits(outputs.lse, part.lse, part.rows),
                          "%s differs from a longer sequence's start", test_case_name(&shorter, CLFAVOR_CLASS_GPU));
            test_outputs_free(&part);
        }
        test_outputs_free(&outputs);
        test_inputs_free(&s.inputs);
    }
}
END_TEST

/* A NaN with a payload at every token in turn: of q, of k, of v. Every row that sees it becomes NaN and no other bit
 * changes, in the sequence or in its neighbours. */
START_TEST(nan_in_nan_out) {
    const uint32_t bits = 0xffc12345u;
    float poison;
    memcpy(&poison, &bits, sizeof poison);
    for (uint32_t causal = 0; causal < 2; ++causal) {
        test_case c = small_case(maps[_i], causal);
        c.chunk = 16;
        sequences s = sequences_create(c, 1 + 3 * TOKENS);
        const size_t element = 3;
        for (size_t t = 0; t < TOKENS; ++t) {
            s.inputs.q[(1 + t) * s.k_size + t * DIM + element] = poison;
            s.inputs.k[(1 + TOKENS + t) * s.k_size + t * DIM + element] = poison;
            s.inputs.v[(1 + 2 * TOKENS + t) * s.v_size + t * COLUMN + element] = poison;
        }
        test_outputs out = test_run(&device, context, &s.c, &s.inputs);
        for (size_t b = 1; b < s.c.batch; ++b) {
            size_t kind = (b - 1) / TOKENS, t = (b - 1) % TOKENS; /* 0: q, 1: k, 2: v */
            for (size_t i = 0; i < TOKENS; ++i) {
                const float *o = out.o + b * s.o_size + i * COLUMN, *expected = out.o + i * COLUMN;
                const float *lse = out.lse + b * TOKENS + i, *sign = out.sign + b * TOKENS + i;
                bool sees = kind == 0 ? i == t : !causal || i >= t;
                bool right;
                if (!sees || kind == 2)
                    right = same_bits(lse, out.lse + i, 1) && same_bits(sign, out.sign + i, 1) &&
                            same_bits(o, expected, element) &&
                            (sees ? isnan(o[element]) : same_bits(o + element, expected + element, 1)) &&
                            same_bits(o + element + 1, expected + element + 1, COLUMN - element - 1);
                else
                    right = count_nan(o, COLUMN) == COLUMN && isnan(*lse) && isnan(*sign);
                ck_assert_msg(right, "%s: NaN in %c[%zu], row %zu", test_case_name(&s.c, CLFAVOR_CLASS_GPU),
                              "qkv"[kind], t, i);
            }
        }
        ck_assert_msg(count_nan(out.o, s.o_size) + count_nan(out.lse, TOKENS) == 0, "the untouched sequence has a NaN");
        test_outputs_free(&out);
        test_inputs_free(&s.inputs);
    }
}
END_TEST

/* Keys that shrink to 0 step by step, a chunk each: the exponent of a feature with w.y < 0 rises by some 2e-5 bits a
 * token, so its state is rescaled 2^18 times, by a factor that fp32 rounds by up to 2^-25 each time. Hyperbolic
 * features have w and -w, so that one of two rises. Tolerance 1e-5, that of long sums (docs/numerics.md); the
 * exponents' own errors are below eps d (|w||y| + |y|^2/2) = 1.2e-6 x 12, at worst, and average out over the keys. */
START_TEST(slowly_rising_keys) {
    test_case c = small_case(CLFAVOR_MAP_HYPERBOLIC, 0);
    c.m = 2;
    c.n = 3;
    c.n_k = (uint64_t)1 << 18;
    c.chunk = 1;
    test_inputs inputs = test_inputs_create(&c);
    for (size_t j = 0; j < c.n_k; ++j) {
        double left = 1.0 - (double)j / (double)c.n_k;
        for (size_t l = 0; l < DIM; ++l)
            inputs.k[j * DIM + l] = (float)(test_normal(77, l) * left);
        for (size_t column = 0; column < COLUMN; ++column)
            inputs.v[j * COLUMN + column] = (float)(1.0 + left * (double)column);
    }
    test_outputs outputs = test_run(&device, context, &c, &inputs);
    test_reference reference = test_run_reference(&c, &inputs);
    size_t skipped;
    double error = test_case_error(&c, &outputs, &reference, &skipped);
    for (size_t i = 0; i < outputs.rows; ++i)
        ck_assert_msg(fabs((double)outputs.lse[i] - reference.lse[i]) <= 1e-5, "lse[%zu] is off by %.3g", i,
                      (double)outputs.lse[i] - reference.lse[i]);
    ck_assert_msg(error <= 1e-5, "error %.3g", error);
    test_reference_free(&reference);
    test_outputs_free(&outputs);
    test_inputs_free(&inputs);
}
END_TEST

/* Fewer features than a work-item has rows: what fills its tile once hid the state before a causal chunk where features
 * are signed. Queries and keys are so short that no sum cancels. */
START_TEST(few_features) {
    for (uint32_t m = 1; m < 4; ++m) {
        test_case c = small_case(maps[_i], 1);
        c.m = m;
        c.sigma = 0.1;
        test_inputs inputs = test_inputs_create(&c);
        test_outputs outputs = test_run(&device, context, &c, &inputs);
        test_reference reference = test_run_reference(&c, &inputs);
        size_t skipped;
        double error = test_case_error(&c, &outputs, &reference, &skipped), limit = test_case_tolerance(&c, &reference);
        ck_assert_msg(error <= limit && skipped == 0, "%s: error %.3g exceeds %.3g, %zu rows cancel",
                      test_case_name(&c, CLFAVOR_CLASS_GPU), error, limit, skipped);
        test_reference_free(&reference);
        test_outputs_free(&outputs);
        test_inputs_free(&inputs);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("attention, gpu class");
    TCase *tcase = tcase_create("rules");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, division, 0, MAPS);
    tcase_add_loop_test(tcase, prefix, 0, MAPS);
    tcase_add_loop_test(tcase, nan_in_nan_out, 0, MAPS);
    tcase_add_test(tcase, slowly_rising_keys);
    tcase_add_loop_test(tcase, few_features, 2, 5); /* trig, trig-phase, gaussian */
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
