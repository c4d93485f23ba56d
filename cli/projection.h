/* Where the projection comes from and goes to: drawn from the seed or read from --projection-in, written to
 * --projection-out; and the estimator made of it. */
#ifndef CLI_PROJECTION_H
#define CLI_PROJECTION_H

#include "npy.h"
#include "options.h"
#include "session.h"

#define PROJECTION_NAME 4096 /* bytes of a path */

typedef struct projection_source {
    uint32_t rows, dim, sets; /* m (d for elu), d, parameter sets */
    bool stacked;             /* W has three axes */
    bool from_file, file_phases;
    npy_array w, phases;
    uint64_t *draws;                                              /* seeds, one for each set; NULL: all from --seed */
    char phases_in[PROJECTION_NAME], phases_out[PROJECTION_NAME]; /* "" when unused */
    outfile w_file, phases_file;
} projection_source;

/* path with suffix in the place of .npy, or after it where there is no .npy. Returns CLI_OK or a printed error. */
int projection_path(const char *path, const char *suffix, char out[PROJECTION_NAME]);

/* Opens and checks what --projection-in names: one matrix, or one for each K/V head or head. heads_kv 0: not known, so
 * that any divisor of heads is right. Everything here returns CLI_OK or an error that was printed. */
int projection_open(projection_source *p, const options *o, uint32_t dim, uint64_t heads_kv, uint64_t heads);
/* Says which options are ignored, and what is biased. */
void projection_notes(const projection_source *p, const options *o);
/* Creates the temporary files of --projection-out. */
int projection_create_outputs(projection_source *p, const options *o);
/* Draws or reads W, writes it out (uncommitted), and makes the estimator, with each set `copies` times in a row;
 * fitted: of these parameters, or NULL. */
int projection_estimator(projection_source *p, const options *o, const clfavor_sderf_desc *fitted, const session *s,
                         uint32_t copies, clfavor_estimator **out);
/* From now on set i is that of seed draws[i], which are copied; there is one for each of `sets` K/V heads. */
int projection_choose(projection_source *p, const uint64_t *draws, uint32_t sets);
int projection_commit(projection_source *p);
void projection_close(projection_source *p);

#endif
