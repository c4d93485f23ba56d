/* Bidirectional linear attention with our own features and CLBlast's products on the same device: what one gets by
 * putting a BLAS behind clfavor_enqueue_features instead of fused kernels.
 *
 * Features come with log-scales: a query's own, which cancels in O, and one per key feature, l_r. So
 *     S = phi_k' V,  z = phi_k' 1,  both times exp(l_r - max l) in row r,  O = phi_q S / phi_q z.
 * The sums of keys, the scaling and the division are small kernels of one work-item a row. */
#include "device.h"
#include "peers_list.h"

#include <clblast_c.h>
#include <math.h>
#include <stdlib.h>

static const char source[] =
    "__kernel void scale_state(__global const float *phi, __global const float *logs, ulong n, uint d,\n"
    "                          __global float *s, __global float *z) {\n"
    "    size_t r = get_global_id(0), m = get_global_size(0), head = get_global_id(1);\n"
    "    float most = -INFINITY, sum = 0.0f, block = 0.0f;\n"
    "    for (size_t i = 0; i < m; ++i) most = fmax(most, logs[head * m + i]);\n"
    "    for (ulong j = 0; j < n; ++j) {\n" /* in blocks, since a plain sum loses digits at long n */
    "        block += phi[(head * n + j) * m + r];\n"
    "        if ((j & 255) == 255) { sum += block; block = 0.0f; }\n"
    "    }\n"
    "    float factor = exp(logs[head * m + r] - most);\n"
    "    z[head * m + r] = (sum + block) * factor;\n"
    "    for (uint l = 0; l < d; ++l) s[(head * m + r) * d + l] *= factor;\n"
    "}\n"
    "__kernel void divide(__global const float *phi, __global const float *z, uint m, uint d, __global float *o) {\n"
    "    size_t i = get_global_id(0), n = get_global_size(0), head = get_global_id(1);\n"
    "    float sum = 0.0f;\n"
    "    for (uint r = 0; r < m; ++r) sum += phi[(head * n + i) * m + r] * z[head * m + r];\n"
    "    for (uint l = 0; l < d; ++l) o[(head * n + i) * d + l] /= sum;\n"
    "}\n";

enum { QUERIES, KEYS, SIDES };
enum { Q, K, V, O, PHI_Q, PHI_K, LOG_Q, LOG_K, S, Z, BUFFERS };

typedef struct clblast_peer {
    bench_peer base;
    peer_notes notes;
    uint64_t heads, n;
    uint32_t dim, features;
    clfavor_context *context;
    clfavor_weights *weights;
    clfavor_plan *plans[SIDES];
    cl_mem workspaces[SIDES], buffers[BUFFERS];
    cl_command_queue queue;
    cl_kernel scale_state, divide;
    float *output;
    bool ran, broken;
} clblast_peer;

#define NEED(call)                                                                                                     \
    do {                                                                                                               \
        int code_ = (int)(call);                                                                                       \
        if (code_) {                                                                                                   \
            peer_note(&p->notes, "clblast: %s failed with %d", #call, code_);                                          \
            return false;                                                                                              \
        }                                                                                                              \
    } while (0)

/* ------------------------------------------------------------------------------------------------------------ setup */

static bool make_buffer(clblast_peer *p, cl_context cl, uint64_t bytes, const void *data, cl_mem *buffer) {
    cl_int code;
    cl_mem_flags flags = CL_MEM_READ_WRITE | (data ? CL_MEM_COPY_HOST_PTR : 0);
    *buffer = clCreateBuffer(cl, flags, (size_t)bytes, (void *)(uintptr_t)data, &code);
    NEED(code);
    return true;
}

static bool make_weights(clblast_peer *p, const bench_inputs *inputs) {
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .features = inputs->features, .dim = inputs->dim, .sets = 1};
    clfavor_projection *projection;
    NEED(clfavor_projection_create_from_data(&projection, &desc, inputs->w, NULL));
    clfavor_estimator_desc estimator_desc = {.struct_size = sizeof estimator_desc, .projection = projection};
    clfavor_estimator *estimator;
    clfavor_status status = clfavor_estimator_create(&estimator, &estimator_desc);
    clfavor_projection_destroy(projection);
    if (!status)
        status = clfavor_weights_create(&p->weights, p->context, estimator);
    clfavor_estimator_destroy(estimator);
    NEED(status);
    return true;
}

static bool make_plan(clblast_peer *p, cl_context cl, int side) {
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = side == KEYS ? CLFAVOR_OP_FEATURES_KEY : CLFAVOR_OP_FEATURES_QUERY,
                              .features = p->features,
                              .dim = p->dim,
                              .max_heads = p->heads,
                              .max_n = p->n};
    clfavor_plan_info info = {.struct_size = sizeof info};
    NEED(clfavor_plan_create(&p->plans[side], p->context, &desc));
    NEED(clfavor_plan_get_info(p->plans[side], &info));
    return !info.workspace_size || make_buffer(p, cl, info.workspace_size, NULL, &p->workspaces[side]);
}

static bool make_kernels(clblast_peer *p, cl_context cl, cl_device_id device) {
    const char *text = source;
    cl_int code;
    cl_program program = clCreateProgramWithSource(cl, 1, &text, NULL, &code);
    NEED(code);
    code = clBuildProgram(program, 1, &device, "", NULL, NULL);
    if (code == CL_SUCCESS)
        p->scale_state = clCreateKernel(program, "scale_state", &code);
    if (code == CL_SUCCESS)
        p->divide = clCreateKernel(program, "divide", &code);
    clReleaseProgram(program);
    NEED(code);
    cl_ulong n = p->n;
    cl_uint m = p->features, d = p->dim;
    NEED(clSetKernelArg(p->scale_state, 0, sizeof(cl_mem), &p->buffers[PHI_K]));
    NEED(clSetKernelArg(p->scale_state, 1, sizeof(cl_mem), &p->buffers[LOG_K]));
    NEED(clSetKernelArg(p->scale_state, 2, sizeof n, &n));
    NEED(clSetKernelArg(p->scale_state, 3, sizeof d, &d));
    NEED(clSetKernelArg(p->scale_state, 4, sizeof(cl_mem), &p->buffers[S]));
    NEED(clSetKernelArg(p->scale_state, 5, sizeof(cl_mem), &p->buffers[Z]));
    NEED(clSetKernelArg(p->divide, 0, sizeof(cl_mem), &p->buffers[PHI_Q]));
    NEED(clSetKernelArg(p->divide, 1, sizeof(cl_mem), &p->buffers[Z]));
    NEED(clSetKernelArg(p->divide, 2, sizeof m, &m));
    NEED(clSetKernelArg(p->divide, 3, sizeof d, &d));
    NEED(clSetKernelArg(p->divide, 4, sizeof(cl_mem), &p->buffers[O]));
    return true;
}

static bool set_up(clblast_peer *p, const bench_inputs *inputs, cl_context cl, cl_device_id device) {
    cl_int code;
    p->queue = clCreateCommandQueue(cl, device, 0, &code);
    NEED(code);
    clfavor_context_desc desc = {.struct_size = sizeof desc, .context = cl, .device = device};
    NEED(clfavor_context_create(&p->context, &desc));
    uint64_t tokens = p->heads * p->n, dense = tokens * p->dim, phi = tokens * p->features;
    const uint64_t counts[BUFFERS] = {[Q] = dense,
                                      [K] = dense,
                                      [V] = dense,
                                      [O] = dense,
                                      [PHI_Q] = phi,
                                      [PHI_K] = phi,
                                      [LOG_Q] = tokens,
                                      [LOG_K] = p->heads * p->features,
                                      [S] = p->heads * p->features * p->dim,
                                      [Z] = p->heads * p->features};
    const float *data[BUFFERS] = {[Q] = inputs->q, [K] = inputs->k, [V] = inputs->v};
    for (int i = 0; i < BUFFERS; ++i)
        if (!make_buffer(p, cl, counts[i] * sizeof(float), data[i], &p->buffers[i]))
            return false;
    p->output = malloc((size_t)dense * sizeof *p->output);
    if (!p->output) {
        peer_note(&p->notes, "clblast: host memory is exhausted");
        return false;
    }
    return make_weights(p, inputs) && make_plan(p, cl, QUERIES) && make_plan(p, cl, KEYS) &&
           make_kernels(p, cl, device);
}

/* -------------------------------------------------------------------------------------------------------------- run */

static bool enqueue_features(clblast_peer *p, int side) {
    uint64_t scales = side == KEYS ? p->features : p->n;
    clfavor_features_args args = {
        .struct_size = sizeof args,
        .weights = p->weights,
        .heads = p->heads,
        .n = p->n,
        .x = clfavor_tensor_dense(p->buffers[side == KEYS ? K : Q], p->heads, p->n, p->dim),
        .features = clfavor_tensor_dense(p->buffers[side == KEYS ? PHI_K : PHI_Q], p->heads, p->n, p->features),
        .log_scale = clfavor_tensor_dense(p->buffers[side == KEYS ? LOG_K : LOG_Q], p->heads, scales, 1),
        .workspace = p->workspaces[side]};
    NEED(clfavor_enqueue_features(p->plans[side], &args, p->queue, 0, NULL, NULL));
    return true;
}

static bool enqueue_all(clblast_peer *p) {
    size_t n = (size_t)p->n, m = p->features, d = p->dim, heads = (size_t)p->heads;
    const size_t features[2] = {m, heads}, tokens[2] = {n, heads};
    if (!enqueue_features(p, KEYS) || !enqueue_features(p, QUERIES))
        return false;
    NEED(CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, CLBlastTransposeYes, CLBlastTransposeNo, m, d, n, 1.0F,
                                    p->buffers[PHI_K], 0, m, n * m, p->buffers[V], 0, d, n * d, 0.0F, p->buffers[S], 0,
                                    d, m * d, heads, &p->queue, NULL));
    NEED(clEnqueueNDRangeKernel(p->queue, p->scale_state, 2, NULL, features, NULL, 0, NULL, NULL));
    NEED(CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, n, d, m, 1.0F,
                                    p->buffers[PHI_Q], 0, m, n * m, p->buffers[S], 0, d, m * d, 0.0F, p->buffers[O], 0,
                                    d, n * d, heads, &p->queue, NULL));
    NEED(clEnqueueNDRangeKernel(p->queue, p->divide, 2, NULL, tokens, NULL, 0, NULL, NULL));
    NEED(clFinish(p->queue));
    return true;
}

static double run(bench_peer *base) {
    clblast_peer *p = (clblast_peer *)base;
    double start = bench_now();
    p->broken = p->broken || !enqueue_all(p);
    double seconds = bench_now() - start;
    p->ran = !p->broken;
    return p->ran ? seconds : (double)NAN;
}

static bool read_output(clblast_peer *p) {
    size_t bytes = (size_t)(p->heads * p->n * p->dim) * sizeof *p->output;
    NEED(clEnqueueReadBuffer(p->queue, p->buffers[O], CL_TRUE, 0, bytes, p->output, 0, NULL, NULL));
    return true;
}

static const float *result(bench_peer *base) {
    clblast_peer *p = (clblast_peer *)base;
    return p->ran && read_output(p) ? p->output : NULL;
}

static void close_peer(bench_peer *base) {
    clblast_peer *p = (clblast_peer *)base;
    if (p->queue)
        clFinish(p->queue);
    if (p->scale_state)
        clReleaseKernel(p->scale_state);
    if (p->divide)
        clReleaseKernel(p->divide);
    for (int side = 0; side < SIDES; ++side) {
        clfavor_plan_destroy(p->plans[side]);
        if (p->workspaces[side])
            clReleaseMemObject(p->workspaces[side]);
    }
    for (int i = 0; i < BUFFERS; ++i)
        if (p->buffers[i])
            clReleaseMemObject(p->buffers[i]);
    clfavor_weights_destroy(p->weights);
    clfavor_context_destroy(p->context);
    if (p->queue)
        clReleaseCommandQueue(p->queue);
    free(p->output);
    free(p);
}

void peers_open_clblast(peer_list *list, const bench_inputs *inputs, cl_context cl, cl_device_id device) {
    clblast_peer *p = calloc(1, sizeof *p);
    if (!p)
        return;
    p->base =
        (bench_peer){.name = "clblast", .computes = BENCH_LINEAR, .run = run, .result = result, .close = close_peer};
    p->notes = list->notes;
    p->heads = inputs->heads;
    p->n = inputs->n;
    p->dim = inputs->dim;
    p->features = inputs->features;
    if (set_up(p, inputs, cl, device))
        peer_list_add(list, &p->base);
    else
        close_peer(&p->base);
}
