/* The Performer paper's Figure 2: MSE(trig) / MSE(positive) for |x| = |y| = l at an angle, l = 1:
 * r = 1/2 e^(-4 l^2 cos f) (1 - e^(-2 l^2 (1 - cos f)))^2 / (1 - e^(-2 l^2 (1 + cos f))). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "scenario.h"

enum { ANGLES = 4, MAPS = 2, FIGURE_M = 64 };

static const double degrees[ANGLES] = {90.0, 120.0, 135.0, 150.0}, published[ANGLES] = {0.432, 5.28, 17.9, 64.7};

typedef struct figure_data {
    const verify_pool *pool;
    verify_estimand e[MAPS]; /* trig, positive */
    verify_scenario scenarios[MAPS];
} figure_data;

static void release(void *memory) {
    figure_data *data = memory;
    for (size_t i = 0; data && i < MAPS; ++i)
        verify_scenario_free(&data->scenarios[i]);
    free(data);
}

static void size_up(verify_job *job, const verify_options *options, double share) {
    static const double rhos[] = {0.1, 0.03, 0.01};
    static const uint32_t most[] = {24, 200, 3000};
    figure_data *data = job->data;
    for (size_t i = 0; i < MAPS; ++i) {
        verify_scenario *s = &data->scenarios[i];
        verify_scenario_size(s, &data->e[i], data->pool, options, share, rhos[options->level], most[options->level]);
        job->blocks = s->blocks > job->blocks ? s->blocks : job->blocks;
    }
    job->cost = data->pool->trials * data->pool->m * 2e-4;
}

static bool work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    const figure_data *data = job->data;
    bool good = true;
    for (size_t i = 0; good && i < MAPS; ++i)
        good = verify_scenarios_run(worker, &data->scenarios[i], 1, &data->e[i], data->pool, drawn, block, record);
    return good;
}

static double formula(double degree) {
    double c = cos(degree * acos(-1.0) / 180.0);
    return 0.5 * exp(-4.0 * c) * pow(1.0 - exp(-2.0 * (1.0 - c)), 2.0) / (1.0 - exp(-2.0 * (1.0 + c)));
}

static void judge(verify_run *run, const verify_job *job, const double *const *records) {
    const figure_data *data = job->data;
    double mse[MAPS][ANGLES], band[MAPS][ANGLES], ratio[ANGLES], low[ANGLES], high[ANGLES], x[61], truth[61];
    for (size_t i = 0; i < MAPS; ++i)
        for (size_t a = 0; a < ANGLES; ++a) {
            const verify_scenario *s = &data->scenarios[i];
            const verify_catoni *test = &s->rows[a].test;
            verify_catoni_sums sums = verify_row_sums(s, a, records);
            verify_row_judge(run, job, s, a, &sums);
            mse[i][a] = verify_total(&sums.sum) / test->samples;
            band[i][a] = verify_catoni_band(test->variance, test->samples, 0.01 / (2 * ANGLES));
        }
    char *cells[(ANGLES + 1) * 5] = {"angle", "measured ratio", "99 % interval", "exact", "published"};
    for (size_t a = 0; a < ANGLES; ++a) {
        char **row = cells + (a + 1) * 5;
        ratio[a] = mse[0][a] / mse[1][a];
        low[a] = fmax(mse[0][a] - band[0][a], 0.0) / (mse[1][a] + band[1][a]);
        high[a] = (mse[0][a] + band[0][a]) / fmax(mse[1][a] - band[1][a], 1e-300);
        row[0] = verify_format("%g", degrees[a]);
        row[1] = verify_format("%.3g", ratio[a]);
        row[2] = verify_format("%.3g to %.3g", low[a], high[a]);
        row[3] = verify_format("%.4g", formula(degrees[a]));
        row[4] = verify_format("%.3g", published[a]);
    }
    verify_add_table(run, job->suite, "Performer, Figure 2: MSE of trig over MSE of positive features, |x| = |y| = 1",
                     "iid rows, m = 64. Above 1 positive features are better.", 5, ANGLES, cells);
    for (size_t i = 5; i < (ANGLES + 1) * 5; ++i)
        free(cells[i]);
    for (size_t i = 0; i < 61; ++i) {
        x[i] = 90.0 + (double)i;
        truth[i] = formula(x[i]);
    }
    verify_plot *plot =
        verify_add_plot(run, job->suite, "Performer, Figure 2", "angle between query and key, degrees",
                        "MSE(trig) / MSE(positive)", false, true, "Bars hold together with probability 0.99.");
    verify_add_series(run, plot, "measured", VERIFY_POINTS, ANGLES, degrees, ratio, low, high);
    verify_add_series(run, plot, "exact", VERIFY_THEORY, 61, x, truth, NULL, NULL);
}

static bool fill(figure_data *data, verify_run *run, size_t i) {
    verify_scenario *s = &data->scenarios[i];
    uint32_t d = data->pool->dim;
    s->m = FIGURE_M;
    s->square = true;
    s->chunk = 32;
    snprintf(s->label, sizeof s->label, "%s, m=%d", data->e[i].name, FIGURE_M);
    if (!verify_scenario_init(s, run, data->pool, ANGLES, 1, 1, ANGLES))
        return false;
    double y[VERIFY_MAX_DIM] = {1.0}, x[VERIFY_MAX_DIM] = {0.0};
    verify_scenario_key(s, 0, y);
    verify_scenario_lay_out(s);
    for (uint32_t a = 0; a < ANGLES; ++a) {
        double angle = degrees[a] * acos(-1.0) / 180.0;
        x[0] = cos(angle);
        for (uint32_t l = 1; l < d; ++l)
            x[l] = sin(angle) / sqrt(d - 1.0);
        verify_scenario_query(s, a, x);
        s->rows[a].query = a;
        snprintf(s->rows[a].label, sizeof s->rows[a].label, "%g degrees", degrees[a]);
    }
    return true;
}

void verify_figure_2(verify_run *run) {
    const verify_pool *pool = verify_pool_get(run, 6, CLFAVOR_PROJECTION_IID, 16384, 8);
    figure_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    data->pool = pool;
    verify_estimand_init(&data->e[0], VERIFY_TRIG, pool->dim);
    verify_estimand_init(&data->e[1], VERIFY_POSITIVE, pool->dim);
    verify_job job = {.suite = "attention",
                      .text = "MSE of trig over that of positive features by angle",
                      .method = "Catoni on squared errors, exact variance",
                      .group = &pool->group,
                      .data = data,
                      .size_up = size_up,
                      .work = work,
                      .judge = judge,
                      .release = release};
    snprintf(job.name, sizeof job.name, "figure-2");
    if (!fill(data, run, 0) || !fill(data, run, 1)) {
        release(data);
        return;
    }
    verify_scenarios_place(data->scenarios, MAPS, &job);
    verify_add_job(run, &job);
}
