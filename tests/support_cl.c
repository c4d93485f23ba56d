#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PLATFORMS 16
#define MAX_DEVICES   64

/* Whether a device is the one that the person asked for. */
static bool is_wanted(cl_platform_id platform, cl_device_id device, const char *wanted) {
    char names[2][256] = {"", ""};
    clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof names[0], names[0], NULL);
    clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof names[1], names[1], NULL);
    return !wanted || strstr(names[0], wanted) || strstr(names[1], wanted);
}

static cl_device_id find_device(void) {
    const char *wanted = getenv("CLFAVOR_TEST_DEVICE");
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint platform_count = 0;
    clGetPlatformIDs(MAX_PLATFORMS, platforms, &platform_count);
    for (cl_uint p = 0; p < platform_count && p < MAX_PLATFORMS; ++p) {
        cl_device_id devices[MAX_DEVICES];
        cl_uint device_count = 0;
        clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, devices, &device_count);
        for (cl_uint d = 0; d < device_count && d < MAX_DEVICES; ++d)
            if (is_wanted(platforms[p], devices[d], wanted))
                return devices[d];
    }
    ck_abort_msg("no OpenCL device matches CLFAVOR_TEST_DEVICE=%s", wanted ? wanted : "(not set)");
    return NULL;
}

/* The row that makes AUTO the back end that the person asked for, if one was. */
static void choose_backend(test_device *device) {
    static const char *const names[] = {"fused", "staged", "clblast", "vector"}; /* fused with loads of 16 bytes */
    const char *wanted = getenv("CLFAVOR_TEST_BACKEND");
    device->row = (clfavor_tuning){.struct_size = sizeof device->row, .device = device->name};
    for (int i = 0; wanted && i < 4; ++i)
        if (!strcmp(wanted, names[i]))
            device->row.backend = i < 3 ? (clfavor_backend)(CLFAVOR_BACKEND_FUSED + i) : CLFAVOR_BACKEND_FUSED;
    device->row.vector = wanted && !strcmp(wanted, names[3]);
    clGetDeviceInfo(device->device, CL_DEVICE_NAME, sizeof device->name, device->name, NULL);
    ck_assert_msg(!wanted || device->row.backend, "CLFAVOR_TEST_BACKEND=%s is no back end", wanted);
}

void test_open(test_device *device) {
    memset(device, 0, sizeof *device);
    cl_int code;
    device->device = find_device();
    device->context = clCreateContext(NULL, 1, &device->device, NULL, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    device->queue = clCreateCommandQueue(device->context, device->device, CL_QUEUE_PROFILING_ENABLE, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    device->out_of_order =
        clCreateCommandQueue(device->context, device->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    if (code != CL_SUCCESS)
        device->out_of_order = NULL;
    ck_assert_int_eq(mtx_init(&device->lock, mtx_plain), thrd_success);
    choose_backend(device);
}

void test_close(test_device *device) {
    clReleaseCommandQueue(device->queue);
    if (device->out_of_order)
        clReleaseCommandQueue(device->out_of_order);
    clReleaseContext(device->context);
    mtx_destroy(&device->lock);
}

static void log_line(void *user, clfavor_log_level level, const char *message) {
    static const char *const names[] = {"?", "error", "warning", "info"};
    test_device *device = user;
    mtx_lock(&device->lock);
    size_t left = sizeof device->log - device->log_used;
    int length = snprintf(device->log + device->log_used, left, "%s %s\n", names[level], message);
    if (length > 0)
        device->log_used += (size_t)length < left ? (size_t)length : left - 1;
    mtx_unlock(&device->lock);
}

clfavor_context_desc test_context_desc(test_device *device, clfavor_device_class device_class) {
    return (clfavor_context_desc){.struct_size = sizeof(clfavor_context_desc),
                                  .context = device->context,
                                  .device = device->device,
                                  .device_class = device_class,
                                  .log = log_line,
                                  .log_user = device,
                                  .tuning = &device->row,
                                  .tuning_count = device->row.backend != CLFAVOR_BACKEND_AUTO};
}

clfavor_context *test_context(test_device *device, clfavor_device_class device_class) {
    clfavor_context *context;
    const clfavor_context_desc desc = test_context_desc(device, device_class);
    clfavor_status status = clfavor_context_create(&context, &desc);
    ck_assert_msg(!status, "%s; log: %s", clfavor_status_name(status), device->log);
    return context;
}

void test_log_clear(test_device *device) {
    mtx_lock(&device->lock);
    device->log_used = 0;
    device->log[0] = '\0';
    mtx_unlock(&device->lock);
}

bool test_logged(test_device *device, const char *text) {
    mtx_lock(&device->lock);
    bool found = strstr(device->log, text) != NULL;
    mtx_unlock(&device->lock);
    return found;
}

void test_refused(test_device *device, clfavor_status actual, clfavor_status expected, const char *text) {
    ck_assert_msg(actual == expected, "%s instead of %s (\"%s\"); log: %s", clfavor_status_name(actual),
                  clfavor_status_name(expected), text, device->log);
    size_t errors = 0;
    bool found = false;
    for (char *line = device->log, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        if (strncmp(line, "error ", 6) == 0) {
            ++errors;
            found |= strstr(line, text) != NULL;
        }
        *end = '\n';
    }
    ck_assert_msg(errors == 1 && found, "no single error with \"%s\" in the log: %s", text, device->log);
    test_log_clear(device);
}

test_buffer test_buffer_create(const test_device *device, const float *values, size_t count) {
    size_t guard = TEST_GUARD / sizeof(uint32_t);
    size_t words = count + 2 * guard;
    uint32_t *all = test_alloc(words, sizeof *all);
    for (size_t i = 0; i < words; ++i)
        all[i] = TEST_POISON;
    if (values)
        memcpy(all + guard, values, count * sizeof *values);
    cl_int code;
    test_buffer buffer = {.offset = TEST_GUARD, .count = count};
    buffer.mem =
        clCreateBuffer(device->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, words * sizeof *all, all, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    free(all);
    return buffer;
}

void test_buffer_write(const test_device *device, const test_buffer *buffer, const float *values) {
    cl_int code = clEnqueueWriteBuffer(device->queue, buffer->mem, CL_TRUE, buffer->offset,
                                       buffer->count * sizeof *values, values, 0, NULL, NULL);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(clFinish(device->queue), CL_SUCCESS); /* returned does not mean done, for other queues */
}

static void check_guard(const uint32_t *words, const char *where) {
    for (size_t i = 0; i < TEST_GUARD / sizeof *words; ++i)
        ck_assert_msg(words[i] == TEST_POISON, "guard %s the data: word %zu became %08x", where, i, words[i]);
}

float *test_buffer_read(const test_device *device, const test_buffer *buffer) {
    size_t guard = TEST_GUARD / sizeof(uint32_t);
    size_t words = buffer->count + 2 * guard;
    uint32_t *all = test_alloc(words, sizeof *all);
    ck_assert_int_eq(clFinish(device->queue), CL_SUCCESS);
    if (device->out_of_order)
        ck_assert_int_eq(clFinish(device->out_of_order), CL_SUCCESS);
    cl_int code = clEnqueueReadBuffer(device->queue, buffer->mem, CL_TRUE, 0, words * sizeof *all, all, 0, NULL, NULL);
    ck_assert_int_eq(code, CL_SUCCESS);
    check_guard(all, "before");
    check_guard(all + guard + buffer->count, "after");
    float *values = test_alloc(buffer->count, sizeof *values);
    memcpy(values, all + guard, buffer->count * sizeof *values);
    free(all);
    return values;
}

void test_buffer_release(test_buffer *buffer) {
    clReleaseMemObject(buffer->mem);
    buffer->mem = NULL;
}

clfavor_tensor test_tensor(const test_buffer *buffer, uint64_t heads, uint64_t n, uint64_t last) {
    clfavor_tensor tensor = clfavor_tensor_dense(buffer->mem, heads, n, last);
    tensor.offset = buffer->offset;
    return tensor;
}
