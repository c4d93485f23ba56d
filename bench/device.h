/* The device that is measured, errors, the clock, and samples. */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include "bench.h"

typedef struct bench_device {
    const bench_options *options;
    cl_context cl;
    cl_device_id id;
    cl_command_queue queue;
    clfavor_context *context;
    clfavor_context_info info;
    bool cpu;                                      /* the device's type, whatever the class of kernels */
    uint64_t max_allocation, global_memory, cache; /* bytes */
    size_t max_group;
    char *error; /* of BENCH_ERROR bytes */
} bench_device;

bool bench_device_open(bench_device *d, const bench_options *options, char error[BENCH_ERROR]);
void bench_device_describe(const bench_device *d, bench_result *result);

/* Each returns false after setting error; bench_fail always. */
bool bench_fail(bench_device *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool bench_check(bench_device *d, clfavor_status status, const char *doing);
bool bench_check_cl(bench_device *d, cl_int code, const char *call);
bool bench_buffer(bench_device *d, cl_mem_flags flags, uint64_t bytes, cl_mem *out);
void bench_release(cl_mem *buffer);
void *bench_alloc(bench_device *d, size_t count, size_t size); /* zeroed; NULL for false */

void bench_progress(const bench_device *d, double done, double total);
void bench_note(const bench_device *d, const char *line);

double bench_now(void);         /* s, monotonic */
double bench_cpu_seconds(void); /* of all threads of the process */

typedef struct bench_samples {
    double *values;
    size_t count, room;
} bench_samples;

bool bench_samples_add(bench_device *d, bench_samples *samples, double value);
bench_spread bench_times(bench_samples *samples); /* sorts them */
bench_spread bench_rates(bench_samples *samples);
void bench_samples_free(bench_samples *samples);

#endif
