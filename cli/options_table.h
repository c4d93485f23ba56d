/* The options of the subcommands that options.c reads: keys, tables and texts. */
#ifndef CLI_OPTIONS_TABLE_H
#define CLI_OPTIONS_TABLE_H

#include "options.h"

enum {
    KEY_Q = 256, /* above every character: no short options */
    KEY_K,
    KEY_V,
    KEY_X,
    KEY_OUT,
    KEY_OUT_SCALE,
    KEY_ROLE,
    KEY_LSE,
    KEY_LSE_SIGN,
    KEY_MAP,
    KEY_FEATURES,
    KEY_PROJECTION,
    KEY_SEED,
    KEY_PROJECTION_OUT,
    KEY_PROJECTION_IN,
    KEY_PER_HEAD,
    KEY_SCALE,
    KEY_CAUSAL,
    KEY_CHUNK,
    KEY_PIECES,
    KEY_EXACT,
    KEY_COMPARE,
    KEY_COMPARE_ROWS,
    KEY_DEVICE,
    KEY_TUNING,
    KEY_CLASS,
    KEY_BACKEND,
    KEY_REPEAT,
    KEY_JSON,
    KEY_FIT,
    KEY_FIT_METHOD,
    KEY_ESTIMATOR,
    KEY_TARGET_ERROR,
    KEY_EXACT_KEYS,
    KEY_SAMPLE,
    KEY_METHODS,
    KEY_CORRECT,
    KEY_BEST_OF,
    KEY_ALLOW_LEAK,
    KEY_HELP
};

typedef struct options_text {
    const char *name, *doc;
    const struct argp_option *table;
} options_text;

/* By subcommand. */
extern const options_text options_texts[5];

#endif
