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
    if (!status)
        status = predictor_open(p, c->session, c->shape, c->arrays, c->buffers, c->options->scale, rows);
    p->quiet = true; /* the fit that is run will say it */
    return status;
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

/* The run becomes one with these options. */
static int settle(chooser *c, const options *asked) {
    *c->options = *asked;
    projection_close(c->projection);
    fitting_close(c->fitting);
    int status = fitting_open(c->fitting, c->options, c->shape);
    if (!status)
        status = projection_open(c->projection, c->options, c->shape->d, c->shape->heads_kv, c->shape->heads);
    return status;
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
    return settle(c, &asked);
}

/* --target-error: the smallest M of a ladder whose predicted median error is low enough. */
static int choose_features(chooser *c) {
    options *o = c->options;
    predictor p = {0};
    double least = INFINITY;
    uint32_t least_at = 0, least_exact = 0;
    double worst = 0;
    uint64_t heads = c->shape->batch * c->shape->heads;
    predicted found = {.errors = malloc((size_t)heads * sizeof(double))};
    int status = found.errors ? CLI_OK : cli_error(CLI_FAILED, "host memory is exhausted");
    if (!status)
        status = open_predictor(c, &p, PREDICT_ROWS);
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
            least_exact = found.exact;
            worst = 0;
            for (uint64_t head = 0; head < heads; ++head)
                worst = fmax(worst, found.errors[head]);
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
        status = comparison_measure(&p.comparison, p.o, p.comparison.rows, 1, true); /* for mean(V) */
        cli_note("M = %u has a predicted error of %.3g%s (median over heads, the worst %.3g; %" PRIu64
                 " query rows, %u draws); answering mean(V) errs %.3g",
                 least_at, least, o->causal ? " without --causal" : "", worst, p.comparison.rows, PREDICT_DRAWS,
                 compare_median(p.comparison.baseline, (size_t)heads));
        c->predicted_error = least;
        options asked = as_asked(c);
        asked.features = least_at;
        asked.exact_keys = least_exact;
        asked.exact_keys_given = !o->causal;
        if (!status)
            status = settle(c, &asked);
    }
    predictor_close(&p);
    free(found.errors);
    return status;
}

/* Without a word about exact keys: the rule's number, or none where that is predicted to be better. */
static int choose_usual(chooser *c) {
    uint32_t by_rule = c->fitting->exact;
    options asked = as_asked(c);
    asked.exact_keys = 0;
    asked.exact_keys_given = false;
    predictor p = {0};
    predicted found = {.errors = malloc((size_t)(c->shape->batch * c->shape->heads) * sizeof(double))};
    int status = found.errors ? open_predictor(c, &p, PREDICT_ROWS) : cli_error(CLI_FAILED, "host memory is exhausted");
    if (!status)
        status = predict_error(&p, &asked, PREDICT_DRAWS, &found);
    predictor_close(&p);
    free(found.errors);
    if (status || found.exact == by_rule)
        return status;
    cli_note("no key is treated exactly here: with %u exact keys the predicted error is larger", by_rule);
    asked.exact_keys_given = true; /* as none */
    return settle(c, &asked);
}

int choose(chooser *c) {
    const options *o = c->options;
    int status = o->target_error != 0 ? choose_features(c) : CLI_OK;
    if (!status && o->exact_auto)
        status = choose_exact_keys(c);
    else if (!status && c->fitting->usual && c->fitting->exact && c->fitting->exact < c->shape->n_k)
        status = choose_usual(c);
    if (!status && o->best_of)
        status = choose_draws(c);
    return status;
}
