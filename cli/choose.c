#include "choose.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "message.h"
#include "predict.h"
#include "tensor_io.h"

/* q, k and v on the device, and a predictor on them. */
static int open_predictor(const chooser *c, predictor *p, uint64_t rows) {
    int status = CLI_OK;
    for (int i = 0; i < 3 && !status; ++i)
        if (!c->buffers[i])
            status = tensor_upload(c->session, &c->arrays[i], inputs_names[i], &c->buffers[i]);
    return status ? status : predictor_open(p, c->session, c->shape, c->arrays, c->buffers, c->options->scale, rows);
}

/* The options before fitting_open settled them. */
static options as_asked(const chooser *c) {
    options asked = *c->options;
    if (c->fitting->active) { /* which takes the exact keys off again */
        asked.features = c->fitting->total;
        asked.exact_keys = c->fitting->exact;
        asked.exact_keys_given = true;
        asked.map = c->fitting->fitted ? CLFAVOR_MAP_POSITIVE : c->options->map;
        asked.scale = c->options->estimator ? 0 : c->options->scale;
    }
    return asked;
}

/* --best-of: the draw for each K/V head. */
static int choose_draws(chooser *c) {
    options asked = as_asked(c);
    predictor p = {0};
    uint32_t sets = (uint32_t)c->shape->heads_kv;
    uint64_t *seeds = malloc(sets * sizeof *seeds);
    int status = seeds ? open_predictor(c, &p, CHOOSE_ROWS) : cli_error(CLI_FAILED, "host memory is exhausted");
    if (!status)
        status = predict_best(&p, &asked, seeds);
    if (!status)
        status = projection_choose(c->projection, seeds, sets);
    predictor_close(&p);
    free(seeds);
    return status;
}

/* --exact-keys auto: the T with the least predicted median error. */
static int choose_exact_keys(chooser *c) {
    options *o = c->options;
    uint64_t heads = c->shape->batch * c->shape->heads;
    uint32_t total = c->fitting->active ? c->fitting->total : c->projection->rows, best = 0;
    predictor p = {0};
    double least = INFINITY;
    predicted found = {.errors = malloc((size_t)heads * sizeof(double))};
    options asked = as_asked(c);
    asked.features = total;
    asked.exact_keys_given = true;
    int status = found.errors ? open_predictor(c, &p, PREDICT_ROWS) : cli_error(CLI_FAILED, "host memory is exhausted");
    const uint32_t counts[] = {
        0, total / 8, total / 4, total / 8 * 3, total / 2, total / 4 * 3, fitting_exact_keys(total, c->shape->n_k)};
    for (size_t i = 0; i < sizeof counts / sizeof *counts && !status; ++i) {
        asked.exact_keys = counts[i];
        if (counts[i] >= total || counts[i] > c->shape->n_k ||
            (status = predict_error(&p, &asked, PREDICT_DRAWS, &found)))
            continue;
        double error = compare_median(found.errors, (size_t)heads);
        if (error < least) {
            least = error;
            best = counts[i];
        }
    }
    predictor_close(&p);
    free(found.errors);
    if (status)
        return status;
    cli_note("%" PRIu32 " exact keys have the least predicted error, %.3g", best, least);
    asked.exact_keys = best;
    asked.exact_auto = false;
    *o = asked;
    projection_close(c->projection);
    fitting_close(c->fitting);
    if (!(status = fitting_open(c->fitting, o, c->shape)))
        status = projection_open(c->projection, o, c->shape->d, c->shape->heads_kv, c->shape->heads);
    return status;
}

/* --target-error: the smallest M of a ladder whose predicted median error is low enough. */
static int choose_features(chooser *c) {
    options *o = c->options;
    predictor p = {0};
    double least = INFINITY;
    uint32_t least_at = 0;
    uint64_t heads = c->shape->batch * c->shape->heads;
    predicted found = {.errors = malloc((size_t)heads * sizeof(double))};
    int status = found.errors ? CLI_OK : cli_error(CLI_FAILED, "host memory is exhausted");
    if (!status)
        status = open_predictor(c, &p, PREDICT_ROWS);
    p.quiet = true; /* the fit that is run will say it */
    bool met = false, last = false;
    uint32_t most = 0;
    for (size_t i = 0; !status && !met && !last && i < PREDICT_LADDER; ++i) {
        options own = *o;
        own.features = most = predict_ladder[i];
        last = most > c->shape->n_k && !o->causal; /* all keys are exact */
        if ((status = predict_error(&p, &own, PREDICT_DRAWS, &found)))
            break;
        double error = compare_median(found.errors, (size_t)heads);
        if (error < least) {
            least = error;
            least_at = most;
        }
        met = error <= o->target_error;
    }
    if (!status && !met)
        status = cli_error(CLI_FAILED,
                           "no M up to %u has a predicted error of at most %g (the least is %.3g, at M = %u); exact "
                           "attention (--exact) would take about %.3g s here",
                           most, o->target_error, least, least_at,
                           p.comparison.seconds * (double)c->shape->n / (double)p.comparison.rows);
    if (!status) {
        cli_note("M = %u has a predicted error of %.3g%s (median over heads, %" PRIu64 " query rows, %u draws)",
                 least_at, least, o->causal ? " without --causal" : "", p.comparison.rows, PREDICT_DRAWS);
        c->predicted_error = least;
        o->features = least_at;
        projection_close(c->projection);
        fitting_close(c->fitting);
        if (!(status = fitting_open(c->fitting, o, c->shape)))
            status = projection_open(c->projection, o, c->shape->d, c->shape->heads_kv, c->shape->heads);
    }
    predictor_close(&p);
    free(found.errors);
    return status;
}

int choose(chooser *c) {
    const options *o = c->options;
    int status = o->target_error != 0 ? choose_features(c) : CLI_OK;
    if (!status && o->exact_auto)
        status = choose_exact_keys(c);
    if (!status && o->best_of)
        status = choose_draws(c);
    return status;
}
