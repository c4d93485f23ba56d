/* What the examples share: checked calls, a device with its queue, and normal numbers that are the same everywhere. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <clfavor/clfavor.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One for the codes of OpenCL, one for those of the library: both end the program with the call's text. */
#define CHECK_CL(call) example_check((call), #call, NULL)
#define CHECK(call)    example_check_status((call), #call)

static inline void example_check(cl_int code, const char *call, const char *why) {
    if (code == CL_SUCCESS)
        return;
    fprintf(stderr, "%s: %s (%d)\n", call, why ? why : "OpenCL error", (int)code);
    exit(EXIT_FAILURE);
}

static inline void example_check_status(clfavor_status status, const char *call) {
    example_check(status, call, clfavor_status_message(status));
}

typedef struct example {
    cl_device_id device;
    cl_context cl;
    cl_command_queue queue; /* in order */
    clfavor_context *context;
} example;

static void example_log(void *user, clfavor_log_level level, const char *message) {
    (void)user;
    if (level < CLFAVOR_LOG_INFO)
        fprintf(stderr, "%s\n", message);
}

/* The first device whose name has $CLFAVOR_TEST_DEVICE in it, or the first of all. */
static inline cl_device_id example_device(void) {
    const char *wanted = getenv("CLFAVOR_TEST_DEVICE");
    cl_platform_id platforms[16];
    cl_uint platform_count = 0;
    CHECK_CL(clGetPlatformIDs(16, platforms, &platform_count));
    for (cl_uint p = 0; p < platform_count && p < 16; ++p) {
        cl_device_id devices[16];
        cl_uint count = 0;
        if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 16, devices, &count)) /* a platform without devices */
            continue;
        char names[2][256] = {"", ""};
        CHECK_CL(clGetPlatformInfo(platforms[p], CL_PLATFORM_NAME, sizeof names[0], names[0], NULL));
        for (cl_uint d = 0; d < count && d < 16; ++d) {
            CHECK_CL(clGetDeviceInfo(devices[d], CL_DEVICE_NAME, sizeof names[1], names[1], NULL));
            if (!wanted || strstr(names[0], wanted) || strstr(names[1], wanted))
                return devices[d];
        }
    }
    example_check(CL_DEVICE_NOT_FOUND, "example_device", "no such device");
    return NULL;
}

static inline example example_open(void) {
    example e = {.device = example_device()};
    cl_int code;
    e.cl = clCreateContext(NULL, 1, &e.device, NULL, NULL, &code);
    CHECK_CL(code);
    e.queue = clCreateCommandQueue(e.cl, e.device, 0, &code);
    CHECK_CL(code);
    clfavor_context_desc desc = {.struct_size = sizeof desc, .context = e.cl, .device = e.device, .log = example_log};
    CHECK(clfavor_context_create(&e.context, &desc));
    return e;
}

static inline void example_close(example *e) {
    clfavor_context_destroy(e->context);
    CHECK_CL(clReleaseCommandQueue(e->queue));
    CHECK_CL(clReleaseContext(e->cl));
}

/* A buffer of `count` floats that holds `data` (NULL: nothing yet). */
static inline cl_mem example_buffer(const example *e, size_t count, const float *data) {
    cl_int code;
    cl_mem_flags flags = CL_MEM_READ_WRITE | (data ? CL_MEM_COPY_HOST_PTR : 0);
    cl_mem buffer = clCreateBuffer(e->cl, flags, count * sizeof *data, (void *)(size_t)data, &code);
    CHECK_CL(code);
    return buffer;
}

/* A plan's workspace; NULL, as the library allows, for a plan that needs none. */
static inline cl_mem example_workspace(const example *e, const clfavor_plan *plan) {
    clfavor_plan_info info = {.struct_size = sizeof info};
    CHECK(clfavor_plan_get_info(plan, &info));
    return info.workspace_size ? example_buffer(e, (info.workspace_size + 3) / sizeof(float), NULL) : NULL;
}

static inline void example_release(cl_mem buffer) {
    if (buffer)
        CHECK_CL(clReleaseMemObject(buffer));
}

static inline void example_read(cl_command_queue queue, cl_mem buffer, size_t count, float *data) {
    CHECK_CL(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, count * sizeof *data, data, 0, NULL, NULL));
}

/* `count` floats (an even number) N(0, sigma^2), by the library's own generator. The caller frees them. */
static inline float *example_normal(size_t count, uint32_t seed, double sigma) {
    float *x = malloc(count * sizeof *x);
    if (!x)
        exit(EXIT_FAILURE);
    for (size_t i = 0; i < count; ++i) {
        const uint32_t counter[4] = {(uint32_t)(i / 2), 0, 0, 0}, key[2] = {seed, 0};
        uint32_t block[4];
        double pair[2];
        clfavor_philox4x32(counter, key, block);
        clfavor_normal_pair(block, pair);
        x[i] = (float)(sigma * pair[i % 2]);
    }
    return x;
}

/* |a - b| / |b| */
static inline double example_error(const float *a, const float *b, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; ++i) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / norm);
}

#endif
