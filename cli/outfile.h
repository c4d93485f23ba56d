/* Output files that appear whole or not at all: written under a temporary name in the same folder, then renamed. */
#ifndef CLI_OUTFILE_H
#define CLI_OUTFILE_H

#include <stdbool.h>
#include <stddef.h>

#define OUTFILE_ERROR 512 /* bytes that an error message takes at most */

typedef struct outfile {
    char *path;     /* final name, symbolic links resolved; NULL when closed */
    int descriptor; /* -1 when closed */
    int slot;       /* of the table of temporary names; -1 for devices and pipes, which are written in place */
} outfile;

#define OUTFILE_CLOSED ((outfile){NULL, -1, -1})

/* Creates the temporary file. On failure false, and error says why. */
bool outfile_open(outfile *file, const char *path, char error[OUTFILE_ERROR]);
bool outfile_write(outfile *file, const void *data, size_t size, char error[OUTFILE_ERROR]);
/* Closes and renames. On failure nothing is left behind. */
bool outfile_commit(outfile *file, char error[OUTFILE_ERROR]);
/* Closes and removes; does nothing to a closed one. */
void outfile_discard(outfile *file);

/* Whether two paths name one regular file, which exists or would be created. */
bool outfile_same(const char *a, const char *b);

/* From now on a signal that ends the program removes its temporary files first. */
void outfile_catch_signals(void);

#endif
