/* The special functions that the closed forms need, for moderate arguments (a few tens). */
#ifndef VERIFY_SPECIAL_H
#define VERIFY_SPECIAL_H

#include <stdint.h>

/* Confluent hypergeometric functions 0F1(; b; x) and 1F1(a; b; x), b > 0, by their series; 1F1 of negative x through
 * Kummer's transformation. Relative error about 1e-13 for x > 0; for negative x absolute: of 0F1 times exp(2 sqrt|x|),
 * of 1F1 times exp(x) 1F1(a - b; b; -x), at most 1 for a <= 2b. */
double verify_0f1(double b, double x);
double verify_1f1(double a, double b, double x);

/* E exp(w1.a + w2.b) (sign +1) or E cos(w1.a) cos(w2.b) (sign -1) for two rows of one Haar block with chi(d) lengths,
 * d >= 3, from |a|^2, |b|^2 and a.b. For a = b it is 1F1(d; d/2; +-|a|^2/2) (docs/theory.md, section 2).
 * Error below 1e-9 of that for sign +1, absolute for -1, where |a|^2, |b|^2 <= 8 and d <= 64. */
double verify_pair_moment(uint32_t dim, double aa, double bb, double ab, int sign);

/* Kernels of one row w ~ N(0, I) at an angle theta, divided by |x||y| and |x|^2|y|^2 (Cho and Saul, 2009):
 * E relu(w.x) relu(w.y), E (relu(w.x) relu(w.y))^2. */
double verify_relu_mean(double theta);
double verify_relu_square(double theta);
/* The same product of two rows of one Haar block with chi(d) lengths: E f(w1) f(w2), f(w) = relu(w.x) relu(w.y), d >=
 * 3. Relative error below 1e-8. Lengths fixed at sqrt(d) give the same. */
double verify_relu_pair(uint32_t dim, double theta);

#endif
