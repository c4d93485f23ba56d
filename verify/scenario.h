/* A scenario: a few queries and keys, the same for every trial, whose estimates have a known law; run through attention
 * or through the feature matrix, tested row by row. */
#ifndef VERIFY_SCENARIO_H
#define VERIFY_SCENARIO_H

#include "bounds.h"
#include "device.h"
#include "moments.h"
#include "pool.h"

/* An estimator of the mean suite: a map, and for EXPONENTIAL its parameters. */
typedef struct verify_estimand {
    const char *name; /* "positive", "oprf" */
    clfavor_map map;
    bool by_hand;         /* by clfavor_estimator_create_exponential, the others by clfavor_estimator_create_sderf */
    verify_fitted fitted; /* into the arrays below; a is never NULL for EXPONENTIAL */
    double a[VERIFY_MAX_DIM], xbar[VERIFY_MAX_DIM], ybar[VERIFY_MAX_DIM];
    double tq[VERIFY_MAX_DIM * VERIFY_MAX_DIM], tk[VERIFY_MAX_DIM * VERIFY_MAX_DIM];
} verify_estimand;

enum verify_estimand_id {
    VERIFY_POSITIVE,
    VERIFY_HYPERBOLIC,
    VERIFY_TRIG,
    VERIFY_TRIG_PHASE,
    VERIFY_GAUSSIAN,
    VERIFY_RELU,
    /* CLFAVOR_MAP_EXPONENTIAL: */
    VERIFY_OPRF,         /* one A < 0 for all axes */
    VERIFY_SHIFT,        /* centres alone */
    VERIFY_DIAGONAL,     /* T diagonal, one A */
    VERIFY_FULL_BALANCE, /* T symmetric, one A */
    VERIFY_SDERF,        /* T a rotation, A by axis, both signs */
    VERIFY_FITTED,       /* what clfavor_fit_create makes of fixed queries, keys and values: all of it */
    VERIFY_GENERAL,      /* all of it, filled in by hand; A of both signs, T neither symmetric nor orthogonal */
    VERIFY_ESTIMANDS
};
/* false: memory is exhausted (FITTED only). */
bool verify_estimand_init(verify_estimand *e, enum verify_estimand_id id, uint32_t dim);
/* Not one A for all axes: the variance of blocks is then known by its bound alone. */
bool verify_estimand_has_axes(const verify_estimand *e, uint32_t dim);
/* OPRF's optimal A for p = mean(s)/d. */
double verify_best_a(double p);
bool verify_estimand_is_cosine(const verify_estimand *e);
/* The query x for which the variance with key y depends on z alone: x + y = z; x - y = z for cosines; Tq (x - xbar) +
 * Tk (y - ybar) = z for fitted ones. */
void verify_estimand_query(const verify_estimand *e, uint32_t dim, const double *z, const double *y, double *x);
/* Estimator from W [sets, m, d] and phases. */
clfavor_estimator *verify_estimand_estimator(verify_worker *worker, const verify_estimand *e,
                                             const clfavor_projection *projection);

/* One query row of a scenario. */
typedef struct verify_row {
    char label[48];
    uint32_t query; /* row of the scenario's q */
    verify_moments moments;
    double variance;  /* of the estimate with the scenario's m */
    bool exact;       /* variance is exact, not a bound */
    uint32_t samples; /* trials a block gives */
    verify_catoni test;
} verify_row;

typedef struct verify_scenario {
    char label[48];
    bool features; /* by the features operation */
    bool causal;
    bool square;    /* the squared error is tested, not the mean */
    uint32_t m;     /* rows of an estimate: the pool's, a multiple (draws taken together) or, if iid, a part of it */
    uint32_t chunk; /* asked for; 0: the plan's choice */
    uint32_t n, n_k, dim, keys;
    float *q, *k;                   /* [n, d], [n_k, d] */
    double *y;                      /* [keys, d] distinct keys, scaled, as rounded to float */
    uint32_t *order;                /* [n_k] which distinct key stands where */
    uint32_t exact[8], exact_count; /* tokens that are treated exactly, as clfavor_attention_args.exact_keys has them */
    verify_row *rows;
    size_t row_count;
    uint32_t blocks; /* the first so many take part */
    size_t at;       /* of its sums in the record: row_count times verify_catoni_sums */
} verify_scenario;

/* Arrays of a scenario; false when memory is exhausted. s->m 0: the pool's. */
bool verify_scenario_init(verify_scenario *s, verify_run *run, const verify_pool *pool, uint32_t n, uint32_t n_k,
                          uint32_t keys, size_t rows);
void verify_scenario_free(verify_scenario *s);
/* Stores x (scaled) as query i, or y as distinct key j, rounded to what the device gets. */
void verify_scenario_query(verify_scenario *s, uint32_t i, const double *x);
void verify_scenario_key(verify_scenario *s, uint32_t j, const double *y);
/* Lays the distinct keys out by s->order. */
void verify_scenario_lay_out(verify_scenario *s);

/* Moments, variance, test and blocks of all rows, for a relative shift rho of the mean (of the mean squared error) with
 * miss 1e-3, but at most so many blocks. */
void verify_scenario_size(verify_scenario *s, const verify_estimand *e, const verify_pool *pool,
                          const verify_options *options, double share, double rho, uint32_t most_blocks);

/* Runs the scenarios of a job that take part in the block, those of one m together. */
bool verify_scenarios_run(verify_worker *worker, const verify_scenario *scenarios, size_t count,
                          const verify_estimand *e, const verify_pool *pool, const clfavor_projection *drawn,
                          uint32_t block, double *record);
/* Sums of a row over all blocks, and the check made of them. */
verify_catoni_sums verify_row_sums(const verify_scenario *s, size_t row, const double *const *records);
void verify_row_judge(verify_run *run, const verify_job *job, const verify_scenario *s, size_t row,
                      const verify_catoni_sums *sums);
/* Places of the sums in the record and the number of tests. */
void verify_scenarios_place(verify_scenario *scenarios, size_t count, verify_job *job);

#endif
