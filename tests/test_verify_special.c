/* The special functions behind the closed forms, by identities, by 30 digits and by other ways to the same numbers. */
#include "support.h"

#include <math.h>

#include "blocks.h"
#include "special.h"

static const double PI = 3.141592653589793;

static void check_close(double actual, double expected, double limit, const char *what, double at) {
    ck_assert_msg(fabs(actual - expected) <= limit, "%s at %g: %.17g, expected %.17g", what, at, actual, expected);
}

/* The header states relative 1e-13, for negative arguments of 0F1 times exp(2 sqrt|x^2/4|) = exp(|x|). */
START_TEST(hyperbolic_and_circular_functions) {
    for (double x = 0.05; x < 30; x *= 1.1) {
        double t = x * x / 4;
        check_close(verify_0f1(0.5, t), cosh(x), 1e-13 * cosh(x), "cosh", x);
        check_close(verify_0f1(1.5, t), sinh(x) / x, 1e-13 * sinh(x) / x, "sinh x / x", x);
        check_close(verify_0f1(0.5, -t), cos(x), 1e-13 * exp(x), "cos", x);
        check_close(verify_0f1(1.5, -t), sin(x) / x, 1e-13 * exp(x), "sin x / x", x);
    }
    ck_assert_double_eq(verify_0f1(3, 0), 1);
    ck_assert(isnan(verify_0f1(3, NAN)));
}
END_TEST

START_TEST(exponentials_and_polynomials) {
    for (double x = -30; x <= 30; x += 0.37) {
        for (double a = 0.5; a < 40; a *= 3)
            check_close(verify_1f1(a, a, x), exp(x), 1e-13 * exp(x), "1F1(a; a; x)", x);
        check_close(verify_1f1(1, 2, x), expm1(x) / x, 1e-13 * expm1(x) / x, "1F1(1; 2; x)", x);
        /* a sum that ends, of terms that are at most 1 + x^2 */
        check_close(verify_1f1(-2, 3, x), 1 - 2 * x / 3 + x * x / 12, 1e-13 * (1 + x * x), "1F1(-2; 3; x)", x);
    }
    ck_assert_double_eq(verify_1f1(2, 3, 0), 1);
    ck_assert(isnan(verify_1f1(2, 3, NAN)));
}
END_TEST

START_TEST(hypergeometric_functions_by_30_digits) {
    static const struct {
        double a, b, x, value;
    } known[] = {{6, 3, 5, 2127.2552804702646},       {32, 0.5, 10, 3.4688485505578681e17},
                 {2, 31.5, 0.4, 1.0258732640376014},  {3, 1.5, -8, 0.0023311317995167763},
                 {0.5, 16, -20, 0.66179284419854889}, {2.5, 3, -12.3, 0.0024151852009015794},
                 {64, 32, -0.5, 0.36501829501384456}, {64, 32, -8, -2.1188540186291769e-9}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        double expected = known[i].value, limit = known[i].x > 0 ? 1e-13 * expected : 1e-13;
        check_close(verify_1f1(known[i].a, known[i].b, known[i].x), expected, limit, "1F1", known[i].x);
    }
    check_close(verify_0f1(32, 50), 4.6071144886637803, 5e-13, "0F1(32)", 50);
    check_close(verify_0f1(3, 7), 6.6703405226878644, 7e-13, "0F1(3)", 7);
    check_close(verify_0f1(1.5, -20), 0.051678659315078221, 1e-13 * exp(2 * sqrt(20)), "0F1(1.5)", -20);
    check_close(verify_0f1(3, -40), -0.0095919056038268032, 1e-13 * exp(2 * sqrt(40)), "0F1(3)", -40);
}
END_TEST

/* --- two rows of a block --- */

static const uint32_t dims[] = {3, 4, 5, 6, 9, 16, 32, 64};
#define DIMS (int)(sizeof dims / sizeof *dims)

/* With a = b the sum of the rows has a known length and a uniform direction. b = -a is the same, as -w2 is as good a
 * row as w2. */
START_TEST(pair_of_equals) {
    double d = dims[_i];
    for (int sign = -1; sign <= 1; sign += 2)
        for (double s = 0; s <= 8; s += 0.25) {
            double expected = verify_1f1(d, d / 2, sign * s / 2), limit = 1e-9 * (sign > 0 ? expected : 1);
            check_close(verify_pair_moment(dims[_i], s, s, s, sign), expected, limit, "a, a", s);
            check_close(verify_pair_moment(dims[_i], s, s, -s, sign), expected, limit, "a, -a", s);
            /* Independent rows would give this, which is wrong. */
            ck_assert(s < 0.5 || fabs(expected - exp(sign * s)) > 100 * limit);
        }
}
END_TEST

/* a and b take different parts in the formula, but not in what it means. One that is 0 leaves a single normal row. */
START_TEST(pair_is_symmetric) {
    static const double cases[][3] = {{1, 2, 0}, {0.5, 3, 1.1}, {4, 1, -1.5}, {8, 2, 4}, {1, 1e-8, 1e-4}};
    double last = 0;
    for (int sign = -1; sign <= 1; sign += 2)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
            double aa = cases[i][0], bb = cases[i][1], ab = cases[i][2];
            double value = verify_pair_moment(dims[_i], aa, bb, ab, sign);
            check_close(verify_pair_moment(dims[_i], bb, aa, ab, sign), value, 1e-9 * (sign > 0 ? value : 1), "b, a",
                        ab);
            check_close(verify_pair_moment(dims[_i], aa, bb, -ab, sign), value, 1e-9 * (sign > 0 ? value : 1), "a, -b",
                        ab);
            ck_assert_double_ne(value, last);
            last = value;
        }
    for (double s = 0.5; s <= 8; s *= 2) {
        check_close(verify_pair_moment(dims[_i], s, 0, 0, 1), exp(s / 2), 1e-9 * exp(s / 2), "a, 0", s);
        check_close(verify_pair_moment(dims[_i], 0, s, 0, 1), exp(s / 2), 1e-9 * exp(s / 2), "0, b", s);
        check_close(verify_pair_moment(dims[_i], s, 0, 0, -1), exp(-s / 2), 1e-9, "cos a, 0", s);
        check_close(verify_pair_moment(dims[_i], 0, s, 0, -1), exp(-s / 2), 1e-9, "cos 0, b", s);
    }
}
END_TEST

/* Small a and b: E exp = 1 + (|a|^2 + |b|^2)/2 + (|a|^4 + |b|^4)/8 + E (w1.a)^2 (w2.b)^2 / 4 and a rest below (|a| +
 * |b|)^6 / 48. In a Haar block E (u1.a)^2 (u2.b)^2 = [(d+1)|a|^2 |b|^2 - 2 (a.b)^2] / ((d-1) d (d+2)), to be multiplied
 * by E|w1|^2 E|w2|^2 = d^2. */
START_TEST(pair_of_small_vectors) {
    double d = dims[_i], e = 3e-4, aa = e, bb = 0.7 * e, limit = e * e * e;
    for (int sign = -1; sign <= 1; sign += 2)
        for (int step = -2; step <= 2; ++step) {
            double ab = step * 0.4 * e;
            double mixed = d * d * ((d + 1) * aa * bb - 2 * ab * ab) / ((d - 1) * d * (d + 2));
            double expected = 1 + sign * (aa + bb) / 2 + (aa * aa + bb * bb) / 8 + mixed / 4;
            check_close(verify_pair_moment(dims[_i], aa, bb, ab, sign), expected, limit, "series", ab);
            if (d <= 16) /* independent rows have |a|^2 |b|^2 there */
                ck_assert_double_gt(fabs(mixed - aa * bb) / 4, 2 * limit);
        }
}
END_TEST

/* --- relu --- */

/* Mean and square of relu(g1) relu(cos g1 + sin g2) in polar coordinates: E rho^2 = 2, E rho^4 = 8 times the mean of
 * the product, or its square, over the angle. Midpoints where it is not 0: the error is (pi/N)^2. */
START_TEST(relu_of_one_row) {
    enum { N = 20000 };
    for (int k = 0; k <= 24; ++k) {
        double theta = PI * k / 24, low = theta - PI / 2, width = PI - theta, mean = 0, square = 0;
        for (int i = 0; i < N; ++i) {
            double phi = low + width * (i + 0.5) / N, product = cos(phi) * cos(phi - theta);
            mean += 2 * product * width / (2 * PI * N);
            square += 8 * product * product * width / (2 * PI * N);
        }
        check_close(verify_relu_mean(theta), mean, 1e-7, "mean", theta);
        check_close(verify_relu_square(theta), square, 1e-7, "square", theta);
    }
    check_close(verify_relu_mean(0), 0.5, 1e-15, "mean", 0); /* half of E g^2, of E g^4 */
    check_close(verify_relu_square(0), 1.5, 1e-15, "square", 0);
    check_close(verify_relu_mean(PI / 2), 1 / (2 * PI), 1e-15, "mean", PI / 2); /* (E relu g)^2, (E relu(g)^2)^2 */
    check_close(verify_relu_square(PI / 2), 0.25, 1e-15, "square", PI / 2);
    check_close(verify_relu_mean(PI), 0, 1e-15, "mean", PI);
    check_close(verify_relu_square(PI), 0, 1e-15, "square", PI);
}
END_TEST

static double relu(double x) {
    return x > 0 ? x : 0;
}

/* The same by brute force: both rows' projections onto the plane of x and y. u1 = r p + ..., and u2's is rho (cos psi
 * p'
 * + sin psi sqrt(1-r^2) p) with p' across p and E rho^2 = 2/(d-1), independent of the rest. Midpoints in v =
 * sqrt(1-r^2) with density (d-2) v^(d-3) and trapezoids in both angles; the kinks cost about (2 pi/N)^2 of the largest
 * value. */
static double brute_relu_pair(double d, double theta) {
    enum { N = 180, V = 90 };
    double sum = 0, c = cos(theta), s = sin(theta);
    for (int i = 0; i < V; ++i) {
        double v = (i + 0.5) / V, inner = 0;
        for (int j = 0; j < N; ++j) {
            double px = cos(2 * PI * j / N), py = sin(2 * PI * j / N), own = relu(px) * relu(c * px + s * py);
            for (int k = 0; k < N && own > 0; ++k) {
                double along = sin(2 * PI * k / N) * v, across = cos(2 * PI * k / N);
                double qx = along * px - across * py, qy = along * py + across * px;
                inner += own * relu(qx) * relu(c * qx + s * qy);
            }
        }
        sum += (d - 2) * pow(v, d - 3) * (1 - v * v) * inner / V;
    }
    return d * d * 2 / (d - 1) * sum / ((double)N * N);
}

/* At theta = 0 the rows' signs are independent, so that a quarter is left of E w11^2 w21^2 = d^2 / (d (d + 2)). */
START_TEST(relu_of_two_rows) {
    double d = dims[_i], zero = d / (4 * (d + 2));
    check_close(verify_relu_pair(dims[_i], 0), zero, 1e-8 * zero, "pair", 0);
    check_close(verify_relu_pair(dims[_i], PI), 0, 1e-15, "pair", PI);
    for (int k = 1; k < 6 && _i < 4; ++k) {
        double theta = PI * k / 6, value = verify_relu_pair(dims[_i], theta);
        double limit = 3e-3 * value + 1e-7; /* smaller steps come nearer, in proportion to their square */
        check_close(value, brute_relu_pair(d, theta), limit, "pair", theta);
        ck_assert_double_gt(pow(verify_relu_mean(theta), 2) - value, 2 * limit); /* independent rows: wrong */
    }
    double last = zero;
    for (int k = 1; k <= 180; ++k) { /* falls, also where a part of the quadrature vanishes */
        double value = verify_relu_pair(dims[_i], PI * k / 180);
        ck_assert(value < last && value >= 0);
        last = value;
    }
}
END_TEST

/* One row: the moments of a lognormal, and of cosh and cos through it. Sums of more rows are sampled in
 * test_verify_moments. */
START_TEST(fourth_moment_of_one_row) {
    for (double square = 0.25; square <= 1; square *= 2)
        for (int f = VERIFY_EXP; f <= VERIFY_COS; ++f) {
            double s = f == VERIFY_COS ? -square : square, one = exp(s / 2), two = exp(2 * s), three = exp(4.5 * s);
            double four = exp(8 * s);
            if (f != VERIFY_EXP) {
                four = (four + 4 * two + 3) / 8;
                three = (three + 3 * one) / 4;
                two = (two + 1) / 2;
            }
            double central = four - 4 * one * three + 6 * one * one * two - 3 * pow(one, 4);
            for (uint32_t d = 2; d <= 16; d *= 2)
                check_close(verify_block_fourth((verify_function)f, d, 1, square), central, 1e-11 * four, "fourth",
                            square);
            ck_assert_double_gt(fabs(verify_block_fourth((verify_function)f, 4, 2, square) - central), 0.1 * central);
        }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_special");
    TCase *tcase = tcase_create("verify_special");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, hyperbolic_and_circular_functions);
    tcase_add_test(tcase, exponentials_and_polynomials);
    tcase_add_test(tcase, hypergeometric_functions_by_30_digits);
    tcase_add_loop_test(tcase, pair_of_equals, 0, DIMS);
    tcase_add_loop_test(tcase, pair_is_symmetric, 0, DIMS);
    tcase_add_loop_test(tcase, pair_of_small_vectors, 0, DIMS);
    tcase_add_test(tcase, relu_of_one_row);
    tcase_add_loop_test(tcase, relu_of_two_rows, 0, DIMS);
    tcase_add_test(tcase, fourth_moment_of_one_row);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
