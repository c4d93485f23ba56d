#include "binned.h"

#include <math.h>
#include <stddef.h>

void verify_binned_make(verify_binned *b, verify_cdf cdf, double parameter, double low, double high) {
    for (size_t i = 0; i + 1 < VERIFY_BINS; ++i) {
        double from = low, to = high, want = (double)(i + 1) / VERIFY_BINS;
        for (int step = 0; step < 60; ++step) {
            double middle = 0.5 * (from + to);
            *(cdf(middle, parameter) < want ? &from : &to) = middle;
        }
        b->edge[i] = to;
        b->cdf[i] = cdf(to, parameter);
    }
    b->edge[VERIFY_BINS - 1] = INFINITY;
    b->cdf[VERIFY_BINS - 1] = 1.0;
}

void verify_binned_count(const verify_binned *b, double counts[VERIFY_BINS], double x) {
    size_t low = 0, high = VERIFY_BINS - 1;
    if (isnan(x))
        return;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (x <= b->edge[middle])
            high = middle;
        else
            low = middle + 1;
    }
    counts[low] += 1.0;
}
