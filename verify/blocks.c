/* With u_i the directions and r_i the lengths of k rows of a block, the u_i.v / |v| are the first k coordinates of a
 * uniform point of the sphere, and over lengths and signs E exp(a r t) = 1F1(d/2; 1/2; a^2 t^2 / 2). Expanding both,
 *     E prod_i exp(a_i w_i.v) = sum_N [x^N] prod_i (1 - b_i x)^(-d/2) / (d/2)_N,    b_i = a_i^2 |v|^2 / 2,
 * which is 1F1(k d/2; d/2; |v|^2/2) for all a_i = 1 (docs/theory.md, section 2). cosh is the same, since signs are
 * free, and cos has -|v|^2. Powers of cosh and cos are sums of them at multiples of the argument. */
#include "blocks.h"

#include <math.h>
#include <string.h>

enum { TERMS = 160, MOST = 4 };

/* E prod f(a_i w_i.v) over k rows; signed_square: |v|^2, or minus it for cos. */
static double product_of(uint32_t dim, double signed_square, const int *a, int k) {
    double series[TERMS] = {1.0}, sum = 0.0, over = 1.0, half = dim / 2.0;
    for (int i = 0; i < k; ++i) {
        double b = a[i] * a[i] * signed_square / 2.0, factor[TERMS], next[TERMS] = {0.0};
        factor[0] = 1.0;
        for (int n = 1; n < TERMS; ++n)
            factor[n] = factor[n - 1] * (half + n - 1.0) * b / n;
        for (int n = 0; n < TERMS; ++n)
            for (int l = 0; l <= n; ++l)
                next[n] += series[l] * factor[n - l];
        memcpy(series, next, sizeof series);
    }
    for (int n = 0; n < TERMS; ++n) {
        sum += series[n] * over;
        over /= half + n;
    }
    return sum;
}

typedef struct power {
    int count, multiple[3];
    double weight[3];
} power;

/* f^p as a sum of f at multiples of the argument, by p. */
static const power even_powers[MOST + 1] = {{1, {0}, {1.0}},
                                            {1, {1}, {1.0}},
                                            {2, {0, 2}, {0.5, 0.5}},
                                            {2, {1, 3}, {0.75, 0.25}},
                                            {3, {0, 2, 4}, {0.375, 0.5, 0.125}}};

/* E prod f^(p_i) over k rows. */
static double moment(verify_function f, uint32_t dim, double square, const int *p, int k) {
    double signed_square = f == VERIFY_COS ? -square : square, sum = 0.0;
    int a[MOST] = {0}, term[MOST] = {0};
    if (f == VERIFY_EXP)
        return product_of(dim, signed_square, p, k);
    for (;;) { /* every choice of one term of each power */
        double weight = 1.0;
        for (int i = 0; i < k; ++i) {
            a[i] = even_powers[p[i]].multiple[term[i]];
            weight *= even_powers[p[i]].weight[term[i]];
        }
        sum += weight * product_of(dim, signed_square, a, k);
        int i = 0;
        while (i < k && ++term[i] == even_powers[p[i]].count)
            term[i++] = 0;
        if (i == k)
            return sum;
    }
}

double verify_block_fourth(verify_function f, uint32_t dim, uint32_t rows, double square) {
    /* the ways in which 2, 3 and 4 factors fall on rows: exponents, and how many such terms (sum f)^p has */
    const double n = rows, n2 = n * (n - 1.0), n3 = n2 * (n - 2.0), n4 = n3 * (n - 3.0);
    const struct {
        int total, k, p[MOST];
        double count;
    } terms[] = {{1, 1, {1}, n},           {2, 1, {2}, n},
                 {2, 2, {1, 1}, n2},       {3, 1, {3}, n},
                 {3, 2, {2, 1}, 3.0 * n2}, {3, 3, {1, 1, 1}, n3},
                 {4, 1, {4}, n},           {4, 2, {3, 1}, 4.0 * n2},
                 {4, 2, {2, 2}, 3.0 * n2}, {4, 3, {2, 1, 1}, 6.0 * n3},
                 {4, 4, {1, 1, 1, 1}, n4}};
    double raw[MOST + 1] = {1.0};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; ++i)
        if (terms[i].count > 0.0)
            raw[terms[i].total] += terms[i].count * moment(f, dim, square, terms[i].p, terms[i].k);
    double mean = raw[1];
    return raw[4] - 4.0 * mean * raw[3] + 6.0 * mean * mean * raw[2] - 3.0 * pow(mean, 4.0);
}
