/* The arrays of a run: opened, and their shapes checked against each other. */
#ifndef CLI_INPUTS_H
#define CLI_INPUTS_H

#include "npy.h"
#include "session.h"

/* [batch, heads, n, last] of an array with 2 to 4 axes. */
typedef struct array_axes {
    uint64_t batch, heads, n;
    uint32_t last;
} array_axes;

typedef struct run_shape {
    uint64_t batch, heads, heads_kv, n, n_k;
    uint32_t d, dv;
} run_shape;

/* Opens the file of option --name and checks what holds for each by itself: 2 to 4 axes, the last of 1 to 256. Returns
 * CLI_OK or an error that was printed. */
int inputs_open(npy_array *array, array_axes *axes, const char *name, const char *path);
/* Says so if the array is there and is rounded to float32. */
void inputs_note(const npy_array *array, const char *name);
/* Checks q, k and v against each other. */
int inputs_shape(run_shape *shape, const npy_array arrays[3], const array_axes axes[3], bool causal);

/* Both for q, k and v. */
int inputs_open_all(npy_array arrays[3], run_shape *shape, const char *const paths[3], bool causal);
extern const char *const inputs_names[3];

/* Refuses two outputs, or an output and an input, that are one file. NULL paths are skipped. */
int inputs_check_paths(const char *const *outputs, size_t output_count, const char *const *inputs, size_t input_count);

#endif
