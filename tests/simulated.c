/* A small part of everything that kernels do, for runs under a simulator or a checker, which take a thousand times as
 * long: attention with every map, causal and not, with lengths beside the edges of tiles, heads in groups and sets,
 * exact keys, corrections, exact softmax, features; one class, which the library then chooses its kernels for. Compared
 * with the double reference; the tolerances are those of test_attention.c and test_exact_keys.c. Run by
 * scripts/runtimes.sh.
 *
 * Usage: simulated --class cpu|gpu [--n N,N...] [--d D] [--dv DV] [--m M] [--only TEXT]
 *   --n      lengths of sequences (default 1,31,65); the maps that are no other's special case take the last alone
 *   --only   cases whose name contains the text
 * simulated --control: three kernels with a fault each, an index out of bounds, a race, a value that was never written.
 * What says nothing about them says nothing about ours. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_exact_keys.h"

#define MAX_LENGTHS 16

static test_device device;
static clfavor_context *context;
static clfavor_device_class device_class;
static uint32_t dim = 5, value_dim = 7, rows = 19;
static uint64_t lengths[MAX_LENGTHS] = {1, 31, 65};
static size_t length_count = 3;
static const char *only = "";
static size_t cases;
static double worst; /* error over its limit */

static const clfavor_map maps[] = {CLFAVOR_MAP_POSITIVE,   CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_TRIG,
                                   CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_MAP_GAUSSIAN,   CLFAVOR_MAP_RELU,
                                   CLFAVOR_MAP_ELU,        CLFAVOR_MAP_EXPONENTIAL};
#define MAPS ((int)(sizeof maps / sizeof *maps))

static void setup(void) {
    test_open(&device);
    context = test_context(&device, device_class);
}

static void teardown(void) {
    clfavor_context_destroy(context);
    test_close(&device);
}

static bool wanted(const char *what, const test_case *c) {
    char text[512];
    snprintf(text, sizeof text, "%s %s", what, test_case_name(c, device_class));
    if (!strstr(text, only))
        return false;
    printf("%s\n", text);
    fflush(stdout);
    ++cases;
    return true;
}

static void record(double error, double limit) {
    worst = error / limit > worst ? error / limit : worst;
}

/* Groups of two query heads, a parameter set for each of two K/V heads; n_k is another length. */
static test_case base_case(clfavor_map map, uint64_t n, uint64_t n_k) {
    return test_case_resolve((test_case){.map = map,
                                         .m = rows,
                                         .d = dim,
                                         .dv = value_dim,
                                         .heads = 4,
                                         .heads_kv = 2,
                                         .sets = 2,
                                         .n = n,
                                         .n_k = n_k,
                                         .seed = 71,
                                         .sigma = test_is_signed(map) ? 0.5 : 1.0}); /* keeps sums from cancelling */
}

static void check_plain(const test_case *c) {
    if (!wanted("attention", c))
        return;
    test_inputs in = test_inputs_create(c);
    test_reference reference = test_run_reference(c, &in);
    test_outputs outputs = test_run(&device, context, c, &in);
    size_t skipped;
    double error = test_case_error(c, &outputs, &reference, &skipped), limit = test_case_tolerance(c, &reference);
    record(error, limit);
    ck_assert_msg(error <= limit, "%s: error %.3g exceeds %.3g", test_case_name(c, device_class), error, limit);
    ck_assert_msg(skipped <= outputs.rows / 4 + 1, "%zu of %zu rows cancel", skipped, outputs.rows);
    test_outputs_free(&outputs);
    test_reference_free(&reference);
    test_inputs_free(&in);
}

START_TEST(attention) {
    clfavor_map map = maps[_i];
    if (map == CLFAVOR_MAP_EXPONENTIAL)
        return; /* see exact_keys */
    bool all = map == CLFAVOR_MAP_POSITIVE || map == CLFAVOR_MAP_TRIG;
    for (size_t i = all ? 0 : length_count - 1; i < length_count; ++i)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            uint64_t n = lengths[i];
            test_case c = base_case(map, n, causal ? n : lengths[length_count - 1 - i]);
            c.causal = causal;
            check_plain(&c);
        }
}
END_TEST

/* Chunks and pieces that are given, batches, a group of all heads, one set. */
START_TEST(divided) {
    for (uint32_t causal = 0; causal < 2; ++causal) {
        test_case c = base_case(CLFAVOR_MAP_POSITIVE, lengths[length_count - 1], lengths[length_count - 1]);
        c.causal = causal;
        c.batch = 2;
        c.heads = 3;
        c.heads_kv = 1;
        c.sets = 1;
        c.chunk = 16;
        c.pieces = 2;
        check_plain(&c);
    }
}
END_TEST

static void check_positive(const char *what, const test_case *c, const test_inputs *in, double t) {
    if (!wanted(what, c))
        return;
    test_reference reference = test_run_reference(c, in);
    test_outputs outputs = test_run(&device, context, c, in);
    size_t skipped;
    record(test_case_error(c, &outputs, &reference, &skipped), 2 * t);
    test_expect_close(c, device_class, &outputs, &reference, t);
    test_outputs_free(&outputs);
    test_reference_free(&reference);
}

/* Exact keys, corrections, both, on the plain and the general estimator; the general one alone, causal and not. */
START_TEST(exact_keys) {
    test_case c = base_case(_i ? CLFAVOR_MAP_EXPONENTIAL : CLFAVOR_MAP_POSITIVE, lengths[length_count / 2],
                            lengths[length_count - 1]);
    test_general g = test_general_create(c.m, c.d, c.sets);
    c.exponential = _i ? &g.desc : NULL;
    test_inputs in = test_positive_inputs(&c);
    double t = test_exact_keys_tolerance(&c, &g, &in);
    enum { KEYS = 11 };
    uint32_t *keys = test_choose_keys(&c, KEYS);
    size_t count = (c.m + KEYS) * 2 * c.dv;
    float *b = test_normals(72, count, 1.0);
    for (size_t i = 0; i < count; ++i)
        b[i] = fabsf(b[i]);
    if (_i)
        check_positive("general", &c, &in, t);
    c.exact_keys = keys;
    c.exact_count = KEYS;
    check_positive("exact keys", &c, &in, t);
    c.features = c.m;
    c.corrections = b;
    check_positive("corrected, exact keys", &c, &in, t);
    c.exact_keys = NULL;
    c.exact_count = 0;
    check_positive("corrected", &c, &in, t);
    if (_i) {
        c.corrections = NULL;
        c.causal = 1;
        c.n_k = c.n;
        test_inputs_free(&in);
        in = test_positive_inputs(&c);
        check_positive("general", &c, &in, t);
    }
    free(b);
    free(keys);
    test_inputs_free(&in);
    test_general_free(&g);
}
END_TEST

START_TEST(exact_softmax) {
    for (size_t i = 0; i < length_count; ++i)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            uint64_t n = lengths[i];
            test_case c = base_case(CLFAVOR_MAP_POSITIVE, n, causal ? n : lengths[length_count - 1 - i]);
            c.exact = true;
            c.causal = causal;
            test_general none = test_general_create(1, c.d, 1);
            test_inputs in = test_positive_inputs(&c);
            check_positive("softmax", &c, &in, test_exact_keys_tolerance(&c, &none, &in));
            test_inputs_free(&in);
            test_general_free(&none);
        }
}
END_TEST

static clfavor_plan *features_plan(const test_case *c, bool key, clfavor_plan_info *info) {
    clfavor_plan *plan;
    const clfavor_plan_desc desc = {.struct_size = sizeof desc,
                                    .operation = key ? CLFAVOR_OP_FEATURES_KEY : CLFAVOR_OP_FEATURES_QUERY,
                                    .map = c->map,
                                    .features = c->map == CLFAVOR_MAP_ELU ? 0 : c->m,
                                    .dim = c->d,
                                    .max_heads = c->heads,
                                    .max_n = c->n};
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_SUCCESS);
    *info = (clfavor_plan_info){.struct_size = sizeof *info};
    ck_assert_int_eq(clfavor_plan_get_info(plan, info), CLFAVOR_SUCCESS);
    return plan;
}

/* The relative error of a head's features times the exponentials of their log scales, Frobenius. */
static double features_error(const test_case *c, const clfavor_estimator *estimator, bool key, uint64_t head,
                             uint32_t columns, const float *x, const float *features, const float *scales,
                             uint64_t scale_count) {
    double *log_abs = test_alloc(columns, sizeof(double)), *sign = test_alloc(columns, sizeof(double));
    double *token = test_alloc(c->d, sizeof(double)), difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < c->n; ++i) {
        for (uint32_t l = 0; l < c->d; ++l)
            token[l] = (double)x[i * c->d + l];
        ck_assert_int_eq(clfavor_reference_features(estimator, (uint32_t)head % c->sets, key, token, log_abs, sign),
                         CLFAVOR_SUCCESS);
        for (uint32_t f = 0; f < columns; ++f) {
            double expected = sign[f] * exp(log_abs[f]), value = (double)features[i * columns + f];
            if (value != 0.0)
                value *= exp((double)scales[!key ? i : scale_count == 1 ? 0 : f]);
            difference += (value - expected) * (value - expected);
            norm += expected * expected;
        }
    }
    free(log_abs);
    free(sign);
    free(token);
    return difference == 0.0 ? 0.0 : sqrt(difference / norm);
}

/* A feature's relative error is half of what test_case_tolerance gives, which is for products of two; a sine's or
 * cosine's is absolute, and their root mean square is 0.7. */
static void check_features(const test_case *c, const clfavor_estimator *estimator, bool key) {
    if (!wanted(key ? "key features of" : "query features of", c))
        return;
    clfavor_plan_info info;
    clfavor_plan *plan = features_plan(c, key, &info);
    clfavor_weights *weights;
    ck_assert_int_eq(clfavor_weights_create(&weights, context, estimator), CLFAVOR_SUCCESS);
    uint64_t columns = info.features, scale_count = !key ? c->n : test_is_signed(c->map) ? 1 : columns;
    size_t count = (size_t)(c->heads * c->n);
    float *x = test_normals(73, count * c->d, c->sigma);
    test_buffer bx = test_buffer_create(&device, x, count * c->d);
    test_buffer bf = test_buffer_create(&device, NULL, count * columns);
    test_buffer bs = test_buffer_create(&device, NULL, (size_t)(c->heads * scale_count));
    test_buffer workspace = test_buffer_create(&device, NULL, info.workspace_size / sizeof(float) + 1);
    const clfavor_features_args args = {.struct_size = sizeof args,
                                        .weights = weights,
                                        .batch = 1,
                                        .heads = c->heads,
                                        .n = c->n,
                                        .x = test_tensor(&bx, c->heads, c->n, c->d),
                                        .features = test_tensor(&bf, c->heads, c->n, columns),
                                        .log_scale = test_tensor(&bs, c->heads, scale_count, 1),
                                        .workspace = workspace.mem,
                                        .workspace_offset = workspace.offset};
    ck_assert_int_eq(clfavor_enqueue_features(plan, &args, device.queue, 0, NULL, NULL), CLFAVOR_SUCCESS);
    float *features = test_buffer_read(&device, &bf), *scales = test_buffer_read(&device, &bs);
    free(test_buffer_read(&device, &workspace)); /* checks its guards */
    double limit = test_case_tolerance(c, NULL);
    for (uint64_t head = 0; head < c->heads; ++head) {
        double error = features_error(c, estimator, key, head, (uint32_t)columns, x + head * c->n * c->d,
                                      features + head * c->n * columns, scales + head * scale_count, scale_count);
        record(error, limit);
        ck_assert_msg(error <= limit, "%s: error %.3g exceeds %.3g", test_case_name(c, device_class), error, limit);
    }
    free(features);
    free(scales);
    free(x);
    test_buffer_release(&bx);
    test_buffer_release(&bf);
    test_buffer_release(&bs);
    test_buffer_release(&workspace);
    clfavor_weights_destroy(weights);
    clfavor_plan_destroy(plan);
}

START_TEST(features) {
    test_case c = base_case(maps[_i], lengths[length_count - 1], 0);
    c.heads = c.heads_kv = 2;
    test_general g = test_general_create(c.m, c.d, c.sets);
    if (c.map == CLFAVOR_MAP_EXPONENTIAL)
        c.exponential = &g.desc;
    if (c.map == CLFAVOR_MAP_ELU)
        c.sets = 1;
    clfavor_estimator *estimator = test_estimator(&c);
    for (int key = 0; key < 2; ++key)
        check_features(&c, estimator, key);
    clfavor_estimator_destroy(estimator);
    test_general_free(&g);
}
END_TEST

START_TEST(control) {
    static const char *const source =
        "__kernel void bounds(__global float *x, __local float *y) { x[get_global_id(0) + 1] = 1.0f; }\n"
        "__kernel void race(__global float *x, __local float *y) {\n"
        "    y[get_local_id(0)] = x[get_global_id(0)];\n"
        "    x[get_global_id(0)] = y[(get_local_id(0) + 1) % get_local_size(0)];\n"
        "}\n"
        "__kernel void unwritten(__global float *x, __local float *y) { x[get_global_id(0)] = y[get_local_id(0)]; }\n";
    static const char *const names[] = {"bounds", "race", "unwritten"};
    const size_t items = 4;
    cl_program program = clCreateProgramWithSource(device.context, 1, (const char **)&source, NULL, NULL);
    ck_assert_int_eq(clBuildProgram(program, 1, &device.device, "", NULL, NULL), CL_SUCCESS);
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        float x[4] = {0};
        cl_mem buffer = clCreateBuffer(device.context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, sizeof x, x, NULL);
        cl_kernel kernel = clCreateKernel(program, names[i], NULL);
        ck_assert_int_eq(clSetKernelArg(kernel, 0, sizeof buffer, &buffer), CL_SUCCESS);
        ck_assert_int_eq(clSetKernelArg(kernel, 1, sizeof x, NULL), CL_SUCCESS);
        ck_assert_int_eq(clEnqueueNDRangeKernel(device.queue, kernel, 1, NULL, &items, &items, 0, NULL, NULL),
                         CL_SUCCESS);
        ck_assert_int_eq(clFinish(device.queue), CL_SUCCESS);
        clReleaseKernel(kernel);
        clReleaseMemObject(buffer);
    }
    clReleaseProgram(program);
}
END_TEST

static bool parse_lengths(const char *text) {
    char *end;
    for (length_count = 0; length_count < MAX_LENGTHS; text = end + 1) {
        lengths[length_count++] = strtoull(text, &end, 10);
        if (!lengths[length_count - 1] || (*end && *end != ','))
            return false;
        if (!*end)
            return true;
    }
    return false;
}

static bool parse(int count, char **words) {
    for (int i = 1; i < count; i += 2) {
        const char *name = words[i], *value = i + 1 < count ? words[i + 1] : NULL;
        uint32_t *number = strcmp(name, "--d") == 0    ? &dim
                           : strcmp(name, "--dv") == 0 ? &value_dim
                           : strcmp(name, "--m") == 0  ? &rows
                                                       : NULL;
        if (!value)
            return false;
        if (number)
            *number = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--class") == 0)
            device_class = strcmp(value, "cpu") == 0   ? CLFAVOR_CLASS_CPU
                           : strcmp(value, "gpu") == 0 ? CLFAVOR_CLASS_GPU
                                                       : CLFAVOR_CLASS_AUTO;
        else if (strcmp(name, "--only") == 0)
            only = value;
        else if (strcmp(name, "--n") != 0 || !parse_lengths(value))
            return false;
    }
    return device_class != CLFAVOR_CLASS_AUTO && dim && value_dim && rows;
}

int main(int count, char **words) {
    bool controls = count == 2 && strcmp(words[1], "--control") == 0;
    if (!controls && !parse(count, words)) {
        fputs("Usage: simulated --class cpu|gpu [--n N,N...] [--d D] [--dv DV] [--m M] [--only TEXT]\n", stderr);
        return 2;
    }
    Suite *suite = suite_create("simulated");
    TCase *tcase = tcase_create("simulated");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    if (controls) {
        tcase_add_test(tcase, control);
    } else {
        tcase_add_loop_test(tcase, attention, 0, MAPS);
        tcase_add_test(tcase, divided);
        tcase_add_loop_test(tcase, exact_keys, 0, 2);
        tcase_add_test(tcase, exact_softmax);
        tcase_add_loop_test(tcase, features, 0, MAPS);
    }
    suite_add_tcase(suite, tcase);
    int result = test_main(suite);
    printf("%zu cases, errors up to %.2f of their limits\n", cases, worst);
    return result || (!controls && !cases);
}
