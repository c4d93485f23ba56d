/* One plain sentence on whether random features are good enough for a head, by the rules of docs/verify-data.md. */
#ifndef CLI_VERIFY_VERDICT_H
#define CLI_VERIFY_VERDICT_H

#include "own_data.h"

#define VERDICT_GOOD   0.1 /* an output error up to this is good */
#define VERDICT_USABLE 0.3 /* and up to this usable */
#define VERDICT_MEAN   0.9 /* from this share of mean(V)'s error on, features do no better than that */

typedef struct verdict {
    uint32_t good, usable; /* the smallest m from which on the measured error stays good or usable; 0: none */
    char text[512];
} verdict;

/* n, n_k: tokens, to tell when exact attention costs less. */
verdict verdict_of_head(const verify_own_head *head, uint64_t n, uint64_t n_k);
/* Of all heads: good and usable hold for every one of them. */
verdict verdict_of_all(const verify_own_result *result, uint64_t n, uint64_t n_k);

#endif
