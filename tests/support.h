/* What the tests share: a runner, an OpenCL device with guarded buffers, seeded random numbers, one measure of error.
 * These functions fail the running test when something goes wrong. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <threads.h>

#include <clfavor/clfavor.h>

/* --- support.c --- */

/* For inner loops: Check takes a microsecond to note an assertion that holds. */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("expected %s", #condition);                                                                   \
    } while (0)

/* Runs the suite, without forking unless the environment variable CK_FORK is set; what main returns. */
int test_main(Suite *suite);
/* Zeroed memory; never NULL. */
void *test_alloc(size_t count, size_t size);
/* A new folder, whose name takes the place of path; and it goes with all that is in it. */
void test_folder_make(char path[64]);
void test_folder_remove(const char *path);
/* Frobenius norm of actual - expected over that of expected; 0 if both are 0. Anything not finite gives infinity. */
double test_error(const float *actual, const double *expected, size_t count);
/* The largest such error of `heads` heads of `count` values each. */
double test_worst_error(const float *actual, const double *expected, size_t heads, size_t count);

/* --- support_random.c: Philox, so the same everywhere --- */

/* The index-th number of a seed: uniform in [0, 1), standard normal. */
double test_uniform(uint64_t seed, uint64_t index);
double test_normal(uint64_t seed, uint64_t index);
/* `count` normal numbers times sigma, rounded to float; the caller frees them. */
float *test_normals(uint64_t seed, size_t count, double sigma);
/* The same values in double, for the reference; the caller frees them. */
double *test_doubles(const float *values, size_t count);

/* --- support_cl.c --- */

typedef struct test_device {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;        /* in order */
    cl_command_queue out_of_order; /* NULL where the device has none */
    mtx_t lock;
    char log[16384]; /* lines from contexts of test_context, oldest first, each "level message\n"; NUL-terminated */
    size_t log_used;
    clfavor_tuning row; /* for test_context, where CLFAVOR_TEST_BACKEND is set */
    char name[256];
} test_device;

/* The device whose name or platform contains the environment variable CLFAVOR_TEST_DEVICE, else the first there is. */
void test_open(test_device *device);
void test_close(test_device *device);
/* A context of this class that logs into device->log. */
clfavor_context *test_context(test_device *device, clfavor_device_class device_class);
/* What test_context makes its context from; for tests that change something. The environment variable
 * CLFAVOR_TEST_BACKEND (fused, staged, clblast) chooses what the gpu class's AUTO means, to run any test with it. */
clfavor_context_desc test_context_desc(test_device *device, clfavor_device_class device_class);
void test_log_clear(test_device *device);
bool test_logged(test_device *device, const char *text);
/* Fails unless the status is the expected failure and the log since the last clearing holds an error line with this
 * text, and no other error. Clears the log. */
void test_refused(test_device *device, clfavor_status actual, clfavor_status expected, const char *text);

/* A buffer of floats between guards. Everything that is not data is filled with poison, a NaN with a known payload. */
#define TEST_POISON 0xffc0deadu
#define TEST_GUARD  256 /* bytes */
typedef struct test_buffer {
    cl_mem mem;
    size_t offset; /* bytes; of the first float of data */
    size_t count;  /* floats */
} test_buffer;

/* Filled with poison when values is NULL. */
test_buffer test_buffer_create(const test_device *device, const float *values, size_t count);
void test_buffer_write(const test_device *device, const test_buffer *buffer, const float *values);
/* Reads all after finishing both queues, and fails if a guard changed. The caller frees the floats. */
float *test_buffer_read(const test_device *device, const test_buffer *buffer);
void test_buffer_release(test_buffer *buffer);
/* The dense tensor [batch, heads, n, last] of the buffer's data. */
clfavor_tensor test_tensor(const test_buffer *buffer, uint64_t heads, uint64_t n, uint64_t last);

#endif
