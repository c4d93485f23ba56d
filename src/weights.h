/* An estimator packed for the kernels of one context. */
#ifndef CLFAVOR_WEIGHTS_H
#define CLFAVOR_WEIGHTS_H

#include "../kernels/types.h"
#include "context.h"
#include "estimator.h"

struct clfavor_weights {
    clfavor_context *context;
    clfavor_family family;
    clfavor_map map;
    uint32_t m, rows, features, dim, sets;
    bool general;
    float scale;     /* softmax scale */
    float log2_norm; /* log2 of the factor on the product of two features */
    clfavor_weights_layout layout;
    size_t size; /* floats */
    cl_mem buffer;
};

/* Rows rounded up to whole panels. */
uint32_t clfavor_padded_rows(const clfavor_context *context, uint32_t rows);

#endif
