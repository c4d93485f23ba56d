/* Reports of a run in files: all opened before the work, written after it, each whole or not at all. */
#ifndef CLI_REPORT_FILE_H
#define CLI_REPORT_FILE_H

#include <stdio.h>

#include "outfile.h"

typedef struct report_file {
    outfile file;                                /* OUTFILE_CLOSED at first */
    const char *path;                            /* NULL: not wanted */
    bool (*write)(const void *result, FILE *to); /* false: memory is exhausted, or the stream failed */
} report_file;

/* Opens those that have a path. Returns CLI_OK or an error that was printed: two are one file, or one cannot be made.
 */
int report_files_open(report_file *files, size_t count);
/* Makes each in memory, and only then its file. Returns CLI_OK or an error that was printed. */
int report_files_write(report_file *files, size_t count, const void *result);
/* Removes what was opened and not written. */
void report_files_discard(report_file *files, size_t count);

#endif
