/* clfavor in the middle of another OpenCL program. Its kernel writes queries, keys and values into one buffer, token by
 * token, as a joint projection does: [n, 3, H, d]. Attention takes them where they lie, by offsets and strides, and
 * writes a sub-buffer of the program's own; another of its kernels reads that. One queue, nothing copied, no waiting.
 */
#include "common.h"

enum { HEADS = 3, N = 200, D = 24, M = 64, WIDTH = HEADS * D, TOKEN = 3 * WIDTH, OUT = N * WIDTH };

/* consume: the sum of a token's row. */
static const char source[] = "__kernel void produce(__global float *qkv) {\n"
                             "    size_t i = get_global_id(0);\n"
                             "    qkv[i] = sin(0.37f * (float)(i % 7919));\n"
                             "}\n"
                             "__kernel void consume(__global const float *o, __global float *sums) {\n"
                             "    size_t t = get_global_id(0);\n"
                             "    float sum = 0.0f;\n"
                             "    for (uint l = 0; l < WIDTH; ++l)\n"
                             "        sum += o[t * WIDTH + l];\n"
                             "    sums[t] = sum;\n"
                             "}\n";

static cl_kernel make_kernel(cl_program program, const char *name) {
    cl_int code;
    cl_kernel kernel = clCreateKernel(program, name, &code);
    CHECK_CL(code);
    return kernel;
}

static void launch(const example *e, cl_kernel kernel, size_t items) {
    CHECK_CL(clEnqueueNDRangeKernel(e->queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL));
}

/* q (part 0), k (1) or v (2) of the joint buffer. */
static clfavor_tensor part_of(cl_mem qkv, size_t part) {
    return (clfavor_tensor){
        .buffer = qkv, .offset = part * WIDTH * sizeof(float), .stride_head = D, .stride_token = TOKEN};
}

static clfavor_weights *make_weights(const example *e, clfavor_estimator **estimator) {
    clfavor_projection *projection;
    clfavor_weights *weights;
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = M, .dim = D, .seed = 1};
    CHECK(clfavor_projection_create(&projection, &w));
    clfavor_estimator_desc map = {.struct_size = sizeof map, .map = CLFAVOR_MAP_POSITIVE, .projection = projection};
    CHECK(clfavor_estimator_create(estimator, &map));
    CHECK(clfavor_weights_create(&weights, e->context, *estimator));
    clfavor_projection_destroy(projection);
    return weights;
}

/* What consume makes of O by the double reference. */
static void expect(const clfavor_estimator *estimator, const float *qkv, float *sums) {
    double *memory = calloc(4 * OUT, sizeof *memory);
    if (!memory)
        exit(EXIT_FAILURE);
    for (int i = 0; i < 3 * OUT; ++i) { /* [n, 3, H, d] to three of [H, n, d] */
        int l = i % D, head = i / D % HEADS, part = i / D / HEADS % 3, token = i / TOKEN;
        memory[part * OUT + (head * N + token) * D + l] = (double)qkv[i];
    }
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .heads = HEADS,
                                   .n = N,
                                   .dim = D,
                                   .q = memory,
                                   .k = memory + OUT,
                                   .v = memory + 2 * OUT,
                                   .o = memory + 3 * OUT};
    CHECK(clfavor_reference_attention(estimator, &args));
    for (int t = 0; t < N; ++t) {
        double sum = 0;
        for (int i = 0; i < WIDTH; ++i)
            sum += args.o[(i / D * N + t) * D + i % D];
        sums[t] = (float)sum;
    }
    free(memory);
}

int main(void) {
    example e = example_open();
    const char *text = source;
    char options[32];
    snprintf(options, sizeof options, "-DWIDTH=%d", WIDTH);
    cl_int code;
    cl_program program = clCreateProgramWithSource(e.cl, 1, &text, NULL, &code);
    CHECK_CL(code);
    CHECK_CL(clBuildProgram(program, 1, &e.device, options, NULL, NULL));
    cl_kernel produce = make_kernel(program, "produce"), consume = make_kernel(program, "consume");

    /* O is a sub-buffer, behind as much as the device wants a sub-buffer aligned to. */
    cl_uint bits;
    CHECK_CL(clGetDeviceInfo(e.device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof bits, &bits, NULL));
    cl_buffer_region region = {.origin = bits / 8, .size = OUT * sizeof(float)};
    cl_mem qkv = example_buffer(&e, N * TOKEN, NULL), sums = example_buffer(&e, N, NULL);
    cl_mem activations = example_buffer(&e, OUT + bits / 32, NULL);
    cl_mem o = clCreateSubBuffer(activations, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    CHECK_CL(code);
    CHECK_CL(clSetKernelArg(produce, 0, sizeof qkv, &qkv));
    CHECK_CL(clSetKernelArg(consume, 0, sizeof o, &o));
    CHECK_CL(clSetKernelArg(consume, 1, sizeof sums, &sums));

    clfavor_plan *plan;
    clfavor_estimator *estimator;
    clfavor_weights *weights = make_weights(&e, &estimator);
    clfavor_plan_desc desc = {.struct_size = sizeof desc, .features = M, .dim = D, .max_heads = HEADS, .max_n = N};
    CHECK(clfavor_plan_create(&plan, e.context, &desc));
    clfavor_attention_args args = {.struct_size = sizeof args, .weights = weights, .heads = HEADS, .n = N};
    args.q = part_of(qkv, 0);
    args.k = part_of(qkv, 1);
    args.v = part_of(qkv, 2);
    args.o = (clfavor_tensor){.buffer = o, .stride_head = D, .stride_token = WIDTH}; /* [n, H, d] */
    args.workspace = example_workspace(&e, plan);

    launch(&e, produce, N * TOKEN);
    CHECK(clfavor_enqueue_attention(plan, &args, e.queue, 0, NULL, NULL));
    launch(&e, consume, N);

    static float inputs[N * TOKEN], result[N], expected[N];
    example_read(e.queue, sums, N, result);
    example_read(e.queue, qkv, N * TOKEN, inputs);
    expect(estimator, inputs, expected);
    double error = example_error(result, expected, N);
    printf("sums of %d rows that the other program's kernel read: relative difference from double %.1e\n", N, error);

    clfavor_plan_destroy(plan);
    clfavor_weights_destroy(weights);
    clfavor_estimator_destroy(estimator);
    cl_mem buffers[] = {args.workspace, o, activations, qkv, sums};
    for (int b = 0; b < 5; ++b)
        example_release(buffers[b]);
    CHECK_CL(clReleaseKernel(produce));
    CHECK_CL(clReleaseKernel(consume));
    CHECK_CL(clReleaseProgram(program));
    example_close(&e);
    return !(error < 1e-4);
}
