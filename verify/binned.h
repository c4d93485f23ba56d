/* A law in bins of about equal probability: samples are counted, and counts of parts add exactly. */
#ifndef VERIFY_BINNED_H
#define VERIFY_BINNED_H

#define VERIFY_BINS 64u

typedef double (*verify_cdf)(double x, double parameter);

typedef struct verify_binned {
    double edge[VERIFY_BINS], cdf[VERIFY_BINS]; /* upper edges; the last is infinite */
} verify_binned;

/* low, high: what holds all edges but the last. */
void verify_binned_make(verify_binned *b, verify_cdf cdf, double parameter, double low, double high);
/* Adds 1 to the count of the bin that x is in. A NaN goes nowhere, which shows in the total. */
void verify_binned_count(const verify_binned *b, double counts[VERIFY_BINS], double x);

#endif
