#include "moments.h"

#include <math.h>
#include <string.h>

#include "special.h"

static double dot(const double *a, const double *b, uint32_t dim) {
    double sum = 0.0;
    for (uint32_t l = 0; l < dim; ++l)
        sum += a[l] * b[l];
    return sum;
}

/* |a + sign b|^2 */
static double distance2(const double *a, const double *b, double sign, uint32_t dim) {
    double sum = 0.0;
    for (uint32_t l = 0; l < dim; ++l)
        sum += (a[l] + sign * b[l]) * (a[l] + sign * b[l]);
    return sum;
}

/* E exp(w.a) for lengths fixed at sqrt(d), from sign |a|^2; sign -1: E cos(w.a). */
static double fixed(uint32_t dim, double signed_square) {
    return verify_0f1(dim / 2.0, dim * signed_square / 4.0);
}

/* What each map is made of: X = sum_j c_j p_j f(w.v_j [, b]), with v = x + y for the exponentials and x - y for the
 * cosines, and p_j the factor in front. */
typedef struct factors {
    double p[VERIFY_MAX_KEYS];                 /* with c_j */
    double v[VERIFY_MAX_KEYS][VERIFY_MAX_DIM]; /* arguments of exp or cos */
} factors;

static int is_cosine(clfavor_map map) {
    return map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE || map == CLFAVOR_MAP_GAUSSIAN;
}

static void factorise(const verify_target *t, factors *f) {
    uint32_t d = t->dim;
    double quad = t->map == CLFAVOR_MAP_GAUSSIAN ? 0.0 : is_cosine(t->map) ? 0.5 : -0.5;
    for (uint32_t j = 0; j < t->keys; ++j) {
        const double *y = t->y + (size_t)j * d;
        f->p[j] = (t->count ? t->count[j] : 1.0) * exp(quad * (dot(t->x, t->x, d) + dot(y, y, d)));
        for (uint32_t l = 0; l < d; ++l)
            f->v[j][l] = is_cosine(t->map) ? t->x[l] - y[l] : t->x[l] + y[l];
    }
}

/* E f(w.a) f(w.b) for one row; opposite: E f(w.a) f(-w.b) for a row and its opposite, whose phases are independent. */
static double row_product(const verify_target *t, const double *a, const double *b, int opposite) {
    int sign = is_cosine(t->map) ? -1 : 1, even = sign < 0 || t->map == CLFAVOR_MAP_HYPERBOLIC;
    double sum2 = distance2(a, b, 1.0, t->dim), difference2 = distance2(a, b, -1.0, t->dim), plus, minus;
    if (t->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM) {
        plus = fixed(t->dim, sign * sum2);
        minus = fixed(t->dim, sign * difference2);
    } else {
        plus = exp(sign * sum2 / 2.0);
        minus = exp(sign * difference2 / 2.0);
    }
    double product = even ? (plus + minus) / 2.0 : opposite ? minus : plus;
    if (t->map == CLFAVOR_MAP_TRIG_PHASE && !opposite) /* cos(w.z + 2b) comes beside cos(w.v); the phase removes the
                                             cross terms, and z_a - z_b = -(v_a - v_b) */
        product += minus / 2.0;
    return product;
}

/* E exp((w1 + w2).a) from sign |a|^2 for rows of independent chi(d) lengths r and this cosine between them: w1 + w2 has
 * a uniform direction and the squared length r1^2 + r2^2 + 2 cosine r1 r2, so it is the mean of 0F1(d/2; |a|^2 length^2
 * / 4), whose powers of r have known means. */
static double angle_pair(uint32_t dim, double signed_square, double cosine) {
    double sum = 0.0, half = dim / 2.0;
    for (int k = 0; k < 80; ++k) {
        double power = 0.0, largest = 0.0; /* E length^(2k) / (k! (d/2)_k 4^k) */
        for (int l = 0; l <= k; ++l)
            for (int i = 0; i <= k - l; ++i) {
                double n1 = i + l / 2.0, n2 = k - l - i + l / 2.0;
                double term = exp(lgamma(half + n1) + lgamma(half + n2) - lgamma(half) - lgamma(half + k) -
                                  lgamma(l + 1.0) - lgamma(i + 1.0) - lgamma(k - l - i + 1.0) - k * log(2.0)) *
                              pow(2.0 * cosine, l);
                power += term;
                largest = fmax(largest, fabs(term));
            }
        double term = pow(signed_square, k) * power;
        sum += term;
        if (fabs(pow(signed_square, k)) * largest < 1e-17 * fabs(sum) && k > 2)
            return sum;
    }
    return NAN;
}

/* The same row of a simplex block's pair: the even maps take both signs of the second row. */
static double simplex_pair(const verify_target *t, double square) {
    int sign = is_cosine(t->map) ? -1 : 1, even = sign < 0 || t->map == CLFAVOR_MAP_HYPERBOLIC;
    double cosine = -1.0 / (t->dim - 1.0), along = angle_pair(t->dim, sign * square, cosine);
    return even ? (along + angle_pair(t->dim, sign * square, -cosine)) / 2.0 : along;
}

static double row_pair(const verify_target *t, const double *a, const double *b) {
    int sign = is_cosine(t->map) ? -1 : 1;
    double aa = dot(a, a, t->dim), bb = dot(b, b, t->dim), ab = dot(a, b, t->dim);
    if (t->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM)
        return fixed(t->dim, sign * 2.0 * aa); /* a = b only */
    int same = fabs(aa - bb) + fabs(aa - ab) < 1e-12 * (1.0 + aa);
    if (t->kind == CLFAVOR_PROJECTION_SIMPLEX)
        return same && t->dim > 1 ? simplex_pair(t, aa) : NAN;
    return same && t->dim > 1 ? verify_1f1(t->dim, t->dim / 2.0, sign * aa / 2.0)
           : t->dim < 3       ? NAN
                              : verify_pair_moment(t->dim, aa, bb, ab, sign);
}

/* E (f - mean)^4 of one key from raw moments of f / mean. */
static double central_fourth(double mean, double r2, double r3, double r4) {
    return pow(mean, 4.0) * (r4 - 4.0 * r3 + 6.0 * r2 - 3.0);
}

/* The exponentials with e^(k^2 s/2) as k-th moment; cosines are the same with s = -D2. */
static double row_fourth(const verify_target *t, double mean, const double *v) {
    double s = dot(v, v, t->dim);
    if (t->keys != 1 || t->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM)
        return NAN;
    if (t->map == CLFAVOR_MAP_POSITIVE)
        return central_fourth(mean, exp(s), exp(3.0 * s), exp(6.0 * s));
    if (is_cosine(t->map))
        s = -s;
    double one = exp(s / 2.0), two = (exp(2.0 * s) + 1.0) / 2.0, three = (exp(4.5 * s) + 3.0 * one) / 4.0;
    double four = (exp(8.0 * s) + 4.0 * exp(2.0 * s) + 3.0) / 8.0;
    if (t->map == CLFAVOR_MAP_TRIG_PHASE) { /* A + B, the odd powers of B = cos(w.z + 2b) have mean 0 */
        four += 6.0 * two / 2.0 + 0.375;
        three += 1.5 * one;
        two += 0.5;
    }
    return central_fourth(mean, two / (one * one), three / pow(one, 3.0), four / pow(one, 4.0));
}

/* blocks.h knows orthogonal rows only */
static int has_block_moments(clfavor_projection_kind kind) {
    return kind != CLFAVOR_PROJECTION_SIMPLEX && kind != CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS;
}

static verify_moments exponential_maps(const verify_target *t) {
    factors f;
    factorise(t, &f);
    verify_moments m = {.second = 0.0};
    int sign = is_cosine(t->map) ? -1 : 1;
    for (uint32_t j = 0; j < t->keys; ++j) {
        double square = sign * dot(f.v[j], f.v[j], t->dim);
        m.mean +=
            f.p[j] * (t->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM ? fixed(t->dim, square) : exp(square / 2.0));
        for (uint32_t l = 0; l < t->keys; ++l) {
            m.second += f.p[j] * f.p[l] * row_product(t, f.v[j], f.v[l], 0);
            m.opposite += f.p[j] * f.p[l] * row_product(t, f.v[j], f.v[l], 1);
            if (t->kind != CLFAVOR_PROJECTION_IID)
                m.pair += f.p[j] * f.p[l] * row_pair(t, f.v[j], f.v[l]);
        }
    }
    m.fourth = row_fourth(t, m.mean, f.v[0]);
    m.square = NAN;
    if (!isnan(m.fourth) && t->map != CLFAVOR_MAP_TRIG_PHASE && has_block_moments(t->kind)) {
        m.factor = f.p[0];
        m.square = dot(f.v[0], f.v[0], t->dim);
        m.function = is_cosine(t->map) ? VERIFY_COS : t->map == CLFAVOR_MAP_HYPERBOLIC ? VERIFY_COSH : VERIFY_EXP;
    }
    return m;
}

static verify_moments relu(const verify_target *t) {
    double norm = 0.0, xx = dot(t->x, t->x, t->dim), yy = dot(t->y, t->y, t->dim), d = t->dim;
    double theta = acos(fmax(-1.0, fmin(1.0, dot(t->x, t->y, t->dim) / sqrt(xx * yy))));
    for (uint32_t j = 0; j < t->keys; ++j) {
        const double *y = t->y + (size_t)j * t->dim;
        norm += (t->count ? t->count[j] : 1.0) * sqrt(xx * dot(y, y, t->dim));
    }
    int is_fixed = t->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM; /* E|w|^4 is d^2, not d (d + 2) */
    return (verify_moments){.mean = norm * verify_relu_mean(theta),
                            .second = norm * norm * verify_relu_square(theta) * (is_fixed ? d / (d + 2.0) : 1.0),
                            .pair =
                                t->kind == CLFAVOR_PROJECTION_IID || t->kind == CLFAVOR_PROJECTION_SIMPLEX || t->dim < 3
                                    ? NAN
                                    : norm * norm * verify_relu_pair(t->dim, theta),
                            .opposite = 0.0, /* where w.x > 0, -w.x < 0 */
                            .fourth = NAN,
                            .square = NAN};
}

static void transform(const double *matrix, const double *from, const double *offset, uint32_t dim, double *to) {
    for (uint32_t i = 0; i < dim; ++i) {
        to[i] = 0.0;
        for (uint32_t l = 0; l < dim; ++l) {
            double value = from[l] - (offset ? offset[l] : 0.0);
            to[i] += matrix ? matrix[(size_t)i * dim + l] * value : i == l ? value : 0.0;
        }
    }
}

/* E (X / K)^n of one key; NaN where it is infinite. X / K = prod sqrt(1-4A) exp(2 A w^2 + sqrt(1-4A) w z - z^2/2) over
 * the axes, with z as below. */
static double exponential_raw(const double *a, const double *z, uint32_t dim, double n) {
    double log_moment = 0.0;
    for (uint32_t l = 0; l < dim; ++l) {
        if (!(4.0 * n * a[l] < 1.0))
            return NAN;
        log_moment += 0.5 * n * log1p(-4.0 * a[l]) - 0.5 * log1p(-4.0 * n * a[l]) +
                      0.5 * n * z[l] * z[l] * (n * (1.0 - 4.0 * a[l]) / (1.0 - 4.0 * n * a[l]) - 1.0);
    }
    return exp(log_moment);
}

/* E X_j X_k / (K_j K_k) for two rows of one block and one A for all axes: the reweighted lengths are those of N(0,
 * I/(1-4A)), so it is the plain pair at z, whatever T and the centres are. */
static double isotropic_pair(const verify_target *t, const double *zj, const double *zk) {
    double jj = dot(zj, zj, t->dim), kk = dot(zk, zk, t->dim), jk = dot(zj, zk, t->dim);
    double pair = NAN;
    if (t->kind != CLFAVOR_PROJECTION_SIMPLEX)
        pair = verify_pair_moment(t->dim, jj, kk, jk, 1);
    else if (fabs(jj - kk) + fabs(jj - jk) < 1e-12 * (1.0 + jj))
        pair = angle_pair(t->dim, jj, -1.0 / (t->dim - 1.0));
    return exp(-(jj + kk) / 2.0) * pair;
}

/* With x1 = Tq (x - xbar) and y1 = Tk (y - ybar), K = e^(x.y) is e^(x1.y1) times a factor that does not depend on w,
 * and E X_j X_l = K_j K_l prod (1-4A)/sqrt(1-8A) exp((1-4A)(z_j+z_l)^2 / (2(1-8A)) - (z_j^2 + z_l^2)/2) over the axes,
 * z = x1 + y1. For A = 0 that is e^(z_j.z_l): with centres alone the relative variance is e^(|x+y-c|^2) - 1.
 */
static verify_moments exponential(const verify_target *t) {
    const verify_fitted *fit = t->fitted;
    uint32_t d = t->dim;
    double x1[VERIFY_MAX_DIM], y1[VERIFY_MAX_DIM], kernel[VERIFY_MAX_KEYS];
    factors f;
    transform(fit->tq, t->x, fit->xbar, d, x1);
    int isotropic = 1;
    for (uint32_t l = 1; l < d; ++l)
        isotropic &= fit->a[l] == fit->a[0];
    verify_moments m = {.fourth = NAN, .square = NAN};
    for (uint32_t j = 0; j < t->keys; ++j) {
        const double *y = t->y + (size_t)j * d;
        transform(fit->tk, y, fit->ybar, d, y1);
        for (uint32_t l = 0; l < d; ++l)
            f.v[j][l] = x1[l] + y1[l];
        kernel[j] = (t->count ? t->count[j] : 1.0) * exp(dot(t->x, y, d));
        m.mean += kernel[j];
    }
    for (uint32_t j = 0; j < t->keys; ++j)
        for (uint32_t k = 0; k < t->keys; ++k) {
            const double *zj = f.v[j], *zk = f.v[k];
            double log_same = 0.0, log_opposite = 0.0;
            for (uint32_t l = 0; l < d; ++l) {
                double a = fit->a[l], sum = zj[l] + zk[l], difference = zj[l] - zk[l];
                double width = (1.0 - 4.0 * a) / (2.0 * (1.0 - 8.0 * a));
                double common = log1p(-4.0 * a) - 0.5 * log1p(-8.0 * a) - (zj[l] * zj[l] + zk[l] * zk[l]) / 2.0;
                log_same += common + width * sum * sum;
                log_opposite += common + width * difference * difference;
            }
            m.second += kernel[j] * kernel[k] * exp(log_same);
            m.opposite += kernel[j] * kernel[k] * exp(log_opposite);
            if (isotropic && d >= 3 && t->kind != CLFAVOR_PROJECTION_IID)
                m.pair += kernel[j] * kernel[k] * isotropic_pair(t, zj, zk);
        }
    if (!isotropic || d < 3)
        m.pair = NAN;
    const double *z = f.v[0];
    if (t->keys == 1)
        m.fourth = central_fourth(m.mean, exponential_raw(fit->a, z, d, 2.0), exponential_raw(fit->a, z, d, 3.0),
                                  exponential_raw(fit->a, z, d, 4.0));
    if (t->keys == 1 && isotropic && fit->a[0] == 0.0 && has_block_moments(t->kind)) {
        m.factor = kernel[0] * exp(-dot(z, z, d) / 2.0);
        m.square = dot(z, z, d);
        m.function = VERIFY_EXP;
    }
    return m;
}

verify_moments verify_moments_of(const verify_target *t) {
    verify_moments m = t->map == CLFAVOR_MAP_RELU          ? relu(t)
                       : t->map == CLFAVOR_MAP_EXPONENTIAL ? exponential(t)
                                                           : exponential_maps(t);
    if (t->kind == CLFAVOR_PROJECTION_IID)
        m.pair = m.mean * m.mean;
    m.exact = 0.0;
    for (uint32_t j = 0; j < t->keys; ++j)
        m.exact += (t->count ? t->count[j] : 1.0) * exp(dot(t->x, t->y + (size_t)j * t->dim, t->dim));
    return m;
}

/* A bound of the standard deviation of the sum of so many rows of a block: that of the sum of all standard deviations,
 * taken of rows, or of w and -w together. */
static double block_deviation(const verify_moments *moments, clfavor_projection_kind kind, double rows) {
    double square = moments->mean * moments->mean, one = moments->second - square;
    if (kind != CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS)
        return rows * sqrt(one);
    double two = 2.0 * (one + moments->opposite - square), pairs = floor(rows / 2.0);
    return pairs * sqrt(fmax(two, 0.0)) + (rows - 2.0 * pairs) * sqrt(one);
}

/* Rows that depend on each other. */
static double block_rows(clfavor_projection_kind kind, uint32_t dim) {
    return kind == CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS ? 2.0 * dim : dim;
}

double verify_variance(const verify_moments *moments, clfavor_projection_kind kind, uint32_t dim, uint32_t m,
                       int *exact) {
    double square = moments->mean * moments->mean, one = moments->second - square, n = m;
    double size = block_rows(kind, dim), full = floor(n / size), rest = n - full * size;
    if (exact)
        *exact = 1;
    if (kind == CLFAVOR_PROJECTION_IID || size == 1.0)
        return one / n;
    /* ordered pairs of rows w and -w, and of orthogonal rows */
    double opposite = kind == CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS ? full * size + 2.0 * floor(rest / 2.0) : 0.0;
    double orthogonal = full * size * (size - 1.0) + rest * (rest - 1.0) - opposite;
    if (!isnan(moments->pair) || orthogonal == 0.0)
        return one / n + (opposite > 0.0 ? opposite / (n * n) * (moments->opposite - square) : 0.0) +
               (orthogonal > 0.0 ? orthogonal / (n * n) * (moments->pair - square) : 0.0);
    if (exact)
        *exact = 0;
    return (full * pow(block_deviation(moments, kind, size), 2.0) + pow(block_deviation(moments, kind, rest), 2.0)) /
           (n * n);
}

double verify_square_variance(const verify_moments *moments, clfavor_projection_kind kind, uint32_t dim, uint32_t m) {
    double one = moments->second - moments->mean * moments->mean, n = m, d = block_rows(kind, dim);
    if (kind == CLFAVOR_PROJECTION_IID || d == 1.0)
        return (moments->fourth - 3.0 * one * one) / pow(n, 3.0) + 2.0 * one * one / (n * n);
    double full = floor(n / d), rest = n - full * d, variance = verify_variance(moments, kind, dim, m, NULL);
    if (isnan(moments->square)) {
        /* fourth moment of a sum of independent block sums: sum of their fourth moments, each at most share * row's,
         * plus 3 sum of products of their variances, at most 3 variance^2 */
        double share = full * pow(d / n, 4.0) + pow(rest / n, 4.0);
        return share * moments->fourth + 2.0 * variance * variance;
    }
    /* E (sum of independent blocks)^4 = sum (fourth - 3 variance^2) + 3 (sum of variances)^2 */
    double pair = moments->pair - moments->mean * moments->mean, scale = pow(moments->factor, 4.0), sum = 0.0;
    double whole = d * one + d * (d - 1.0) * pair, part = rest * one + rest * (rest - 1.0) * pair;
    if (full > 0.0)
        sum += full * (scale * verify_block_fourth(moments->function, dim, dim, moments->square) - 3.0 * whole * whole);
    if (rest > 0.0)
        sum += scale * verify_block_fourth(moments->function, dim, (uint32_t)rest, moments->square) - 3.0 * part * part;
    return sum / pow(n, 4.0) + 2.0 * variance * variance;
}
