/* Rule 2: row i depends on keys 0..i only, to the last bit, whatever comes after them.
 *
 * A batch holds one sequence and copies of it; copy (prefix length, future) is changed from the prefix on. All must
 * have the bits of the first in the rows of their prefix, and so must the prefix alone, run by the same plan with n =
 * prefix. Every 13th key of the sequence is a row of W, so that the prefix itself moves references and starts
 * sub-chunks.
 *
 * The grid. d = 32: every map and exact attention, both classes, chunks of 2 PANEL with 1 and 2 pieces, PANEL with 1
 * and 3 PANEL with 2 (cpu; gpu, which has no pieces: 32, 1 and 100 tokens), the lengths below and every offset inside
 * the second chunk (the first, where the second is not whole). Left out as redundant: the other pairs of chunk and
 * pieces, which are separate numbers of one kernel; for d = 64 and 256 all but the default chunk and the lengths below,
 * since d enters the projection alone. Exact attention has no chunks and no pieces: its offsets are 64 to 127, its
 * block of keys. */
#include "support_rules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N     170u
#define DV    20u
#define ROWS  40u
#define EXACT RULES_MAPS /* the loop index after the maps */

static const uint64_t lengths[] = {1, 2, 63, 64, 65, 100, 150};
#define LENGTHS (sizeof lengths / sizeof *lengths)

static size_t futures_tried;

enum future {
    K_TIMES_1000,
    K_ZERO,
    K_NAN,
    K_INFINITE,
    K_1E30,
    K_ROW_OF_W,  /* over sqrt(scale): where a feature is largest */
    K_LAST_ONLY, /* one huge key at the very end */
    V_NAN,
    V_INFINITE,
    V_1E30,
    Q_NAN, /* queries of later rows, which share a tile with earlier ones */
    Q_1E30,
    FUTURES
};

typedef struct base {
    test_case c;
    test_inputs inputs;
    float *w; /* [ROWS, d] rows of W over sqrt(scale); for elu and exact attention normals of length sqrt(d) */
} base;

static base base_create(test_case c) {
    base b = {.c = test_case_resolve(c)};
    b.inputs = test_inputs_create(&b.c);
    clfavor_projection *projection;
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .features = ROWS, .dim = c.d, .seed = c.seed}; /* as test_estimator draws it */
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    const double *w = clfavor_projection_data(projection);
    b.w = test_alloc(ROWS * c.d, sizeof *b.w);
    for (size_t i = 0; i < ROWS * c.d; ++i)
        b.w[i] = (float)(w[i] * sqrt(sqrt(c.d))); /* scale is 1/sqrt(d) */
    clfavor_projection_destroy(projection);
    for (size_t j = 6; j < N; j += 13)
        memcpy(b.inputs.k + j * c.d, b.w + j % ROWS * c.d, c.d * sizeof(float));
    return b;
}

static void base_free(base *b) {
    test_inputs_free(&b->inputs);
    free(b->w);
}

static void fill(float *values, size_t count, float value) {
    for (size_t i = 0; i < count; ++i)
        values[i] = value;
}

/* Changes everything from token `prefix` on. */
static void spoil(enum future future, float *q, float *k, float *v, uint64_t prefix, const base *b) {
    size_t d = b->c.d, at = (size_t)prefix * d, keys = (N - (size_t)prefix) * d, values = (N - (size_t)prefix) * DV;
    switch (future) {
    case K_TIMES_1000:
        for (size_t i = 0; i < keys; ++i)
            k[at + i] *= 1000.0F;
        break;
    case K_ZERO:
        fill(k + at, keys, 0.0F);
        break;
    case K_NAN:
        fill(k + at, keys, NAN);
        break;
    case K_INFINITE:
        fill(k + at, keys, INFINITY);
        break;
    case K_1E30:
        fill(k + at, keys, 1e30F);
        break;
    case K_ROW_OF_W:
        for (size_t j = (size_t)prefix; j < N; ++j)
            memcpy(k + j * d, b->w + j % ROWS * d, d * sizeof *k);
        break;
    case K_LAST_ONLY:
        for (size_t l = 0; l < d; ++l)
            k[(N - 1) * d + l] *= 1000.0F;
        break;
    case V_NAN:
        fill(v + prefix * DV, values, NAN);
        break;
    case V_INFINITE:
        fill(v + prefix * DV, values, -INFINITY);
        break;
    case V_1E30:
        fill(v + prefix * DV, values, 1e30F);
        break;
    case Q_NAN:
        fill(q + at, keys, NAN);
        break;
    case Q_1E30:
        fill(q + at, keys, 1e30F);
        break;
    case FUTURES:
        break;
    }
}

/* The batch: one clean sequence, then every future after every prefix. */
static rules_copies spoiled_copies(const base *b, const uint64_t *prefixes, size_t count) {
    rules_copies copies = rules_copies_create(b->c, &b->inputs, 1 + count * FUTURES);
    for (size_t i = 0; i < count * FUTURES; ++i)
        spoil((enum future)(i % FUTURES), copies.inputs.q + (1 + i) * copies.q_size,
              copies.inputs.k + (1 + i) * copies.k_size, copies.inputs.v + (1 + i) * copies.v_size,
              prefixes[i / FUTURES], b);
    return copies;
}

static void check_copies(const test_case *c, clfavor_device_class device_class, const test_outputs *out,
                         const uint64_t *prefixes, size_t count) {
    for (size_t i = 0; i < N * DV; ++i)
        EXPECT(!isnan(out->o[i]));
    for (size_t i = 0; i < count * FUTURES; ++i) {
        uint64_t prefix = prefixes[i / FUTURES];
        RULES_EXPECT(rules_same_rows(out, 0, out, 1 + i, N, DV, 0, prefix), "%s: future %d changes a prefix of %d rows",
                     test_case_name(c, device_class), (int)(i % FUTURES), (int)prefix);
        if (i % FUTURES == K_NAN || i % FUTURES == V_NAN || i % FUTURES == Q_NAN) /* it was really there */
            EXPECT(isnan(out->o[((1 + i) * N + prefix) * DV]));
    }
    futures_tried += count * FUTURES;
}

/* n = prefix alone, by the same plan and in the same buffers: the clean sequence is their first entry. */
static void check_alone(test_call *call, clfavor_device_class device_class, const test_outputs *all, uint64_t prefix) {
    clfavor_attention_args whole = call->args;
    call->args.batch = 1;
    call->args.n = call->args.n_k = prefix;
    test_call_poison(call);
    test_outputs out = test_call_run(call);
    RULES_EXPECT(rules_same_rows(&out, 0, all, 0, N, DV, 0, prefix), "%s: a prefix of %d rows differs alone",
                 test_case_name(&call->c, device_class), (int)prefix);
    test_outputs_free(&out);
    call->args = whole;
}

static void check_config(int class_index, const base *b, uint32_t chunk, uint32_t pieces, bool every_offset) {
    test_case c = b->c;
    c.chunk = chunk;
    c.pieces = pieces;
    clfavor_device_class device_class = rules_classes[class_index];
    test_call probe = test_call_create(&rules_device, rules_contexts[class_index], &c, &b->inputs);
    uint64_t used = c.exact ? 64 : probe.info.chunk, prefixes[LENGTHS + 256];
    bool redundant = probe.info.pieces != pieces; /* elu may have one group of features only */
    test_call_release(&probe);
    if (redundant && c.map == CLFAVOR_MAP_ELU)
        return;
    ck_assert(!redundant);

    size_t count = LENGTHS;
    memcpy(prefixes, lengths, sizeof lengths);
    uint64_t first = 2 * used <= N ? used : 0;
    for (uint64_t offset = first ? 0 : 1; every_offset && offset < used; ++offset)
        prefixes[count++] = first + offset;

    rules_copies copies = spoiled_copies(b, prefixes, count);
    copies.c.chunk = chunk;
    copies.c.pieces = pieces;
    test_call call = test_call_create(&rules_device, rules_contexts[class_index], &copies.c, &copies.inputs);
    test_outputs out = test_call_run(&call);
    check_copies(&copies.c, device_class, &out, prefixes, count);
    for (size_t i = 0; i < LENGTHS; ++i)
        check_alone(&call, device_class, &out, prefixes[i]);
    test_outputs_free(&out);
    test_call_release(&call);
    rules_copies_free(&copies);
}

static uint32_t panel_of(int class_index) {
    clfavor_context_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_context_get_info(rules_contexts[class_index], &info), CLFAVOR_SUCCESS);
    return 2 * info.vector_width;
}

START_TEST(prefix_bits) {
    static const uint32_t dims[] = {32, 64, 256};
    for (size_t i = 0; i < 3; ++i) {
        test_case c = {.n = N,
                       .d = dims[i],
                       .dv = DV,
                       .m = ROWS,
                       .causal = 1,
                       .seed = 21 + i,
                       .exact = _i == EXACT,
                       .workspace_limit = (size_t)4 << 20}; /* filled with poison and read each time */
        c.map = c.exact ? CLFAVOR_MAP_POSITIVE : rules_maps[_i];
        base b = base_create(c);
        uint32_t panel = panel_of(0);
        check_config(0, &b, 2 * panel, 1, i == 0);
        check_config(1, &b, 32, 1, i == 0);
        if (!c.exact)
            check_config(0, &b, 2 * panel, 2, i == 0);
        if (!c.exact && i == 0) {
            check_config(0, &b, panel, 1, true);
            check_config(0, &b, 3 * panel, 2, true);
            check_config(1, &b, 1, 1, true);
            check_config(1, &b, 100, 1, true);
        }
        base_free(&b);
    }
}
END_TEST

START_TEST(report) {
    printf("hostile futures tried: %zu\n", futures_tried);
}
END_TEST

static void add_tests(TCase *tcase) {
    tcase_add_loop_test(tcase, prefix_bits, 0, RULES_MAPS + 1);
    tcase_add_test(tcase, report);
}

int main(void) {
    return rules_main("prefix", add_tests);
}
