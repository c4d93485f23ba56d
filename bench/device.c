#include "device.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool bench_fail(bench_device *d, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(d->error, BENCH_ERROR, format, values);
    va_end(values);
    return false;
}

bool bench_check(bench_device *d, clfavor_status status, const char *doing) {
    return status == CLFAVOR_SUCCESS ||
           bench_fail(d, "%s failed: %s (%s)", doing, clfavor_status_message(status), clfavor_status_name(status));
}

bool bench_check_cl(bench_device *d, cl_int code, const char *call) {
    return code == CL_SUCCESS || bench_fail(d, "%s failed with OpenCL code %d", call, (int)code);
}

bool bench_buffer(bench_device *d, cl_mem_flags flags, uint64_t bytes, cl_mem *out) {
    cl_int code = CL_INVALID_BUFFER_SIZE;
    *out = bytes <= SIZE_MAX ? clCreateBuffer(d->cl, flags, (size_t)bytes, NULL, &code) : NULL;
    return code == CL_SUCCESS ||
           bench_fail(d, "allocating %.1f MiB failed with OpenCL code %d", (double)bytes * 0x1p-20, (int)code);
}

void bench_release(cl_mem *buffer) {
    if (*buffer)
        clReleaseMemObject(*buffer);
    *buffer = NULL;
}

void *bench_alloc(bench_device *d, size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        bench_fail(d, "host memory is exhausted");
    return memory;
}

void bench_progress(const bench_device *d, double done, double total) {
    if (d->options->progress)
        d->options->progress(d->options->user, done, total);
}

void bench_note(const bench_device *d, const char *line) {
    if (d->options->note)
        d->options->note(d->options->user, line);
}

/* ------------------------------------------------------------------------------------------------------- device */

bool bench_device_open(bench_device *d, const bench_options *options, char error[BENCH_ERROR]) {
    *d = (bench_device){.options = options,
                        .cl = options->cl,
                        .id = options->device,
                        .queue = options->queue,
                        .context = options->context,
                        .info.struct_size = sizeof d->info,
                        .error = error};
    cl_device_type type = 0;
    cl_ulong allocation = 0, memory = 0, cache = 0;
    bool good = bench_check(d, clfavor_context_get_info(d->context, &d->info), "asking for the device");
#define QUERY(name, variable)                                                                                          \
    good = good &&                                                                                                     \
           bench_check_cl(d, clGetDeviceInfo(d->id, name, sizeof(variable), &(variable), NULL), "clGetDeviceInfo")
    QUERY(CL_DEVICE_TYPE, type);
    QUERY(CL_DEVICE_MAX_MEM_ALLOC_SIZE, allocation);
    QUERY(CL_DEVICE_GLOBAL_MEM_SIZE, memory);
    QUERY(CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, cache);
    QUERY(CL_DEVICE_MAX_WORK_GROUP_SIZE, d->max_group);
#undef QUERY
    d->cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    d->max_allocation = allocation;
    d->global_memory = memory;
    d->cache = cache;
    return good;
}

static void query_text(cl_device_id device, cl_device_info name, char text[BENCH_TEXT]) {
    char buffer[1024] = "";
    if (clGetDeviceInfo(device, name, sizeof buffer, buffer, NULL) != CL_SUCCESS)
        buffer[0] = '\0';
    buffer[sizeof buffer - 1] = '\0';
    snprintf(text, BENCH_TEXT, "%.*s", BENCH_TEXT - 1, buffer + strspn(buffer, " "));
}

void bench_device_describe(const bench_device *d, bench_result *result) {
    query_text(d->id, CL_DEVICE_NAME, result->device);
    query_text(d->id, CL_DRIVER_VERSION, result->driver);
    cl_platform_id platform;
    if (clGetDeviceInfo(d->id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) != CL_SUCCESS ||
        clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof result->platform, result->platform, NULL) != CL_SUCCESS)
        result->platform[0] = '\0';
    snprintf(result->version, sizeof result->version, "%s", clfavor_version_string());
    snprintf(result->device_class, sizeof result->device_class, "%s",
             d->info.device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu");
    result->compute_units = d->info.compute_units;
    result->vector_width = d->info.vector_width;
}

/* ------------------------------------------------------------------------------------------------------ samples */

static double seconds_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_now(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double bench_cpu_seconds(void) {
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

bool bench_samples_add(bench_device *d, bench_samples *samples, double value) {
    if (samples->count == samples->room) {
        size_t room = samples->room ? 2 * samples->room : 32;
        double *grown = realloc(samples->values, room * sizeof *grown);
        if (!grown)
            return bench_fail(d, "host memory is exhausted");
        samples->values = grown;
        samples->room = room;
    }
    samples->values[samples->count++] = value;
    return true;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static bench_spread spread(bench_samples *s, bool largest) {
    if (s->count == 0)
        return (bench_spread){NAN, NAN};
    qsort(s->values, s->count, sizeof *s->values, compare);
    return (bench_spread){s->values[largest ? s->count - 1 : 0],
                          0.5 * (s->values[s->count / 2] + s->values[(s->count - 1) / 2])};
}

bench_spread bench_times(bench_samples *samples) {
    return spread(samples, false);
}

bench_spread bench_rates(bench_samples *samples) {
    return spread(samples, true);
}

void bench_samples_free(bench_samples *samples) {
    free(samples->values);
    *samples = (bench_samples){NULL, 0, 0};
}
