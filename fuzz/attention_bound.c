/* Derivation. A sum is made of terms A_ij r. Let t be the error of a term relative to its amplitude, M the sum of the
 * amplitudes of a row, D = |sum of the terms|, C = M / D and v the largest |value|. Then numerator and denominator are
 * off by at most t M v and t M, and O = N / D by at most t C (v + |O|) / (1 - t C), the log of D by t C / (1 - t C). A
 * row with t C > 0.1 has no digits to compare.
 *
 * exp, hyperbolic, exact: the terms are positive, M = D, and t = t_e = test_exact_keys_tolerance, which has the largest
 * norms in it, plus eps (terms of F and n_k that a sum may add in float).
 * trig, trig-phase, gaussian: exp(s) cos(z) with |z| <= W X + 2 pi, s <= X^2 / 2: a cosine is off by the error of z,
 * eps (sqrt(d) + 2) |z|, relative to its amplitude 1; the product has two of each. cos cos + sin sin: amplitude 2;
 * 2 cos cos: 2.
 * relu: |w.x| |w.y| <= W^2 X Y is the amplitude, off by eps (sqrt(d) + 2) each, and by the rounding of the logarithm,
 * whose size times eps is below 150 eps.
 * elu: e^u or u + 1 > 0 is relatively off by eps (|u| + 8), its logarithm's rounding as before. */
#include "attention_bound.h"

#include <math.h>

static const double eps = 0x1p-24;

/* The largest |w| that a row of W has: chi(d), beyond sqrt(d) + 6 once in 10^8. */
static double row_norm(const test_case *c) {
    return sqrt((double)c->d) + 6;
}

static double scale_of(const test_case *c) {
    return c->scale != 0.0 ? c->scale : 1 / sqrt((double)c->d);
}

static double largest(const float *values, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; ++i)
        most = fmax(most, fabs((double)values[i]));
    return most;
}

static double term_error(const test_case *c, const test_general *g, const test_inputs *in) {
    double d = c->d, root = sqrt(scale_of(c)), sums = 2.0 * c->m + 2.0 * d + (double)c->n_k + c->exact_count;
    double x = root * test_largest_norm(in->q, in->q_count, c->d),
           y = root * test_largest_norm(in->k, in->k_count, c->d), step = sqrt(d) + 2, w = row_norm(c);
    if (c->exact)
        return eps * (32 + sums + step * x * y);
    switch (c->map) {
    case CLFAVOR_MAP_TRIG:
    case CLFAVOR_MAP_TRIG_PHASE:
    case CLFAVOR_MAP_GAUSSIAN:
        return eps * (32 + sums + step * (w * (x + y) + 16 + (x * x + y * y) / 2));
    case CLFAVOR_MAP_RELU:
        return eps * (300 + sums + 2 * step);
    case CLFAVOR_MAP_ELU:
        return eps * (300 + sums + largest(in->q, in->q_count) + largest(in->k, in->k_count));
    default:
        return eps * sums + test_exact_keys_tolerance(c, g, in);
    }
}

static double dot(const float *a, const float *b, uint32_t d) {
    double sum = 0;
    for (uint32_t l = 0; l < d; ++l)
        sum += (double)a[l] * (double)b[l];
    return sum;
}

/* log M of a row: q is its query, k the first key, `keys` how many it sees. */
static double log_amplitude(const test_case *c, const float *q, const float *k, uint64_t keys, double lse) {
    double scale = scale_of(c), w = row_norm(c), most = -INFINITY, sum = 0;
    if (c->exact || !(test_is_signed(c->map) || c->map == CLFAVOR_MAP_RELU))
        return lse;
    for (int pass = 0; pass < 2; ++pass)
        for (uint64_t j = 0; j < keys; ++j) {
            const float *key = k + j * c->d;
            double xx = scale * dot(q, q, c->d), yy = scale * dot(key, key, c->d);
            double log_term = c->map == CLFAVOR_MAP_GAUSSIAN ? log(2)
                              : c->map == CLFAVOR_MAP_RELU   ? log(w * w * sqrt(xx * yy))
                                                             : log(2) + (xx + yy) / 2;
            if (pass)
                sum += exp(log_term - most);
            else
                most = fmax(most, log_term);
        }
    return most + log(sum);
}

size_t fuzz_expect_close(const test_case *c, const test_general *g, const test_inputs *in, const test_outputs *out,
                         const test_reference *reference) {
    double t = term_error(c, g, in), v = largest(in->v, in->v_count);
    size_t cancelled = 0;
    if (c->corrections) {
        uint64_t states = c->sets > c->heads_kv ? c->sets : c->heads_kv;
        v += largest(c->corrections, (size_t)(c->batch * states * (c->features + c->exact_count) * c->dv));
    }
    for (uint64_t bh = 0; bh < c->batch * c->heads; ++bh) {
        uint64_t kv = bh / c->heads * c->heads_kv + bh % c->heads / (c->heads / c->heads_kv);
        for (uint64_t i = 0; i < c->n; ++i) {
            size_t row = (size_t)(bh * c->n + i);
            const float *o = out->o + row * c->dv;
            double lse = (double)out->lse[row], expected = reference->lse[row], sign = (double)out->sign[row];
            EXPECT(lse < INFINITY && (sign == 1 || sign == 0 || sign == -1));
            double log_m =
                log_amplitude(c, in->q + row * c->d, in->k + kv * c->n_k * c->d, c->causal ? i + 1 : c->n_k, expected);
            double off = expected > -INFINITY ? t * exp(log_m - expected) : 1;
            if (!(off <= 0.1)) {
                ++cancelled;
                continue;
            }
            off /= 1 - off;
            ck_assert_msg(fabs(lse - expected) <= off + 2 * eps * (fabs(expected) + 1),
                          "lse[%zu] is %.9g, not %.9g, bound %.2g", row, lse, expected, off);
            ck_assert_msg(sign == reference->sign[row], "sign[%zu] is %g", row, sign);
            for (uint32_t l = 0; l < c->dv; ++l) {
                double right = reference->o[row * c->dv + l], bound = off * (v + fabs(right)) + 2 * eps * fabs(right);
                if (!(fabs((double)o[l] - right) <= bound))
                    ck_abort_msg("O[%zu][%u] is %.9g, not %.9g, bound %.2g", row, l, (double)o[l], right, bound);
            }
        }
    }
    return cancelled;
}
