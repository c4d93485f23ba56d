/* Arrays to the device and back, in blocks. */
#ifndef CLI_TENSOR_IO_H
#define CLI_TENSOR_IO_H

#include "npy.h"
#include "session.h"

/* A read-only float32 buffer with the array's values. On a CPU a float32 file is used where it is mapped, without a
 * copy: it must stay open as long as the buffer. what: "q" and the like. Returns CLI_OK or an error that was printed.
 */
int tensor_upload(const session *s, const npy_array *array, const char *what, cl_mem *out);

/* Writes count floats of the buffer to the file. */
int tensor_download(const session *s, cl_mem buffer, uint64_t count, outfile *file);

/* How many of count floats are not above 0, NaN included. */
int tensor_count_not_positive(const session *s, cl_mem buffer, uint64_t count, uint64_t *found);

#endif
