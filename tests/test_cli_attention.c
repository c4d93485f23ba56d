/* The program cuts long work into parts. Whatever the cut, the result is that of one call. */
#define _GNU_SOURCE /* as cli/device.c does */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "../cli/attention.c"
#include "../cli/cache_folder.c"
#include "../cli/device.c"
#include "../cli/message.c"
#include "../cli/progress.c"
#include "../cli/session.c"
#include "../cli/tuning_file.c"

typedef struct problem {
    bool exact, causal;
    uint64_t batch, heads, heads_kv, n, n_k;
    uint32_t d, dv, m;
    size_t parts; /* that the program must make of it */
} problem;

/* A session of one slow core is cut at 4e9 operations a part. Operations: 2 (d + dv) batch heads times n n_k (exact),
 * or (n + n_k) m. */
static const problem problems[] = {
    {true, false, 1, 1, 1, 7001, 9001, 20, 45, 0, 2},     /* 8.2e9: rows */
    {true, true, 1, 1, 1, 9001, 9001, 37, 28, 0, 2},      /* 1.05e10: rows at positions */
    {true, true, 2, 3, 1, 5001, 5001, 16, 20, 0, 2},      /* 1.08e10: batch; the only K/V head has three */
    {true, true, 1, 4, 2, 6001, 6001, 20, 33, 0, 2},      /* 1.5e10: both K/V heads, and then no rows */
    {false, false, 3, 2, 2, 1001, 1501, 40, 33, 4096, 2}, /* 9.0e9: batch, two and one */
    {false, true, 1, 6, 3, 1001, 1001, 64, 33, 5000, 2},  /* 1.2e10: heads, two and one */
    {false, true, 1, 1, 1, 4001, 4001, 64, 64, 4096, 1},  /* one head: nothing to cut */
};

static cl_mem device_floats(const session *s, const float *values, size_t count) {
    cl_int code;
    cl_mem buffer = clCreateBuffer(s->cl, CL_MEM_READ_WRITE | (values ? CL_MEM_COPY_HOST_PTR : 0),
                                   count * sizeof(float), (void *)(uintptr_t)values, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return buffer;
}

/* O, lse and sign of a run, one after another. */
static float *results(const session *s, const problem *p, clfavor_attention_args args, uint32_t units, size_t *parts) {
    session own = *s;
    own.info.compute_units = units;
    own.info.device_class = CLFAVOR_CLASS_CPU; /* what the cut goes by */
    size_t rows = (size_t)(p->batch * p->heads * p->n), sizes[] = {rows * p->dv, rows, rows};
    cl_mem buffers[3];
    for (int i = 0; i < 3; ++i)
        buffers[i] = device_floats(s, NULL, sizes[i]);
    args.o = clfavor_tensor_dense(buffers[0], p->heads, p->n, p->dv);
    args.lse = clfavor_tensor_dense(buffers[1], p->heads, p->n, 1);
    args.sign = clfavor_tensor_dense(buffers[2], p->heads, p->n, 1);
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = p->exact ? CLFAVOR_OP_EXACT : CLFAVOR_OP_ATTENTION,
                              .features = p->m,
                              .dim = p->d,
                              .value_dim = p->dv,
                              .causal = p->causal};
    attention a;
    double seconds, wall;
    ck_assert_int_eq(attention_create(&a, &own, &desc, &args, 1), CLI_OK);
    ck_assert_int_eq(attention_run(&a, "test", &seconds, &wall), CLI_OK);
    ck_assert(seconds > 0 && wall > 0);
    *parts = a.parts;
    attention_destroy(&a);
    float *out = test_alloc(rows * (p->dv + 2), sizeof *out);
    for (int i = 0, at = 0; i < 3; at += (int)sizes[i++]) {
        ck_assert_int_eq(
            clEnqueueReadBuffer(s->queue, buffers[i], CL_TRUE, 0, sizes[i] * sizeof(float), out + at, 0, NULL, NULL),
            CL_SUCCESS);
        clReleaseMemObject(buffers[i]);
    }
    return out;
}

START_TEST(parts_make_the_whole) {
    const problem *p = &problems[_i];
    session s;
    ck_assert_int_eq(session_open(&s, &(session_request){0}), CLI_OK);
    size_t sizes[] = {(size_t)(p->batch * p->heads * p->n * p->d), (size_t)(p->batch * p->heads_kv * p->n_k * p->d),
                      (size_t)(p->batch * p->heads_kv * p->n_k * p->dv)};
    cl_mem inputs[3];
    for (int i = 0; i < 3; ++i) {
        float *values = test_normals(10 + (uint64_t)i, sizes[i], 0.5);
        inputs[i] = device_floats(&s, values, sizes[i]);
        free(values);
    }
    clfavor_attention_args args = {.struct_size = sizeof args,
                                   .batch = p->batch,
                                   .heads = p->heads,
                                   .heads_kv = p->heads_kv,
                                   .n = p->n,
                                   .n_k = p->n_k,
                                   .q = clfavor_tensor_dense(inputs[0], p->heads, p->n, p->d),
                                   .k = clfavor_tensor_dense(inputs[1], p->heads_kv, p->n_k, p->d),
                                   .v = clfavor_tensor_dense(inputs[2], p->heads_kv, p->n_k, p->dv),
                                   .query_step = p->exact && p->causal};
    clfavor_weights *weights = NULL;
    if (!p->exact) {
        clfavor_projection_desc drawn = {
            .struct_size = sizeof drawn, .kind = CLFAVOR_PROJECTION_IID, .features = p->m, .dim = p->d, .seed = 3};
        clfavor_projection *projection;
        clfavor_estimator *estimator;
        ck_assert_int_eq(clfavor_projection_create(&projection, &drawn), CLFAVOR_SUCCESS);
        clfavor_estimator_desc desc = {.struct_size = sizeof desc, .projection = projection};
        ck_assert_int_eq(clfavor_estimator_create(&estimator, &desc), CLFAVOR_SUCCESS);
        ck_assert_int_eq(clfavor_weights_create(&weights, s.context, estimator), CLFAVOR_SUCCESS);
        clfavor_estimator_destroy(estimator);
        clfavor_projection_destroy(projection);
    }
    args.weights = weights;

    size_t parts, one;
    float *cut_up = results(&s, p, args, 1, &parts), *whole = results(&s, p, args, 1000000, &one);
    ck_assert_uint_eq(one, 1);
    ck_assert_uint_eq(parts, p->parts);
    size_t count = (size_t)(p->batch * p->heads * p->n) * (p->dv + 2);
    /* No bit of an exact row depends on the others. The pieces of a linear one depend on the number of heads: its
     * features are the same (positive, so nothing cancels), but their sums over n_k tokens and m features round
     * differently, at two levels of at most 128 terms and some 2^7 of these: 2^-24 (128 + 128) = 1.5e-5 at worst. */
    if (p->exact) {
        ck_assert_int_eq(memcmp(cut_up, whole, count * sizeof *whole), 0);
    } else {
        double *want = test_doubles(whole, count);
        size_t values = count / (p->dv + 2) * p->dv;
        ck_assert_double_lt(test_error(cut_up, want, values), 2e-5);
        ck_assert_double_lt(test_error(cut_up + values, want + values, count - values), 2e-5);
        free(want);
    }
    free(cut_up);
    free(whole);
    clfavor_weights_destroy(weights);
    for (int i = 0; i < 3; ++i)
        clReleaseMemObject(inputs[i]);
    session_close(&s);
}
END_TEST

static const struct {
    const char *own, *base, *home, *folder;
} cache_folders[] = {
    {NULL, NULL, "/home/me", "/home/me/.cache/clfavor"},
    {NULL, "/var/c", "/home/me", "/var/c/clfavor"},
    {NULL, "relative", "/home/me", "/home/me/.cache/clfavor"},
    {"/own", "/var/c", "/home/me", "/own"},
    {"0", "/var/c", "/home/me", NULL},
    {"", "/var/c", "/home/me", NULL},
    {NULL, NULL, NULL, NULL},
    {NULL, NULL, "", NULL},
};

static void set(const char *name, const char *value) {
    ck_assert_int_eq(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

START_TEST(where_programs_are_kept) {
    char path[40];
    set("CLFAVOR_CACHE_DIR", cache_folders[_i].own);
    set("XDG_CACHE_HOME", cache_folders[_i].base);
    set("HOME", cache_folders[_i].home);
    const char *folder = cache_folder(path, sizeof path);
    if (cache_folders[_i].folder)
        ck_assert_str_eq(folder, cache_folders[_i].folder);
    else
        ck_assert_ptr_null(folder);
    ck_assert(!folder || folder != path || !cache_folder(path, strlen(path))); /* where it does not fit */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cli_attention");
    TCase *tcase = tcase_create("cut");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, parts_make_the_whole, 0, (int)(sizeof problems / sizeof *problems));
    tcase_add_loop_test(tcase, where_programs_are_kept, 0, sizeof cache_folders / sizeof *cache_folders);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
