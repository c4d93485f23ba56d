/* An oracle that shares nothing with the library but OpenCL: positive features as a chain of CLBlast's GEMMs,
 *     T = sqrt(scale) X W',  phi = exp(T - |x|^2/2 - stabiliser),  [N | D] = phi(Q) (phi(K)' [V | 1]),  O = N / D,
 * and, causal, [N | D] = mask(phi(Q) phi(K)') [V | 1]. Queries are stabilised by their row's maximum, keys by one
 * maximum.
 *
 * Tolerance. An exponent is off by at most eps (sqrt(d) + 4) S with S = sum |w_l x_l| + |x|^2: rounding of sums of d
 * products, of packed values and of the differences with references. Sums of n and m positive terms one after the other
 * add eps sqrt(n) and eps sqrt(m). With 16 for exp, log and divisions, a term is relatively within
 *     t = eps (16 + sqrt(n_k) + sqrt(m) + (sqrt(d) + 4) (S_q + S_k))
 * of the truth in each of the two computations, so terms differ by 2 t. V is positive, so |O - O'| <= 2 (2 t) |O|; lse
 * differs by 2 t + eps |lse|. */
#include "support_attention.h"

#include <clblast_c.h>
#include <math.h>
#include <stdlib.h>

static const char source[] =
    "__kernel void half_squares(__global const float *x, uint d, float scale, __global float *out) {\n"
    "    size_t i = get_global_id(0);\n"
    "    float sum = 0.0f;\n"
    "    for (uint l = 0; l < d; ++l) sum += x[i * d + l] * x[i * d + l];\n"
    "    out[i] = 0.5f * scale * sum;\n"
    "}\n"
    "__kernel void row_maxima(__global const float *t, uint m, __global float *out) {\n"
    "    size_t i = get_global_id(0);\n"
    "    float most = t[i * m];\n"
    "    for (uint r = 1; r < m; ++r) most = fmax(most, t[i * m + r]);\n"
    "    out[i] = most;\n"
    "}\n"
    "__kernel void common_maximum(__global float *maxima, __global const float *halves, uint n) {\n"
    "    float most = maxima[0] - halves[0];\n"
    "    for (uint j = 1; j < n; ++j) most = fmax(most, maxima[j] - halves[j]);\n"
    "    for (uint j = 0; j < n; ++j) maxima[j] = most + halves[j];\n" /* so that t - maxima = t - half - most */
    "}\n"
    "__kernel void exponentials(__global float *t, uint m, __global const float *maxima) {\n"
    "    size_t r = get_global_id(0), i = get_global_id(1);\n"
    "    t[i * m + r] = exp(t[i * m + r] - maxima[i]);\n"
    "}\n"
    "__kernel void mask(__global float *pairs, uint n) {\n"
    "    size_t j = get_global_id(0), i = get_global_id(1);\n"
    "    if (j > i) pairs[i * n + j] = 0.0f;\n"
    "}\n";

static test_device device;
static cl_program program;

static void setup(void) {
    test_open(&device);
    const char *text = source;
    cl_int code;
    program = clCreateProgramWithSource(device.context, 1, &text, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(clBuildProgram(program, 1, &device.device, "", NULL, NULL), CL_SUCCESS);
}
static void teardown(void) {
    clReleaseProgram(program);
    test_close(&device);
}

typedef struct argument {
    size_t size;
    const void *value;
} argument;

static void launch(const char *name, size_t width, size_t height, const argument *arguments, cl_uint count) {
    cl_int code;
    cl_kernel kernel = clCreateKernel(program, name, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    for (cl_uint i = 0; i < count; ++i)
        ck_assert_int_eq(clSetKernelArg(kernel, i, arguments[i].size, arguments[i].value), CL_SUCCESS);
    const size_t global[2] = {width, height};
    ck_assert_int_eq(clEnqueueNDRangeKernel(device.queue, kernel, 2, NULL, global, NULL, 0, NULL, NULL), CL_SUCCESS);
    clReleaseKernel(kernel);
}
#define ARG(x)                                                                                                         \
    { sizeof(x), &(x) }
#define LAUNCH(name, width, height, ...)                                                                               \
    do {                                                                                                               \
        const argument arguments_[] = {__VA_ARGS__};                                                                   \
        launch(name, width, height, arguments_, sizeof arguments_ / sizeof *arguments_);                               \
    } while (0)

static cl_mem buffer_of(const float *values, size_t count) {
    cl_int code;
    cl_mem buffer = clCreateBuffer(device.context, CL_MEM_READ_WRITE | (values ? CL_MEM_COPY_HOST_PTR : 0),
                                   count * sizeof *values, (void *)(uintptr_t)values, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return buffer;
}

/* c [rows, columns] = alpha a b, row-major and dense; a' or b' where asked. */
static void gemm(bool a_transposed, bool b_transposed, size_t rows, size_t columns, size_t inner, double alpha,
                 cl_mem a, cl_mem b, cl_mem c) {
    cl_command_queue queue = device.queue;
    CLBlastStatusCode status = CLBlastSgemm(
        CLBlastLayoutRowMajor, a_transposed ? CLBlastTransposeYes : CLBlastTransposeNo,
        b_transposed ? CLBlastTransposeYes : CLBlastTransposeNo, rows, columns, inner, (float)alpha, a, 0,
        a_transposed ? rows : inner, b, 0, b_transposed ? inner : columns, 0.0F, c, 0, columns, &queue, NULL);
    ck_assert_int_eq(status, CLBlastSuccess);
}

/* phi [n, m] of one side, divided by exp(maxima - halves) of its row. */
static cl_mem features(cl_mem x, cl_mem w, bool keys, cl_uint n, cl_uint m, cl_uint d, double scale, cl_mem maxima,
                       cl_mem halves) {
    cl_mem t = buffer_of(NULL, (size_t)n * m);
    float scale_f = (float)scale;
    gemm(false, true, n, m, d, sqrt(scale), x, w, t);
    LAUNCH("half_squares", n, 1, ARG(x), ARG(d), ARG(scale_f), ARG(halves));
    LAUNCH("row_maxima", n, 1, ARG(t), ARG(m), ARG(maxima));
    if (keys)
        LAUNCH("common_maximum", 1, 1, ARG(maxima), ARG(halves), ARG(n));
    LAUNCH("exponentials", m, n, ARG(t), ARG(m), ARG(maxima));
    return t;
}

static float *read_floats(cl_mem buffer, size_t count) {
    float *values = test_alloc(count, sizeof *values);
    ck_assert_int_eq(
        clEnqueueReadBuffer(device.queue, buffer, CL_TRUE, 0, count * sizeof *values, values, 0, NULL, NULL),
        CL_SUCCESS);
    return values;
}

/* O and lse of one head; frees nothing that it was given. */
static void oracle(const test_case *c, const test_inputs *in, const float *w_values, double *o, double *lse) {
    cl_uint n = (cl_uint)c->n, n_k = (cl_uint)c->n_k, m = c->m, d = c->d, columns = c->dv + 1;
    float *v1 = test_alloc((size_t)n_k * columns, sizeof *v1);
    for (size_t j = 0; j < n_k; ++j)
        for (size_t l = 0; l < columns; ++l)
            v1[j * columns + l] = l < c->dv ? in->v[j * c->dv + l] : 1.0F;
    enum { Q, K, V, W, MAX_Q, MAX_K, HALF_Q, HALF_K, SUMS, MIDDLE, BUFFERS };
    cl_mem b[BUFFERS] = {buffer_of(in->q, in->q_count),
                         buffer_of(in->k, in->k_count),
                         buffer_of(v1, (size_t)n_k * columns),
                         buffer_of(w_values, (size_t)m * d),
                         buffer_of(NULL, n),
                         buffer_of(NULL, n_k),
                         buffer_of(NULL, n),
                         buffer_of(NULL, n_k),
                         buffer_of(NULL, (size_t)n * columns),
                         buffer_of(NULL, c->causal ? (size_t)n * n : (size_t)m * columns)};
    cl_mem phi_q = features(b[Q], b[W], false, n, m, d, c->scale, b[MAX_Q], b[HALF_Q]);
    cl_mem phi_k = features(b[K], b[W], true, n_k, m, d, c->scale, b[MAX_K], b[HALF_K]);
    if (c->causal) {
        gemm(false, true, n, n, m, 1.0, phi_q, phi_k, b[MIDDLE]);
        LAUNCH("mask", n, n, ARG(b[MIDDLE]), ARG(n));
        gemm(false, false, n, columns, n, 1.0, b[MIDDLE], b[V], b[SUMS]);
    } else {
        gemm(true, false, m, columns, n_k, 1.0, phi_k, b[V], b[MIDDLE]);
        gemm(false, false, n, columns, m, 1.0, phi_q, b[MIDDLE], b[SUMS]);
    }
    float *sums = read_floats(b[SUMS], (size_t)n * columns), *max_q = read_floats(b[MAX_Q], n),
          *half_q = read_floats(b[HALF_Q], n), *max_k = read_floats(b[MAX_K], n_k),
          *half_k = read_floats(b[HALF_K], n_k);
    for (size_t i = 0; i < n; ++i) {
        double sum = (double)sums[i * columns + c->dv];
        for (size_t l = 0; l < c->dv; ++l)
            o[i * c->dv + l] = (double)sums[i * columns + l] / sum;
        lse[i] = log(sum) + (double)max_q[i] - (double)half_q[i] + (double)max_k[0] - (double)half_k[0] - log(m);
    }
    float *arrays[] = {v1, sums, max_q, half_q, max_k, half_k};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; ++i)
        free(arrays[i]);
    for (size_t i = 0; i < BUFFERS; ++i)
        clReleaseMemObject(b[i]);
    clReleaseMemObject(phi_q);
    clReleaseMemObject(phi_k);
}

/* The largest S of one side. */
static double magnitude(const test_case *c, const float *w, const float *tokens, size_t count) {
    double worst = 0;
    for (size_t i = 0; i < count; ++i) {
        double square = 0, rows = 0;
        for (size_t l = 0; l < c->d; ++l)
            square += (double)tokens[i * c->d + l] * (double)tokens[i * c->d + l] * c->scale;
        for (size_t r = 0; r < c->m; ++r) {
            double sum = 0;
            for (size_t l = 0; l < c->d; ++l)
                sum += fabs((double)w[r * c->d + l] * (double)tokens[i * c->d + l]) * sqrt(c->scale);
            rows = fmax(rows, sum);
        }
        worst = fmax(worst, square + rows);
    }
    return worst;
}

static const test_case cases[] = {
    {.m = 37, .d = 13, .dv = 7, .n = 70, .n_k = 85, .scale = 0.25},
    {.m = 64, .d = 32, .dv = 32, .n = 33, .n_k = 300, .scale = 0.125},
    {.m = 37, .d = 13, .dv = 7, .n = 100, .n_k = 100, .scale = 0.25, .causal = 1},
};

START_TEST(attention_as_a_chain_of_gemms) {
    test_case c = cases[_i];
    c.seed = 61;
    c = test_case_resolve(c);
    test_inputs in = test_inputs_create(&c);
    for (size_t i = 0; i < in.v_count; ++i)
        in.v[i] = fabsf(in.v[i]);
    clfavor_projection_desc desc = {.struct_size = sizeof desc, .features = c.m, .dim = c.d, .seed = c.seed};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    float *w = test_alloc((size_t)c.m * c.d, sizeof *w);
    for (size_t i = 0; i < (size_t)c.m * c.d; ++i)
        w[i] = (float)clfavor_projection_data(projection)[i];
    clfavor_projection_destroy(projection);
    double *o = test_alloc(c.n * c.dv, sizeof *o), *lse = test_alloc(c.n, sizeof *lse);
    oracle(&c, &in, w, o, lse);
    double s = magnitude(&c, w, in.q, c.n) + magnitude(&c, w, in.k, c.n_k);
    double t = 0x1p-24 * (16 + sqrt((double)c.n_k) + sqrt(c.m) + (sqrt(c.d) + 4) * s);
    ck_assert_double_lt(t, 1e-4);
    static const clfavor_device_class classes[2] = {CLFAVOR_CLASS_CPU, CLFAVOR_CLASS_GPU};
    for (int i = 0; i < 2; ++i) {
        clfavor_context *context = test_context(&device, classes[i]);
        test_outputs outputs = test_run(&device, context, &c, &in);
        double error = test_error(outputs.o, o, outputs.o_count);
        ck_assert_msg(error <= 4 * t, "%s: error %.3g exceeds %.3g", test_case_name(&c, classes[i]), error, 4 * t);
        for (size_t row = 0; row < outputs.rows; ++row) {
            double difference = fabs((double)outputs.lse[row] - lse[row]);
            ck_assert_msg(difference <= 2 * t + 0x1p-24 * fabs(lse[row]), "%s: lse[%zu] is %.9g, not %.9g",
                          test_case_name(&c, classes[i]), row, (double)outputs.lse[row], lse[row]);
        }
        test_outputs_free(&outputs);
        clfavor_context_destroy(context);
    }
    test_inputs_free(&in);
    free(w);
    free(o);
    free(lse);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("clblast");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, attention_as_a_chain_of_gemms, 0, (int)(sizeof cases / sizeof *cases));
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
