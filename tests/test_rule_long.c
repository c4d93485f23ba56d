/* Rules 5, 6 and 11: long sequences and large shapes. The workspace does not grow with n and stays in its limit, waves
 * carry the state, sums over 2^24 tokens keep their digits, and no shape that is allowed needs more than the device
 * has.
 */
#include "support_rules.h"

#include <math.h>
#include <stdlib.h>

#define EPS   0x1p-24
#define EXACT RULES_MAPS

static clfavor_plan_info plan_info(int k, clfavor_plan_desc desc) {
    clfavor_plan *plan;
    desc.struct_size = sizeof desc;
    test_log_clear(&rules_device);
    clfavor_status status = clfavor_plan_create(&plan, rules_contexts[k], &desc);
    ck_assert_msg(!status, "plan: %s\n%s", clfavor_status_name(status), rules_device.log);
    clfavor_plan_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_SUCCESS);
    clfavor_plan_destroy(plan);
    return info;
}

/* ------------------------------------------------------------------------------------------------- rule 5: workspace
 */

/* Once n is beyond the waves and pieces that are chosen for short ones, no more is needed however long it is. */
START_TEST(workspace_does_not_grow) {
    static const size_t limits[] = {(size_t)1 << 20, (size_t)4 << 20, (size_t)64 << 20};
    static const uint64_t lengths[] = {(uint64_t)1 << 17, 1000000, 1000000000, (uint64_t)1 << 40};
    for (int k = 0; k < 2; ++k)
        for (int i = 0; i < RULES_MAPS + 1; ++i)
            for (size_t l = 0; l < 3; ++l)
                for (uint32_t causal = 0; causal < 2; ++causal) {
                    clfavor_plan_desc desc = {.operation = i == EXACT ? CLFAVOR_OP_EXACT : CLFAVOR_OP_ATTENTION,
                                              .map = i == EXACT ? CLFAVOR_MAP_POSITIVE : rules_maps[i],
                                              .dim = 16,
                                              .causal = causal,
                                              .max_heads = 8,
                                              .workspace_limit = limits[l]};
                    desc.features = desc.map == CLFAVOR_MAP_ELU ? 0 : 64;
                    size_t first = 0;
                    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; ++n) {
                        desc.max_n = lengths[n];
                        clfavor_plan_info info = plan_info(k, desc);
                        ck_assert_uint_le(info.workspace_size, limits[l]);
                        first = n ? first : info.workspace_size;
                        ck_assert_uint_eq(info.workspace_size, first);
                    }
                    desc.max_n = 1000; /* short sequences need no more than long ones */
                    ck_assert_uint_le(plan_info(k, desc).workspace_size, first);
                }
}
END_TEST

static void check(int k, test_case c, double bound) {
    test_inputs inputs = test_inputs_create(&c);
    test_log_clear(&rules_device);
    test_outputs out = test_run(&rules_device, rules_contexts[k], &c, &inputs);
    ck_assert_uint_le(out.info.workspace_size, c.workspace_limit ? c.workspace_limit : (size_t)64 << 20);
    test_reference reference = test_run_reference(&c, &inputs);
    size_t skipped;
    double error = test_case_error(&c, &out, &reference, &skipped);
    ck_assert_msg(error <= bound, "%s: error %.3g", test_case_name(&c, rules_classes[k]), error);
    test_reference_free(&reference);
    test_outputs_free(&out);
    test_inputs_free(&inputs);
}

/* Right with each limit: 24 states of 0.5 MiB do not fit the smaller ones together. */
START_TEST(right_within_limits) {
    static const size_t limits[] = {(size_t)1 << 20, (size_t)4 << 20, (size_t)64 << 20};
    for (int k = 0; k < 2; ++k)
        for (size_t l = 0; l < 3; ++l) {
            test_case c = {.n = 70,
                           .d = 16,
                           .dv = 100,
                           .m = 600,
                           .heads = 6,
                           .batch = 4,
                           .causal = (uint32_t)_i,
                           .sigma = 0.5,
                           .seed = 61,
                           .workspace_limit = limits[l]};
            check(k, test_case_resolve(c), 5e-5);
        }
}
END_TEST

/* More tokens than any wave: 65,536 and KEY_WAVE x pieces of the cpu class. Random signs of v make O small, sums of
 * sqrt(n) instead of n, so that errors relative to O are those relative to sums of |terms| times up to sqrt(n). The
 * bound is that of rule 6 for |v|, 1e-5, so v has a mean: O is near 1. */
START_TEST(longer_than_all_waves) {
    for (int k = 0; k < 2; ++k)
        for (uint32_t causal = 0; causal < 2; ++causal)
            for (uint32_t pieces = 1; pieces <= 2; ++pieces) {
                test_case c = test_case_resolve((test_case){.map = _i ? CLFAVOR_MAP_TRIG : CLFAVOR_MAP_POSITIVE,
                                                            .n = 2 * 65536 + 4097,
                                                            .d = 2,
                                                            .dv = 1,
                                                            .m = 40,
                                                            .causal = causal,
                                                            .pieces = pieces,
                                                            .sigma = 0.5,
                                                            .seed = 62});
                test_inputs inputs = test_inputs_create(&c);
                for (size_t j = 0; j < inputs.v_count; ++j)
                    inputs.v[j] =
                        1.0F + 0.5F * inputs.v[j] + (j > c.n / 2 ? 1.0F : 0.0F); /* a state that is lost shows */
                test_outputs out = test_run(&rules_device, rules_contexts[k], &c, &inputs);
                test_reference reference = test_run_reference(&c, &inputs);
                size_t skipped;
                double error = test_case_error(&c, &out, &reference, &skipped);
                ck_assert_msg(error <= 1e-5 && !skipped, "%s: error %.3g, %zu rows skipped",
                              test_case_name(&c, rules_classes[k]), error, skipped);
                test_reference_free(&reference);
                test_outputs_free(&out);
                test_inputs_free(&inputs);
            }
}
END_TEST

/* ------------------------------------------------------------------------------------------------ rule 6: long sums */

#define LONG ((size_t)1 << 24)

/* All queries and all keys are one token (stride 0), so A is a constant and O_i is the mean of the visible values,
 * sum_j A_ij = A times their number. m = 1 and d = 1. v rises from 1 to 2: a plain fp32 sum stops taking it up after
 * 2^24. */
static void check_long_sums(int k, clfavor_map map, uint32_t causal, size_t rows) {
    test_case c = test_case_resolve(
        (test_case){.map = map, .n = 1, .d = 1, .dv = 1, .m = 1, .causal = causal, .seed = 63, .max_n = LONG});
    test_inputs one = test_inputs_create(&c);
    one.q[0] = one.k[0] = 0.75F; /* relu: w q and w k have the same sign; were they negative, A would be 0 */
    test_reference reference = test_run_reference(&c, &one);
    ck_assert_double_eq(reference.sign[0], 1.0);
    test_call call = test_call_create(&rules_device, rules_contexts[k], &c, &one);
    test_buffer_release(&call.v);
    test_buffer_release(&call.o);
    test_buffer_release(&call.lse);
    float *v = test_alloc(LONG, sizeof *v);
    for (size_t j = 0; j < LONG; ++j)
        v[j] = (float)(1.0 + (double)j / (double)LONG);
    call.v = test_buffer_create(&rules_device, v, LONG);
    call.o = test_buffer_create(&rules_device, NULL, rows);
    call.lse = test_buffer_create(&rules_device, NULL, rows);
    call.args.v = test_tensor(&call.v, 1, LONG, 1);
    call.args.o = test_tensor(&call.o, 1, rows, 1);
    call.args.lse = test_tensor(&call.lse, 1, rows, 1);
    call.args.sign = (clfavor_tensor){0};
    call.args.q.stride_token = call.args.k.stride_token = 0;
    call.args.n = rows;
    call.args.n_k = LONG;
    cl_event event;
    clfavor_status status = clfavor_enqueue_attention(call.plan, &call.args, rules_device.queue, 0, NULL, &event);
    ck_assert_msg(!status, "%s\n%s", clfavor_status_name(status), rules_device.log);
    ck_assert_int_eq(clWaitForEvents(1, &event), CL_SUCCESS);
    clReleaseEvent(event);
    float *o = test_buffer_read(&rules_device, &call.o), *lse = test_buffer_read(&rules_device, &call.lse);
    double sum = 0.0;
    size_t seen = 0;
    for (size_t i = 0; i < rows; ++i) {
        for (; seen < (causal ? i + 1 : LONG); ++seen)
            sum += (double)v[seen];
        double expected = sum / (double)seen, expected_lse = reference.lse[0] + log((double)seen);
        RULES_EXPECT(fabs((double)o[i] - expected) <= 1e-5 * expected, "%s: O[%zu] is %.9g, not %.9g",
                     test_case_name(&c, rules_classes[k]), i, (double)o[i], expected);
        /* relative to the sum; and lse's own rounding, up to eps |lse| a few times over */
        RULES_EXPECT(fabs((double)lse[i] - expected_lse) <= 1e-5 + 4.0 * EPS * fabs(expected_lse),
                     "%s: lse[%zu] is %.9g, not %.9g", test_case_name(&c, rules_classes[k]), i, (double)lse[i],
                     expected_lse);
    }
    free(v);
    free(o);
    free(lse);
    test_call_release(&call);
    test_reference_free(&reference);
    test_inputs_free(&one);
}

START_TEST(sums_of_2_24_tokens) {
    check_long_sums(0, CLFAVOR_MAP_POSITIVE, 0, 5);
    check_long_sums(0, CLFAVOR_MAP_POSITIVE, 1, LONG);
    check_long_sums(0, CLFAVOR_MAP_ELU, 0, 5);
    check_long_sums(1, CLFAVOR_MAP_POSITIVE, 0, 5);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- rule 11: scratch
 */

START_TEST(large_chunks) {
    for (int k = 0; k < 2; ++k)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = {.n = 70,
                           .d = 256,
                           .dv = 256,
                           .m = 40,
                           .causal = causal,
                           .chunk = 4096,
                           .sigma = 0.5,
                           .seed = 64,
                           .max_n = 8192};
            clfavor_plan_info info = plan_info(
                k,
                (clfavor_plan_desc){.features = c.m, .dim = c.d, .causal = causal, .chunk = c.chunk, .max_n = c.max_n});
            ck_assert_uint_ge(info.chunk, 1);
            if (rules_classes[k] == CLFAVOR_CLASS_CPU) {
                cl_ulong local = 0;
                ck_assert_int_eq(
                    clGetDeviceInfo(rules_device.device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local, NULL),
                    CL_SUCCESS);
                /* keys, values, queries and outputs alone must fit */
                ck_assert_uint_le((uint64_t)info.chunk * (causal ? 4 : 3) * 256 * sizeof(float), local);
            }
            ck_assert_uint_le(info.workspace_size, (size_t)64 << 20);
            check(k, test_case_resolve(c), 5e-5);
        }
}
END_TEST

START_TEST(most_features) {
    static const clfavor_map maps[] = {CLFAVOR_MAP_POSITIVE, CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_TRIG};
    for (int k = 0; k < 2; ++k)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = {.map = maps[_i],
                           .n = 9,
                           .d = 2,
                           .dv = 3,
                           .m = CLFAVOR_MAX_FEATURES,
                           .causal = causal,
                           .sigma = 0.5,
                           .seed = 65};
            check(k, test_case_resolve(c), 5e-5);
        }
}
END_TEST

static void add_tests(TCase *tcase) {
    tcase_add_test(tcase, workspace_does_not_grow);
    tcase_add_loop_test(tcase, right_within_limits, 0, 2);
    tcase_add_loop_test(tcase, longer_than_all_waves, 0, 2);
    tcase_add_test(tcase, sums_of_2_24_tokens);
    tcase_add_test(tcase, large_chunks);
    tcase_add_loop_test(tcase, most_features, 0, 3);
}

int main(void) {
    return rules_main("rules 5, 6 and 11: long and large", add_tests);
}
