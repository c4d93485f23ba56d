/* What is chosen by predicted errors before a run: M (--target-error), T (--exact-keys auto), the draws (--best-of). */
#ifndef CLI_CHOOSE_H
#define CLI_CHOOSE_H

#include "fitting.h"

/* Parts of a run, which are changed: options, fitting and projection become those that were chosen; the buffers of q, k
 * and v are made where they are NULL. */
typedef struct chooser {
    options *options;
    const session *session;
    const run_shape *shape;
    const npy_array *arrays; /* q, k, v */
    cl_mem *buffers;         /* of these */
    fitting *fitting;
    projection_source *projection;
    double predicted_error; /* of --target-error, written */
} chooser;

/* Returns CLI_OK or an error that was printed. */
int choose(chooser *c);

#endif
