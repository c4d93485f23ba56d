/* A fitted estimator as .npz: arrays with names, a format version and a checksum. */
#ifndef CLI_ESTIMATOR_FILE_H
#define CLI_ESTIMATOR_FILE_H

#include <clfavor/clfavor.h>

#include "npz.h"

#define ESTIMATOR_FORMAT 1u

typedef struct estimator_file {
    npz archive;
    uint32_t total, exact; /* M and T of the fit */
    bool projection_given; /* `fit' was told the projection; else it follows the number of features of the run */
    bool exact_given;      /* `fit' was told T, so that it holds for other data too */
    clfavor_fit_method method;
    clfavor_projection_kind projection;
    uint64_t seed;
    uint32_t dim;
    clfavor_sderf_desc sderf;     /* for T exact keys; points into the archive */
    clfavor_sderf_desc sderf_all; /* where none is exact: of all pairs */
} estimator_file;

/* On failure false, and error says what was expected and what came. */
bool estimator_file_read(estimator_file *file, const char *path, char error[NPY_ERROR]);
void estimator_file_close(estimator_file *file);

/* Writes what file and info hold through an open outfile. */
bool estimator_file_write(outfile *out, const estimator_file *file, const clfavor_fit_info *info,
                          char error[NPY_ERROR]);

#endif
