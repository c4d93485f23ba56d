/* Puts what a tuner found into a database of tuning rows. */
#ifndef CLI_TUNING_SAVE_H
#define CLI_TUNING_SAVE_H

#include <jansson.h>

#include "tune.h"

/* An entry of a database. NULL: memory is exhausted. */
json_t *tuning_entry(const bench_tune_result *result);
/* Puts the entry into the file, which need not exist, in the place of the one of the same device and class; *replaced
 * tells whether there was one. A file that is no database stays as it is. Takes no reference. Returns CLI_OK or an
 * error that was printed. */
int tuning_save(const char *path, json_t *entry, bool *replaced);

#endif
