/* The generator and the projections: known answers, and Haar blocks entry by entry. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "exact.h"
#include "oracle.h"

/* J. Salmon et al., Random123's known answers for philox4x32-10. */
static bool philox(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    (void)worker;
    static const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu},
        {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u, 0xd16cfe09u, 0x94fdccebu,
         0x5001e420u, 0x24126ea1u}};
    for (size_t i = 0; i < exact->count; ++i) {
        uint32_t out[4];
        clfavor_philox4x32(known[i], known[i] + 4, out);
        values[i].value = memcmp(out, known[i] + 6, sizeof out) != 0;
    }
    return true;
}

/* Box-Muller in long double: u = (k + 1) 2^-64 from words 0 and 1, the angle from the top 53 bits of words 2 and 3. */
static double normal_error(const uint32_t block[4]) {
    double pair[2];
    clfavor_normal_pair(block, pair);
    long double u = ((long double)block[1] * 0x1p32L + (long double)block[0] + 1.0L) * 0x1p-64L;
    long double angle = ((long double)block[3] * 0x1p21L + (long double)(block[2] >> 11)) * 0x1p-53L * 2.0L *
                        3.14159265358979323846264338327950288L;
    long double radius = sqrtl(-2.0L * logl(u));
    double error =
        (double)hypotl((long double)pair[0] - radius * cosl(angle), (long double)pair[1] - radius * sinl(angle));
    return isnan(pair[0]) || isnan(pair[1]) ? NAN : error;
}

static bool normals(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    (void)worker;
    (void)exact;
    static const uint32_t ends[][4] = {{0, 0, 0, 0},           {1, 0, 0, 0x20000000u},       {~0u, 0, 0, 0x60000000u},
                                       {0, 1, 0, 0xa0000000u}, {~0u, 0xffu, 0, 0x10000000u}, {~0u, ~0u, ~0u, ~0u}};
    /* radius at most 9.5; log, sqrt and cos err by a few units each: 16 eps of the radius */
    for (size_t i = 0; i < 6; ++i) {
        values[0].value = fmax(values[0].value, normal_error(ends[i]));
        if (isnan(normal_error(ends[i])))
            values[0].value = NAN;
    }
    for (uint32_t i = 0; i < 10000; ++i) {
        const uint32_t counter[4] = {i, 0, 0, 0}, key[2] = {1, 2};
        uint32_t block[4];
        clfavor_philox4x32(counter, key, block);
        double error = normal_error(block);
        if (!(error <= values[1].value))
            values[1].value = error;
    }
    values[0].tolerance = values[1].tolerance = 16.0 * DBL_EPSILON * 9.5;
    return true;
}

/* Householder's Q is that of a matrix within 4 d eps |G| of G, which moves its rows by up to that times the condition
 * number of G. */
static double block_distance(const double *rows, const double *oracle, uint32_t count, uint32_t dim, double condition) {
    double worst = 0.0;
    for (uint32_t i = 0; i < count; ++i) {
        double square = 0.0;
        for (uint32_t l = 0; l < dim; ++l)
            square += oracle[(size_t)i * dim + l] * oracle[(size_t)i * dim + l];
        double allowed = 4.0 * dim * DBL_EPSILON * condition * sqrt(square);
        for (uint32_t l = 0; l < dim; ++l) {
            double distance = fabs(rows[(size_t)i * dim + l] - oracle[(size_t)i * dim + l]) / allowed;
            if (!(distance <= worst))
                worst = distance;
        }
    }
    return worst;
}

static bool haar(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    static const uint32_t dims[] = {1, 2, 3, 6, 16, 64};
    enum { SETS = 2 };
    bool good = true;
    for (size_t i = 0; good && i < exact->count; ++i) {
        uint32_t d = dims[i], m = 2 * d + d / 2; /* two blocks and a part */
        uint64_t seed = verify_seed(worker->run->options.seed, "haar", d);
        clfavor_projection *p = verify_projection(worker, CLFAVOR_PROJECTION_ORTHOGONAL, m, d, SETS, seed);
        double *oracle = verify_alloc(worker, (size_t)d * d, sizeof *oracle);
        good = p && oracle;
        values[i].tolerance = 1.0;
        for (uint32_t set = 0; good && set < SETS; ++set)
            for (uint32_t done = 0; done < m; done += d) {
                verify_block_normals(seed, set, done / d, d, oracle);
                double condition = verify_gram_schmidt(oracle, d);
                const double *rows = clfavor_projection_data(p) + ((size_t)set * m + done) * d;
                double distance = block_distance(rows, oracle, m - done < d ? m - done : d, d, condition);
                if (!(distance <= values[i].value))
                    values[i].value = distance;
            }
        clfavor_projection_destroy(p);
        free(oracle);
    }
    return good;
}

/* iid rows and phases are the generator's numbers themselves. */
static bool places(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    (void)exact;
    enum { D = 5, M = 7, SETS = 3 };
    uint64_t seed = verify_seed(worker->run->options.seed, "places", 0);
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    clfavor_projection *p = verify_projection(worker, CLFAVOR_PROJECTION_IID, M, D, SETS, seed);
    clfavor_projection *more = verify_projection(worker, CLFAVOR_PROJECTION_ORTHOGONAL, 3 * D, D, SETS, seed);
    clfavor_projection *less = verify_projection(worker, CLFAVOR_PROJECTION_ORTHOGONAL, D + 2, D, 1, seed);
    bool good = p && more && less;
    for (uint32_t set = 0; good && set < SETS; ++set)
        for (uint32_t r = 0; r < M; ++r) {
            uint32_t block[4];
            const uint32_t phase[4] = {r, 0, set, 3};
            clfavor_philox4x32(phase, key, block);
            double u = ((double)block[1] * 0x1p21 + (double)(block[0] >> 11)) * 0x1p-53;
            values[1].value += clfavor_projection_phases(p)[(size_t)set * M + r] != 6.283185307179586 * u;
            for (uint32_t l = 0; l < D; ++l) {
                double pair[2];
                const uint32_t counter[4] = {l / 2, r, set, 1};
                clfavor_philox4x32(counter, key, block);
                clfavor_normal_pair(block, pair);
                values[0].value += clfavor_projection_data(p)[((size_t)set * M + r) * D + l] != pair[l % 2];
            }
        }
    if (good) /* a row depends on seed, set, row and d alone */
        values[2].value =
            memcmp(clfavor_projection_data(more), clfavor_projection_data(less), (D + 2) * D * sizeof(double)) != 0;
    clfavor_projection_destroy(p);
    clfavor_projection_destroy(more);
    clfavor_projection_destroy(less);
    return good;
}

void verify_exact_numbers(verify_run *run) {
    static const char *const philox_labels[] = {"zeros", "ones", "digits of pi"};
    static const char *const normal_labels[] = {"ends of the uniform numbers", "10,000 blocks"};
    static const char *const haar_labels[] = {"d=1", "d=2", "d=3", "d=6", "d=16", "d=64"};
    static const char *const place_labels[] = {"iid entries by counter", "phases by counter",
                                               "rows do not depend on m or the number of sets"};
    static const verify_exact all[] = {
        {"philox", "known answers of the generator", 3, philox_labels, 1.0, philox, 0, false},
        {"normals", "Box-Muller with a 64-bit radius, against long double", 2, normal_labels, 10.0, normals, 0, false},
        {"haar", "the sign-fixed Q of the same normals by Gram-Schmidt, entry by entry", 6, haar_labels, 50.0, haar, 0,
         false},
        {"places", "what a draw depends on", 3, place_labels, 1.0, places, 0, false}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        verify_add_exact(run, &all[i]);
}
