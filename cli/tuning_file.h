/* A database of tuning rows: what `clfavor tune' writes and --tuning and $CLFAVOR_TUNING read. docs/gpus.md has its
 * format. */
#ifndef CLI_TUNING_FILE_H
#define CLI_TUNING_FILE_H

#include <jansson.h>

#include "tune.h"

typedef struct tuning_file {
    json_t *root;         /* owns the strings of the rows */
    clfavor_tuning *rows; /* in the file's order */
    size_t count;
    const char *path; /* NULL: no file */
} tuning_file;

/* The file that is meant: path, where that is NULL $CLFAVOR_TUNING, or NULL for none ("" is none, too). */
const char *tuning_file_path(const char *path);

/* Reads all rows; path NULL: none. Returns CLI_OK or an error that was printed and names file and row; unknown keys are
 * notes. Close it either way. */
int tuning_file_read(tuning_file *file, const char *path);
void tuning_file_close(tuning_file *file);

/* What a tuner found, as an entry of a file. NULL: memory is exhausted. */
json_t *tuning_file_entry(const bench_tune_result *result);
/* Puts the entry into the file, which need not exist, in the place of the one of the same device and class; *replaced
 * tells whether there was one. A file that is no database stays as it is. Takes no reference. */
int tuning_file_update(const char *path, json_t *entry, bool *replaced);

#endif
