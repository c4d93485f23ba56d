/* A database of tuning rows, as --tuning and $CLFAVOR_TUNING name it. docs/gpus.md has its format; tuning_save.h
 * writes it. */
#ifndef CLI_TUNING_FILE_H
#define CLI_TUNING_FILE_H

#include <jansson.h>
#include <stddef.h>

#include <clfavor/clfavor.h>

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

/* The members of a row that are numbers, and between what they may be besides 0. */
typedef struct tuning_number {
    const char *key;
    size_t offset;
    uint32_t low, high;
} tuning_number;

enum { TUNING_NUMBERS = 9 };
extern const tuning_number tuning_numbers[TUNING_NUMBERS];

#define TUNING_FORMAT  "clfavor-tuning"
#define TUNING_VERSION 1

#endif
