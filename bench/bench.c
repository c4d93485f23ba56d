/* Time of linear attention beside the device's FMA peak, measured in turns in one run: the machines are shared and
 * noisy, and a ratio of best times holds where a time does not.
 *
 * Usage: clfavor_bench [H n d m [repeats]]. Prints one `key: value` line a figure. Useful flops are 8 d m a token and
 * head (two projections, state update, output; dv = d); padding and the work inside a causal chunk do not count. */
#include <clfavor/clfavor.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef BENCH_KERNELS
#define BENCH_KERNELS "bench"
#endif

enum { GROUPS = 64, CHAINS = 12 };

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        int code_ = (int)(call);                                                                                       \
        if (code_) {                                                                                                   \
            fprintf(stderr, "clfavor_bench: %s failed with %d\n", #call, code_);                                       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

typedef struct bench {
    cl_device_id device;
    cl_context cl;
    cl_command_queue queue;
    clfavor_context *context;
    cl_mem q, k, v, o, workspace, peak_buffer;
    cl_kernel peak;
    uint32_t lanes;
    uint64_t heads, n;
    uint32_t dim, features;
} bench;

static double now(void) {
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void log_line(void *user, clfavor_log_level level, const char *message) {
    (void)user;
    if (level == CLFAVOR_LOG_ERROR)
        fprintf(stderr, "clfavor_bench: %s\n", message);
}

static void open_device(bench *b) {
    cl_platform_id platforms[16];
    cl_uint count = 0;
    TRY(clGetPlatformIDs(16, platforms, &count));
    const char *wanted = getenv("CLFAVOR_DEVICE");
    for (cl_uint p = 0; p < count && p < 16 && !b->device; ++p) {
        char name[256] = "";
        cl_device_id device;
        if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 1, &device, NULL) == CL_SUCCESS &&
            clGetPlatformInfo(platforms[p], CL_PLATFORM_NAME, sizeof name, name, NULL) == CL_SUCCESS &&
            (!wanted || strstr(name, wanted)))
            b->device = device;
    }
    if (!b->device) {
        fprintf(stderr, "clfavor_bench: no OpenCL device (CLFAVOR_DEVICE: part of a platform's name)\n");
        exit(3);
    }
    cl_int code;
    b->cl = clCreateContext(NULL, 1, &b->device, NULL, NULL, &code);
    TRY(code);
    b->queue = clCreateCommandQueue(b->cl, b->device, 0, &code);
    TRY(code);
    clfavor_context_desc desc = {.struct_size = sizeof desc, .context = b->cl, .device = b->device, .log = log_line};
    TRY(clfavor_context_create(&b->context, &desc));
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1 << 16);
    if (!file || !text || !fread(text, 1, (1 << 16) - 1, file)) {
        fprintf(stderr, "clfavor_bench: %s cannot be read\n", path);
        exit(1);
    }
    fclose(file);
    return text;
}

static void make_peak(bench *b) {
    clfavor_context_info info = {.struct_size = sizeof info};
    TRY(clfavor_context_get_info(b->context, &info));
    b->lanes = info.device_class == CLFAVOR_CLASS_CPU ? info.vector_width : 4;
    char options[64], *text = read_file(BENCH_KERNELS "/peak.cl");
    const char *source = text;
    snprintf(options, sizeof options, "-DVL=%u -DCHAINS=%d", b->lanes, CHAINS);
    cl_int code;
    cl_program program = clCreateProgramWithSource(b->cl, 1, &source, NULL, &code);
    TRY(code);
    TRY(clBuildProgram(program, 1, &b->device, options, NULL, NULL));
    b->peak = clCreateKernel(program, "peak", &code);
    TRY(code);
    clReleaseProgram(program);
    free(text);
    size_t count = 64 + GROUPS * 16;
    float *start = calloc(count, sizeof *start);
    for (size_t i = 0; start && i < count; ++i)
        start[i] = i == 0 ? 0.999F : 1e-3F;
    b->peak_buffer =
        clCreateBuffer(b->cl, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, count * sizeof *start, start, &code);
    TRY(code);
    free(start);
}

/* Flops a second of one launch of at least 6 ms: shorter ones understate the peak. */
static double run_peak(bench *b) {
    static cl_uint rounds = 20000;
    for (;;) {
        TRY(clSetKernelArg(b->peak, 0, sizeof b->peak_buffer, &b->peak_buffer));
        TRY(clSetKernelArg(b->peak, 1, sizeof rounds, &rounds));
        size_t global = GROUPS, local = 1;
        double start = now();
        TRY(clEnqueueNDRangeKernel(b->queue, b->peak, 1, NULL, &global, &local, 0, NULL, NULL));
        TRY(clFinish(b->queue));
        double seconds = now() - start;
        if (seconds >= 6e-3)
            return 2.0 * CHAINS * b->lanes * GROUPS * rounds / seconds;
        rounds *= 2;
    }
}

static cl_mem make_buffer(const bench *b, size_t count, unsigned seed) {
    float *values = malloc(count * sizeof *values);
    if (!values)
        exit(1);
    for (size_t i = 0; i < count; ++i) { /* a cheap generator: the values hardly matter here */
        seed = seed * 1664525U + 1013904223U;
        values[i] = (float)(seed >> 8) * 0x1p-23F - 1.0F;
    }
    cl_int code;
    cl_mem buffer =
        clCreateBuffer(b->cl, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, count * sizeof *values, values, &code);
    TRY(code);
    free(values);
    return buffer;
}

static clfavor_estimator *draw(const bench *b, uint64_t seed) {
    clfavor_projection_desc desc = {.struct_size = sizeof desc, .features = b->features, .dim = b->dim, .seed = seed};
    clfavor_projection *projection;
    clfavor_estimator *estimator;
    TRY(clfavor_projection_create(&projection, &desc));
    clfavor_estimator_desc estimator_desc = {.struct_size = sizeof estimator_desc, .projection = projection};
    TRY(clfavor_estimator_create(&estimator, &estimator_desc));
    clfavor_projection_destroy(projection);
    return estimator;
}

static clfavor_plan *make_plan(const bench *b, uint32_t causal, double *seconds) {
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .features = b->features,
                              .dim = b->dim,
                              .causal = causal,
                              .max_heads = b->heads,
                              .max_n = b->n};
    clfavor_plan *plan;
    double start = now();
    TRY(clfavor_plan_create(&plan, b->context, &desc));
    *seconds = now() - start;
    return plan;
}

static double run_attention(const bench *b, clfavor_plan *plan, const clfavor_weights *weights) {
    clfavor_attention_args args = {.struct_size = sizeof args,
                                   .weights = weights,
                                   .heads = b->heads,
                                   .n = b->n,
                                   .q = clfavor_tensor_dense(b->q, b->heads, b->n, b->dim),
                                   .k = clfavor_tensor_dense(b->k, b->heads, b->n, b->dim),
                                   .v = clfavor_tensor_dense(b->v, b->heads, b->n, b->dim),
                                   .o = clfavor_tensor_dense(b->o, b->heads, b->n, b->dim),
                                   .workspace = b->workspace};
    double start = now();
    TRY(clfavor_enqueue_attention(plan, &args, b->queue, 0, NULL, NULL));
    TRY(clFinish(b->queue));
    return now() - start;
}

static double smaller(double a, double b) {
    return a < b ? a : b;
}

int main(int argc, char **argv) {
    bench b = {.heads = argc > 1 ? strtoull(argv[1], NULL, 10) : 8,
               .n = argc > 2 ? strtoull(argv[2], NULL, 10) : 4096,
               .dim = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 64,
               .features = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 256};
    int repeats = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 30;
    open_device(&b);
    size_t count = (size_t)(b.heads * b.n * b.dim), workspace = 0;
    b.q = make_buffer(&b, count, 1);
    b.k = make_buffer(&b, count, 2);
    b.v = make_buffer(&b, count, 3);
    b.o = make_buffer(&b, count, 4);
    make_peak(&b);

    clfavor_plan *plans[2];
    double cold[2], second[2];
    for (uint32_t causal = 0; causal < 2; ++causal) {
        clfavor_plan_info info = {.struct_size = sizeof info};
        plans[causal] = make_plan(&b, causal, &cold[causal]);
        clfavor_plan_destroy(make_plan(&b, causal, &second[causal]));
        TRY(clfavor_plan_get_info(plans[causal], &info));
        workspace = info.workspace_size > workspace ? info.workspace_size : workspace;
    }
    cl_int code;
    b.workspace = clCreateBuffer(b.cl, CL_MEM_READ_WRITE, workspace, NULL, &code);
    TRY(code);

    clfavor_weights *weights;
    clfavor_estimator *estimator = draw(&b, 0);
    TRY(clfavor_weights_create(&weights, b.context, estimator));
    clfavor_estimator_destroy(estimator);
    double drawing = INFINITY, update = INFINITY;
    for (int i = 0; i < repeats; ++i) {
        double start = now();
        estimator = draw(&b, (uint64_t)i);
        double drawn = now();
        TRY(clfavor_weights_update(weights, estimator, b.queue, 0, NULL));
        update = smaller(update, now() - drawn);
        drawing = smaller(drawing, drawn - start);
        clfavor_estimator_destroy(estimator);
    }

    double peak = 0.0, best[2] = {INFINITY, INFINITY};
    clock_t cpu_start = clock();
    double wall_start = now();
    for (int i = 0; i < repeats + 1; ++i) {
        double flops = run_peak(&b);
        peak = flops > peak ? flops : peak;
        for (int causal = 0; causal < 2; ++causal) {
            double seconds = run_attention(&b, plans[causal], weights);
            if (i > 0) /* the first launch may compile */
                best[causal] = smaller(best[causal], seconds);
        }
    }
    double cpu = (double)(clock() - cpu_start) / CLOCKS_PER_SEC / (now() - wall_start);

    printf("shape: H=%llu n=%llu d=%u m=%u\n", (unsigned long long)b.heads, (unsigned long long)b.n, b.dim, b.features);
    printf("peak_gflops: %.1f\n", peak * 1e-9);
    static const char *const names[] = {"bidirectional", "causal"};
    for (int causal = 0; causal < 2; ++causal) {
        double flops = 8.0 * b.dim * b.features * (double)(b.heads * b.n) / best[causal];
        printf("%s_us_per_token_and_head: %.3f\n", names[causal], best[causal] * 1e6 / (double)(b.heads * b.n));
        printf("%s_fraction_of_peak: %.3f\n", names[causal], flops / peak);
        printf("%s_plan_seconds_cold: %.3f\n", names[causal], cold[causal]);
        printf("%s_plan_seconds_second: %.6f\n", names[causal], second[causal]);
    }
    printf("draw_ms: %.3f\nupdate_ms: %.3f\n", drawing * 1e3, update * 1e3);
    printf("workspace_bytes: %zu\ncpu_over_wall: %.2f\n", workspace, cpu);

    clfavor_weights_destroy(weights);
    for (int causal = 0; causal < 2; ++causal)
        clfavor_plan_destroy(plans[causal]);
    clfavor_context_destroy(b.context);
    cl_mem buffers[] = {b.q, b.k, b.v, b.o, b.workspace, b.peak_buffer};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; ++i)
        clReleaseMemObject(buffers[i]);
    clReleaseKernel(b.peak);
    clReleaseCommandQueue(b.queue);
    clReleaseContext(b.cl);
    return 0;
}
