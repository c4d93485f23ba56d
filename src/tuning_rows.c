/* The tuning database that is shipped. Rows of `clfavor tune`, and such as follow from what a kind of device is. */
#include "tuning.h"

#define ROW(vendor_, architecture_, device_, ...)                                                                      \
    {                                                                                                                  \
        .struct_size = sizeof(clfavor_tuning), .vendor = vendor_, .architecture = architecture_, .device = device_,    \
        .device_class = CLFAVOR_CLASS_GPU, __VA_ARGS__                                                                 \
    }
#define SIZES(group_, rows_, features_, columns_, step_)                                                               \
    .group = group_, .rows = rows_, .features = features_, .columns = columns_, .step = step_

const clfavor_tuning clfavor_tuning_rows[] = {
    /* A CPU that is made to run the gpu class, for tests: small tiles, since its compiler takes long. */
    ROW(NULL, "cpu", NULL, .backend = CLFAVOR_BACKEND_FUSED, SIZES(64, 32, 32, 32, 8), .chunk = 128),
    /* Intel: the same in smaller steps; with longer ones the compiler runs out of registers. */
    ROW("intel", NULL, NULL, .backend = CLFAVOR_BACKEND_FUSED, SIZES(256, 64, 64, 64, 8), .chunk = 256),
    /* The default: 64 x 64 tiles, 4 x 4 a work-item, 28 KB of local memory, which every full-profile device has. */
    ROW(NULL, NULL, NULL, .backend = CLFAVOR_BACKEND_FUSED, SIZES(256, 64, 64, 64, 16), .chunk = 256,
        .causal_chunk = 32),
};
const size_t clfavor_tuning_row_count = sizeof clfavor_tuning_rows / sizeof *clfavor_tuning_rows;

const clfavor_tuning clfavor_tuning_small =
    ROW(NULL, NULL, NULL, .backend = CLFAVOR_BACKEND_FUSED, SIZES(64, 32, 32, 32, 8), .chunk = 256, .causal_chunk = 32);
