/** @file verify.h
 *  The statistical harness: what `clfavor verify` runs. It proves, with a stated false-alarm rate, that the library's
 *  estimators are what they claim to be, through the library's public functions only.
 *
 *  A run is a list of jobs. A job belongs to a suite, is made of blocks of trials, and ends in checks. A block's record
 *  (sums and counts) is a pure function of (seed, job, block) and of the device's kernels, so blocks can be done in any
 *  order, by any shard, and read back from a file. Every statistical check has the same share of the run's alpha. */
#ifndef VERIFY_H
#define VERIFY_H

#include <stdbool.h>
#include <stdio.h>

#include <clfavor/clfavor.h>

typedef enum verify_level { VERIFY_QUICK = 0, VERIFY_FULL = 1, VERIFY_NIGHTLY = 2 } verify_level;

typedef enum verify_outcome {
    VERIFY_PASSED = 0,
    VERIFY_FAILED = 1,
    VERIFY_SHOWN = 2,  /* a result that is reported, not judged */
    VERIFY_PENDING = 3 /* not all of its blocks are there (another shard has them) */
} verify_outcome;

typedef struct verify_check {
    const char *suite; /* static */
    char *name;        /* "d6/orthogonal/positive/one key, s=1, ones" */
    const char *test;  /* "Catoni", "DKW", "bound": static */
    verify_outcome outcome;
    double statistic, threshold; /* fails when statistic > threshold or NaN; 0 and 0 when not judged */
    double alpha;                /* its share; 0 for checks without chance */
    double samples;              /* NaN where it has no meaning, as for all below */
    double estimate, expected;   /* in the units of the checked quantity */
    double band;                 /* half-width around expected in which the estimate is accepted, about */
    double sensitivity;          /* relative shift that is missed with probability at most 1e-3 */
    const char *note;            /* static, or NULL */
} verify_check;

typedef enum verify_style {
    VERIFY_LINE = 0,   /* measured, joined */
    VERIFY_POINTS = 1, /* measured, with bars from low to high where given */
    VERIFY_THEORY = 2, /* dashed line */
    VERIFY_BAND = 3,   /* filled between low and high */
    VERIFY_BARS = 4    /* histogram: y over x, bars touching */
} verify_style;

typedef struct verify_series {
    char *label;
    verify_style style;
    size_t count;
    double *x, *y, *low, *high; /* low and high may be NULL; y may be NULL for a band */
} verify_series;

typedef struct verify_plot {
    const char *suite; /* static */
    char *title, *x_label, *y_label, *text;
    bool log_x, log_y;
    size_t series_count;
    verify_series *series;
} verify_plot;

typedef struct verify_table {
    const char *suite; /* static */
    char *title, *text;
    size_t columns, rows;
    char **cells; /* [1 + rows][columns]; the first row names the columns */
} verify_table;

typedef struct verify_result {
    verify_check *checks;
    size_t check_count;
    verify_plot *plots;
    size_t plot_count;
    verify_table *tables;
    size_t table_count;
    size_t passed, failed, shown, pending;
    size_t statistical; /* checks of the whole level that share alpha, whether selected or not */
    double alpha;
    uint64_t seed, blocks, blocks_done, blocks_resumed;
    double wall_seconds;
    verify_level level;
    uint32_t shard, shards;
    char device[256], platform[256], driver[128], version[128], device_class[8];
} verify_result;

typedef struct verify_options {
    cl_context cl;
    cl_device_id device;
    clfavor_context *context;
    verify_level level;
    uint64_t seed;
    double alpha;                 /* of the whole run */
    const char *const *selection; /* "suite" or the first words of "suite/job/name"; NULL: all */
    size_t selection_count;
    const char *const *resume; /* files of records: the first is added to, the others are only read */
    size_t resume_count;
    bool seed_given;        /* false: a file of records may bring its own seed */
    uint32_t shard, shards; /* this is shard 0 .. shards - 1; shards 0: all */
    uint32_t workers;       /* 0: one a processor and one more */
    bool stop_early;        /* stop at the first check that fails */
    bool reduced;           /* every job takes one block of 400 trials, and alpha is each check's (calibration) */
    /* done and total are in units of work; may be NULL */
    void (*progress)(void *user, double done, double total);
    void *user;
} verify_options;

/* Runs what is selected. false: it could not be run, and error (of 512 bytes) says why in one line; *bad_input then
 * tells whether the caller's choice (a selection without jobs, a file of another run) is to blame. Free the result
 * either way. */
bool verify_run_all(const verify_options *options, verify_result *result, char error[512], bool *bad_input);
void verify_result_free(verify_result *result);

/* Runs the selection `runs` times at reduced size, each time with another seed, with options->alpha for each check, and
 * counts: a check of the result holds its number of false alarms (statistic), what is claimed at most (threshold) and
 * the runs (samples). It fails when so many would have a probability below 1e-6 over all checks. progress counts runs.
 */
bool verify_calibrate(const verify_options *options, uint32_t runs, verify_result *result, char error[512],
                      bool *bad_input);

/* Whether the file holds records, and with which seed. */
bool verify_has_seed(const char *path, uint64_t *seed);

/* The suites' names in order, NULL at the end, and one line on each. */
extern const char *const verify_suites[];
extern const char *const verify_suite_texts[];
const char *verify_level_name(verify_level level);

/* One line a job of the level: suite/name, number of checks, blocks, test. Needs no device. */
bool verify_list(const verify_options *options, FILE *to, char error[512]);

typedef struct verify_mutants_options {
    const char *program; /* clfavor-mutants, the variant that has the bugs */
    const char *device;  /* selector; NULL: the default */
    verify_level level;
    uint64_t seed;
    double alpha;
    const char *const *selection; /* suites whose mutants are tried; count 0: all */
    size_t selection_count;
    void (*progress)(void *user, double done, double total);
    void *user;
} verify_mutants_options;

/* Runs the variant without a bug, and then with each, and adds checks and a table of the suite "mutants" to the result.
 * A mutant that no check of its suite finds is a failed check. false: it could not be run. */
bool verify_run_mutants(const verify_mutants_options *options, verify_result *result, char error[512]);

/* Reports; each returns false when the stream fails. The JSON's schema is docs/verify-schema.md. */
bool verify_write_json(const verify_result *result, FILE *to);
bool verify_write_junit(const verify_result *result, FILE *to);
bool verify_write_html(const verify_result *result, FILE *to);

#endif
