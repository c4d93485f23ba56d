#include "tensor_io.h"

#include <stdint.h>
#include <stdlib.h>

#include "message.h"
#include "progress.h"

#define BLOCK ((size_t)1 << 22) /* floats: 16 MiB */

static bool use_in_place(const session *s, const npy_array *array) {
    return s->device.type & CL_DEVICE_TYPE_CPU && array->dtype == NPY_F32 &&
           (uintptr_t)array->data % sizeof(float) == 0;
}

int tensor_upload(const session *s, const npy_array *array, const char *what, cl_mem *out) {
    uint64_t bytes = array->count * sizeof(float);
    if (use_in_place(s, array))
        return session_buffer(s, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, bytes, (void *)(uintptr_t)array->data, what,
                              out);
    int status = session_buffer(s, CL_MEM_READ_ONLY, bytes, NULL, what, out);
    float *block = status ? NULL : malloc(BLOCK * sizeof *block);
    if (!status && !block)
        status = cli_error(CLI_FAILED, "host memory is exhausted");
    progress p;
    progress_start(&p, "reading", "values", array->count);
    cl_int code = CL_SUCCESS;
    for (uint64_t first = 0; !status && code == CL_SUCCESS && first < array->count; first += BLOCK) {
        size_t count = array->count - first < BLOCK ? (size_t)(array->count - first) : BLOCK;
        npy_read_f32(array, first, count, block);
        code = clEnqueueWriteBuffer(s->queue, *out, CL_TRUE, (size_t)first * sizeof *block, count * sizeof *block,
                                    block, 0, NULL, NULL);
        progress_add(&p, count);
    }
    progress_stop(&p);
    free(block);
    return status ? status : session_check_cl(code, "copying an input to the device");
}

typedef int (*block_fn)(void *user, const float *block, size_t count);

static int read_blocks(const session *s, cl_mem buffer, uint64_t count, const char *label, block_fn take, void *user) {
    float *block = malloc((count < BLOCK ? (size_t)count : BLOCK) * sizeof *block);
    if (!block)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    progress p;
    progress_start(&p, label, "values", count);
    int status = CLI_OK;
    cl_int code = CL_SUCCESS;
    for (uint64_t first = 0; !status && first < count; first += BLOCK) {
        size_t size = count - first < BLOCK ? (size_t)(count - first) : BLOCK;
        code = clEnqueueReadBuffer(s->queue, buffer, CL_TRUE, (size_t)first * sizeof *block, size * sizeof *block,
                                   block, 0, NULL, NULL);
        if (code != CL_SUCCESS)
            break;
        status = take(user, block, size);
        progress_add(&p, size);
    }
    progress_stop(&p);
    free(block);
    return status ? status : session_check_cl(code, "copying a result from the device");
}

static int write_block(void *user, const float *block, size_t count) {
    char error[OUTFILE_ERROR];
    return outfile_write(user, block, count * sizeof *block, error) ? CLI_OK : cli_error(CLI_FAILED, "%s", error);
}

int tensor_download(const session *s, cl_mem buffer, uint64_t count, outfile *file) {
    return read_blocks(s, buffer, count, "writing", write_block, file);
}

static int count_block(void *user, const float *block, size_t count) {
    uint64_t *found = user;
    for (size_t i = 0; i < count; ++i)
        *found += !(block[i] > 0);
    return CLI_OK;
}

int tensor_count_not_positive(const session *s, cl_mem buffer, uint64_t count, uint64_t *found) {
    *found = 0;
    return read_blocks(s, buffer, count, "checking", count_block, found);
}
