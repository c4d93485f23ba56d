/* Queries, keys and values, what a fit makes of them, and their moments in double. */
#ifndef VERIFY_FIT_DATA_H
#define VERIFY_FIT_DATA_H

#include "engine.h"

enum {
    VERIFY_FIT_DIM = 5,
    VERIFY_FIT_SQUARE = VERIFY_FIT_DIM * VERIFY_FIT_DIM,
    VERIFY_FIT_N = 120,
    VERIFY_FIT_KEYS = 90,
    VERIFY_FIT_VALUES = 3
};

typedef struct verify_fit_data {
    float q[VERIFY_FIT_N * VERIFY_FIT_DIM], k[VERIFY_FIT_KEYS * VERIFY_FIT_DIM], v[VERIFY_FIT_KEYS * VERIFY_FIT_VALUES];
    double p[VERIFY_FIT_N * VERIFY_FIT_KEYS]; /* weights of pairs; 0 for exact keys */
    double mass[VERIFY_FIT_KEYS];             /* of keys, exact ones too */
    double xbar[VERIFY_FIT_DIM], ybar[VERIFY_FIT_DIM];
    double xx[VERIFY_FIT_SQUARE], yy[VERIFY_FIT_SQUARE], xy[VERIFY_FIT_SQUARE]; /* about xbar and ybar */
    double mean_s;                                                              /* of |x + y|^2 as they are */
    clfavor_fit *fit;
    clfavor_sderf_desc found;
    clfavor_fit_info info;
} verify_fit_data;

/* Draws, fits, and works the same moments out. centred: each row comes with its opposite, so that means are 0. values:
 * V takes part in the weights. *o is zero; destroy o->fit in any case. */
bool verify_fit_prepare(verify_fit_data *o, verify_worker *worker, clfavor_fit_method method, float size, bool centred,
                        bool values, uint32_t exact);
/* Whether the fit has chosen the key to be treated exactly. */
bool verify_fit_is_listed(const verify_fit_data *o, uint32_t key);

#endif
