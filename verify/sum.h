/* Sums that lose nothing: a value and what rounding left of it (double-double; Knuth's two-sum, TAOCP 4.2.2). Records
 * hold them as two doubles in a row; merging in a fixed order gives the same bits whoever made the parts. */
#ifndef VERIFY_SUM_H
#define VERIFY_SUM_H

typedef struct verify_sum {
    double high, low;
} verify_sum;

static inline void verify_add(verify_sum *sum, double term) {
    double total = sum->high + term, part = total - sum->high;
    sum->low += (sum->high - (total - part)) + (term - part);
    sum->high = total;
}

static inline void verify_merge(verify_sum *sum, const verify_sum *other) {
    verify_add(sum, other->high);
    sum->low += other->low;
}

static inline double verify_total(const verify_sum *sum) {
    return sum->high + sum->low;
}

#endif
