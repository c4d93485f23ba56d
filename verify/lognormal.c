#include "lognormal.h"

#include <math.h>
#include <stdlib.h>

#include "binned.h"
#include "bounds.h"
#include "device.h"
#include "laws.h"

typedef struct lognormal_data {
    const verify_pool *pool; /* m = 1 */
    float q[6], k[6];
    double mean, sigma;
    verify_binned law;
} lognormal_data;

/* log of the estimate with m = 1 is w.z - (|x|^2 + |y|^2)/2. */
static bool lognormal_work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    (void)block;
    const lognormal_data *data = job->data;
    uint32_t trials = data->pool->trials;
    float *lse = verify_alloc(worker, trials, sizeof *lse);
    verify_call call = {.map = CLFAVOR_MAP_POSITIVE,
                        .m = 1,
                        .dim = 6,
                        .chunk = 32,
                        .heads = trials,
                        .n = 1,
                        .shared = true,
                        .q = data->q,
                        .k = data->k,
                        .lse = lse};
    clfavor_estimator *e = lse ? verify_estimator(worker, CLFAVOR_MAP_POSITIVE, drawn, 0, 0.0) : NULL;
    const clfavor_weights *weights = e ? verify_weights(worker, e) : NULL;
    bool good = weights && verify_attention(worker, &call, weights);
    for (uint32_t t = 0; good && t < trials; ++t)
        verify_binned_count(&data->law, record, ((double)lse[t] - data->mean) / data->sigma);
    clfavor_estimator_destroy(e);
    free(lse);
    return good;
}

static void lognormal_judge(verify_run *run, const verify_job *job, const double *const *records) {
    const lognormal_data *data = job->data;
    double counts[VERIFY_BINS] = {0}, x[VERIFY_BINS - 2], y[VERIFY_BINS - 2], truth[VERIFY_BINS - 2], total = 0.0;
    for (uint32_t b = 0; b < job->blocks; ++b)
        for (size_t i = 0; i < VERIFY_BINS; ++i)
            total += records[b][i], counts[i] += records[b][i];
    char name[128];
    snprintf(name, sizeof name, "%s/log of the estimate", job->name);
    verify_check check = verify_check_init(job, "DKW", verify_dkw_statistic(counts, data->law.cdf, VERIFY_BINS),
                                           verify_two_sided_threshold(run->share), run->share);
    check.name = name;
    check.samples = total;
    verify_add_check(run, &check);
    for (size_t i = 1; i + 1 < VERIFY_BINS; ++i) {
        double low = data->law.edge[i - 1], high = data->law.edge[i], middle = 0.5 * (low + high);
        x[i - 1] = data->mean + data->sigma * middle;
        y[i - 1] = counts[i] / total / ((high - low) * data->sigma);
        truth[i - 1] = exp(-middle * middle / 2.0) / (data->sigma * sqrt(2.0 * acos(-1.0)));
    }
    char *title = verify_format("Log of the estimate with one row, positive map, %s", data->pool->name);
    verify_plot *plot =
        verify_add_plot(run, job->suite, title, "log of the estimate", "density", false, false,
                        "What the kernels give for one query, one key and one row of W, drawn anew each "
                        "time, against the exact law: normal with mean -(|x|^2+|y|^2)/2 and variance "
                        "|x+y|^2.");
    verify_add_series(run, plot, "measured", VERIFY_BARS, VERIFY_BINS - 2, x, y, NULL, NULL);
    verify_add_series(run, plot, "exact", VERIFY_THEORY, VERIFY_BINS - 2, x, truth, NULL, NULL);
    free(title);
}

static void lognormal_size_up(verify_job *job, const verify_options *options, double share) {
    (void)share;
    static const double factors[] = {1.0, 12.5, 100.0};
    const lognormal_data *data = job->data;
    job->blocks = verify_pool_blocks(data->pool, options, 8.0 * factors[options->level] * data->pool->trials);
    job->cost = data->pool->trials * 2e-3;
}

void verify_add_lognormal(verify_run *run, const verify_pool *pool) {
    lognormal_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    data->pool = pool;
    double z = 0.0, norms = 0.0, root = pow(6.0, 0.25);
    for (int l = 0; l < 6; ++l) {
        data->q[l] = 0.4F - 0.1F * (float)l;
        data->k[l] = 0.3F + 0.15F * (float)l;
        double x = (double)data->q[l] / root, y = (double)data->k[l] / root;
        z += (x + y) * (x + y);
        norms += x * x + y * y;
    }
    data->mean = -norms / 2.0;
    data->sigma = sqrt(z);
    verify_binned_make(&data->law, verify_normal_cdf, 1.0, -9.0, 9.0);
    verify_job job = {.suite = "law",
                      .text = "the estimate with one row is lognormal, through the kernels",
                      .method = "DKW",
                      .tests = 1,
                      .size = VERIFY_BINS,
                      .group = &pool->group,
                      .data = data,
                      .size_up = lognormal_size_up,
                      .work = lognormal_work,
                      .judge = lognormal_judge,
                      .release = free};
    snprintf(job.name, sizeof job.name, "lognormal/%s", pool->name);
    verify_add_job(run, &job);
}
