/* Rules 3 and 4: a sequence's bits depend on nothing but the sequence. Not on the values of its neighbours in the
 * batch, not on what lies between and behind its rows, not on its place, and not on the run. With chunk and pieces
 * fixed not on batch and heads either, and causal ones not on n. */
#include "support_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N      75u
#define DIM    20u
#define DV     12u
#define EXACT  RULES_MAPS
#define CASES  (2 * (RULES_MAPS + 1)) /* map or exact, not causal or causal */
#define COPIES 9u

static test_case case_of(int index) {
    test_case c = {.n = N,
                   .d = DIM,
                   .dv = DV,
                   .m = 150,
                   .causal = (uint32_t)index % 2,
                   .chunk = 64, /* n is no multiple of it */
                   .exact = index / 2 == EXACT,
                   .sigma = 0.7,
                   .workspace_limit = (size_t)4 << 20,
                   .seed = 41};
    c.map = c.exact ? CLFAVOR_MAP_POSITIVE : rules_maps[index / 2];
    return test_case_resolve(c);
}

static void check_same(const test_case *c, int k, const test_outputs *a, uint64_t place_a, const test_outputs *b,
                       uint64_t place_b, const char *what) {
    RULES_EXPECT(rules_same_rows(a, place_a, b, place_b, N, DV, 0, N), "%s: entry %d: %s changes its bits",
                 test_case_name(c, rules_classes[k]), (int)place_b, what);
}

static void check_numbers(const test_outputs *out) {
    for (size_t i = 0; i < out->o_count; ++i)
        EXPECT(!isnan(out->o[i]));
}

/* Copies of one sequence; then other sequences, zeros, huge values and NaN in every other place. */
START_TEST(neighbours_and_places) {
    for (int k = 0; k < 2; ++k) {
        test_case one = case_of(_i);
        test_inputs inputs = test_inputs_create(&one);
        rules_copies copies = rules_copies_create(one, &inputs, COPIES);
        test_call call = test_call_create(&rules_device, rules_contexts[k], &copies.c, &copies.inputs);
        test_outputs clean = test_call_run(&call);
        check_numbers(&clean);
        for (uint64_t b = 1; b < COPIES; ++b)
            check_same(&copies.c, k, &clean, 0, &clean, b, "the place");
        for (int run = 0; run < 5; ++run) {
            test_call_poison(&call);
            test_outputs again = test_call_run(&call);
            for (uint64_t b = 0; b < COPIES; ++b)
                check_same(&copies.c, k, &clean, 0, &again, b, "another run");
            test_outputs_free(&again);
        }
        static const float changes[] = {0.0F, 1e30F, NAN, -INFINITY};
        for (size_t b = 1; b < COPIES; b += 2) {
            float value = changes[b / 2];
            for (size_t i = 0; i < copies.q_size; ++i)
                copies.inputs.q[b * copies.q_size + i] = copies.inputs.k[b * copies.k_size + i] = value;
            for (size_t i = 0; i < copies.v_size; ++i)
                copies.inputs.v[b * copies.v_size + i] = value;
        }
        test_buffer_write(&rules_device, &call.q, copies.inputs.q);
        test_buffer_write(&rules_device, &call.k, copies.inputs.k);
        test_buffer_write(&rules_device, &call.v, copies.inputs.v);
        test_outputs changed = test_call_run(&call);
        for (uint64_t b = 0; b < COPIES; b += 2)
            check_same(&copies.c, k, &clean, b, &changed, b, "a neighbour");
        EXPECT(isnan(changed.o[5 * N * DV])); /* the neighbours were really changed */
        test_outputs_free(&changed);
        test_outputs_free(&clean);
        test_call_release(&call);
        rules_copies_free(&copies);
        test_inputs_free(&inputs);
    }
}
END_TEST

/* [n, heads, last + gap] with poison in the gaps, and poison before and behind; the same bits as dense. */
static test_buffer spread(const float *values, uint64_t heads, uint64_t last, uint64_t gap, clfavor_tensor *view) {
    size_t width = (size_t)(last + gap), count = (size_t)(N * heads) * width;
    float *all = test_alloc(count, sizeof *all);
    const uint32_t bits = TEST_POISON;
    for (size_t i = 0; i < count; ++i)
        memcpy(&all[i], &bits, sizeof bits);
    for (size_t head = 0; values && head < heads; ++head)
        for (size_t i = 0; i < N; ++i)
            memcpy(all + (i * heads + head) * width, values + (head * N + i) * last, last * sizeof *all);
    test_buffer buffer = test_buffer_create(&rules_device, all, count);
    free(all);
    *view = (clfavor_tensor){.buffer = buffer.mem,
                             .offset = buffer.offset,
                             .stride_batch = count,
                             .stride_head = width,
                             .stride_token = heads * width};
    return buffer;
}

START_TEST(beyond_the_rows) {
    for (int k = 0; k < 2; ++k) {
        test_case c = case_of(_i);
        c.heads = c.heads_kv = 3;
        test_inputs inputs = test_inputs_create(&c);
        test_call call = test_call_create(&rules_device, rules_contexts[k], &c, &inputs);
        test_outputs dense = test_call_run(&call);
        check_numbers(&dense);
        test_buffer q = spread(inputs.q, c.heads, DIM, 3, &call.args.q);
        test_buffer key = spread(inputs.k, c.heads, DIM, 5, &call.args.k);
        test_buffer v = spread(inputs.v, c.heads, DV, 1, &call.args.v);
        test_buffer o = spread(NULL, c.heads, DV, 7, &call.args.o);
        test_outputs spread_out = test_call_run(&call);
        EXPECT(rules_same_bits(dense.lse, spread_out.lse, dense.rows));
        EXPECT(rules_same_bits(dense.sign, spread_out.sign, dense.rows));
        float *rows = test_buffer_read(&rules_device, &o);
        const uint32_t poison = TEST_POISON;
        for (size_t head = 0; head < c.heads; ++head)
            for (size_t i = 0; i < N; ++i) {
                const float *row = rows + (i * c.heads + head) * (DV + 7);
                RULES_EXPECT(rules_same_bits(row, dense.o + (head * N + i) * DV, DV), "%s: row %zu of head %zu differs",
                             test_case_name(&c, rules_classes[k]), i, head);
                for (size_t gap = 0; gap < 7; ++gap)
                    EXPECT(memcmp(&row[DV + gap], &poison, sizeof poison) == 0);
            }
        free(rows);
        test_buffer *buffers[] = {&q, &key, &v, &o};
        for (size_t i = 0; i < 4; ++i)
            test_buffer_release(buffers[i]);
        test_outputs_free(&spread_out);
        test_outputs_free(&dense);
        test_call_release(&call);
        test_inputs_free(&inputs);
    }
}
END_TEST

/* The same sequence as every head of every batch entry, by other plans with the same chunk and pieces. Bidirectional
 * pieces are ranges of n_k, so that only causal ones may keep their bits when n changes. */
START_TEST(fixed_chunk_and_pieces) {
    static const uint64_t shapes[][2] = {{1, 1}, {1, 3}, {2, 1}, {3, 4}, {2, 9}}; /* batch, heads */
    for (int k = 0; k < 2; ++k) {
        test_case one = case_of(_i);
        one.pieces = 2;
        test_inputs inputs = test_inputs_create(&one);
        test_outputs first = test_run(&rules_device, rules_contexts[k], &one, &inputs);
        check_numbers(&first);
        for (size_t s = 1; s < sizeof shapes / sizeof *shapes; ++s) {
            uint64_t count = shapes[s][0] * shapes[s][1];
            rules_copies copies = rules_copies_create(one, &inputs, count);
            copies.c.batch = shapes[s][0];
            copies.c.heads = copies.c.heads_kv = shapes[s][1];
            test_outputs out = test_run(&rules_device, rules_contexts[k], &copies.c, &copies.inputs);
            for (uint64_t place = 0; place < count; ++place)
                check_same(&copies.c, k, &first, 0, &out, place, "batch x heads");
            test_outputs_free(&out);
            rules_copies_free(&copies);
        }
        if (one.causal) {
            test_case longer = one;
            longer.n = longer.n_k = 3 * N;
            test_inputs more = test_inputs_create(&longer); /* begins with the same numbers */
            EXPECT(rules_same_bits(more.k, inputs.k, inputs.k_count));
            test_outputs out = test_run(&rules_device, rules_contexts[k], &longer, &more);
            check_same(&longer, k, &first, 0, &out, 0, "n");
            test_outputs_free(&out);
            test_inputs_free(&more);
        }
        test_outputs_free(&first);
        test_inputs_free(&inputs);
    }
}
END_TEST

static void add_tests(TCase *tcase) {
    tcase_add_loop_test(tcase, neighbours_and_places, 0, CASES);
    tcase_add_loop_test(tcase, beyond_the_rows, 0, CASES);
    tcase_add_loop_test(tcase, fixed_chunk_and_pieces, 0, CASES);
}

int main(void) {
    return rules_main("rules 3 and 4: bits", add_tests);
}
