/* NumPy's .npy format (versions 1 to 3): little-endian, C-ordered f2, f4 and f8 arrays, mapped for reading and streamed
 * for writing. */
#ifndef CLI_NPY_H
#define CLI_NPY_H

#include <stdint.h>

#include "outfile.h"

#define NPY_ERROR    OUTFILE_ERROR
#define NPY_MAX_RANK 8u

typedef enum npy_dtype { NPY_F16 = 2, NPY_F32 = 4, NPY_F64 = 8 } npy_dtype; /* the value is the size in bytes */

typedef struct npy_array {
    npy_dtype dtype;
    unsigned rank;
    uint64_t shape[NPY_MAX_RANK];
    uint64_t count;   /* elements, at least 1 */
    const char *data; /* any alignment: read it through npy_read_* or memcpy */
    void *map;
    size_t map_size;
} npy_array;

/* Maps the file. The pages are private and writable, so that an OpenCL runtime may use them as a buffer. On failure
 * false, and error says what was expected and what came. */
bool npy_open(npy_array *array, const char *path, char error[NPY_ERROR]);
void npy_close(npy_array *array);

/* Elements first .. first + count - 1; float64 is rounded to nearest. */
void npy_read_f32(const npy_array *array, uint64_t first, size_t count, float *out);
/* The same without rounding. */
void npy_read_f64(const npy_array *array, uint64_t first, size_t count, double *out);

/* Opens the output and writes the header; the data follow through outfile_write. dtype: NPY_F32 or NPY_F64. */
bool npy_create(outfile *file, const char *path, npy_dtype dtype, unsigned rank, const uint64_t *shape,
                char error[NPY_ERROR]);

/* --- parts that npz.c uses too; `path` stands in the errors --- */

#define NPY_HEADER 256u /* bytes that a header written here takes at most */

typedef struct npy_header {
    char descr[16];
    bool fortran;
    unsigned rank;
    uint64_t shape[NPY_MAX_RANK];
    size_t start; /* of the data, in bytes */
} npy_header;

/* Reads the header of the .npy file in bytes [0, size). */
bool npy_parse(npy_header *header, const void *bytes, size_t size, const char *path, char error[NPY_ERROR]);
/* Whether the order is C's and the shape, at `item` bytes an element, takes exactly what follows the header. */
bool npy_check(const npy_header *header, size_t size, unsigned item, uint64_t *count, const char *path,
               char error[NPY_ERROR]);
/* The elements of a shape; refuses axes of length 0 and more bytes than 64 bits count. */
bool npy_count(unsigned rank, const uint64_t *shape, unsigned item, uint64_t *count, const char *path,
               char error[NPY_ERROR]);
/* The header of a C-ordered array, ended at a multiple of 64 bytes; returns its size. descr: "<f8" or its like. */
size_t npy_format(unsigned char header[NPY_HEADER], const char *descr, unsigned rank, const uint64_t *shape);
/* A descriptor of a regular file, opened for reading; -1 on failure. */
int npy_open_regular(const char *path, uint64_t *size, char error[NPY_ERROR]);
/* Writes "'path' " and the text into error, without control characters; returns false. */
__attribute__((format(printf, 3, 4))) bool npy_reject(char error[NPY_ERROR], const char *path, const char *format, ...);

/* "3 x 4 x 5" in static storage that the next call but three reuses. */
const char *npy_shape_text(unsigned rank, const uint64_t *shape);

#endif
