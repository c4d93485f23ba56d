/* Which keys a fit looks at. */
#ifndef CLFAVOR_FIT_KEYS_H
#define CLFAVOR_FIT_KEYS_H

#include "fit_moments.h"

/* Chooses `count` keys, ascending, and how many keys each stands for in a sum over all: a sample spread evenly, and,
 * where exact keys are to be chosen among more keys than that, some that a few queries weigh most; all where count is
 * n_k. */
clfavor_status clfavor_fit_keys(const clfavor_fit_tokens *tokens, const clfavor_fit_sample *sample, size_t count,
                                size_t *index, double *stands_for);

#endif
