/* NumPy's .npz archives: zip files of .npy arrays, whole in memory. Written without compression and with the same bytes
 * for the same arrays; read as numpy.savez and numpy.savez_compressed write them. */
#ifndef CLI_NPZ_H
#define CLI_NPZ_H

#include "npy.h"

#define NPZ_MAX_BYTES   ((uint64_t)1 << 30) /* of all entries together, uncompressed */
#define NPZ_MAX_ENTRIES 4096u

typedef enum npz_type { NPZ_F64, NPZ_U64 } npz_type; /* '<f8' and '<u8', 8 bytes both */

typedef struct npz_array {
    const char *name; /* without the .npy that the archive adds */
    npz_type type;
    unsigned rank; /* 0: a single number */
    uint64_t shape[NPY_MAX_RANK];
    const void *data; /* C order */
} npz_array;

typedef struct npz {
    npz_array *arrays; /* in the archive's order */
    size_t count;
} npz;

/* Writes a whole archive of at least one array; opening, committing and, on failure too, discarding are the caller's.
 */
bool npz_write(outfile *file, const npz_array *arrays, size_t count, char error[NPY_ERROR]);

/* Loads every entry; float32 becomes float64, and int64, int32 and uint32 that are not negative become uint64. On
 * failure false, nothing is left to be freed, and error says what was expected and what came. */
bool npz_read(npz *out, const char *path, char error[NPY_ERROR]);
/* NULL: there is none of that name. */
const npz_array *npz_find(const npz *in, const char *name);
void npz_free(npz *in);

/* XXH3 (64 bits, seed 0) of the arrays in this order: names, types, shapes and bytes. */
uint64_t npz_checksum(const npz_array *arrays, size_t count);

#endif
