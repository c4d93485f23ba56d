/* What --fit, --estimator and --exact-keys ask for: the parameters of the estimator, and the keys that are treated
 * exactly. */
#ifndef CLI_FITTING_H
#define CLI_FITTING_H

#include "estimator_file.h"
#include "inputs.h"
#include "options.h"
#include "projection.h"

#define FITTING_LOG 256

typedef struct fitting {
    bool active;              /* one of the options was given */
    bool fitted;              /* the estimator is one of sderf; otherwise of --map */
    uint32_t total;           /* M: rows of the projection and exact keys */
    uint32_t exact;           /* T */
    bool usual;               /* nobody said T: it is by the rule */
    clfavor_sderf_desc sderf; /* without a projection; owned by fit or file */
    clfavor_fit *fit;
    estimator_file file;
    clfavor_fit_info info; /* of fit; empty without one */
    double seconds;        /* that fitting and choosing took */
    float *owned[3];       /* of q, k and v, where the files do not hold them as they are */
    const float *tokens[3];
    const run_shape *shape;
    bool quiet;            /* warnings of the fit are not printed */
    char log[FITTING_LOG]; /* its last error */
} fitting;

/* Reads --estimator and settles M, T, and in *o what the file has a say in: --features (of the projection, M - T),
 * --projection, --seed, --scale and the map. Returns CLI_OK or an error that was printed, as all here do. */
int fitting_open(fitting *f, options *o, const run_shape *shape);
/* Fits, or chooses keys, as far as there is something to do. */
int fitting_run(fitting *f, const options *o, const npy_array arrays[3]);
void fitting_close(fitting *f);

/* --correct-values: the corrections on the device, [B, S, F + T, dv]; NULL where they were not asked for. */
int fitting_corrections(fitting *f, const options *o, const npy_array arrays[3], const clfavor_estimator *estimator,
                        const session *s, cl_mem *out);
/* The exact keys on the device, as the attention of weights with `sets` parameter sets takes them; NULL without any. */
int fitting_buffer(const fitting *f, const session *s, uint32_t sets, cl_mem *out);
/* Both buffers, or those of them that there are, in the arguments of an attention with that estimator. */
void fitting_args(const fitting *f, const clfavor_estimator_info *info, cl_mem keys, cl_mem corrections,
                  clfavor_attention_args *args);
/* Draws or reads W, and makes the estimator that was asked for. */
int fitting_estimator(const fitting *f, projection_source *p, const options *o, const session *s,
                      clfavor_estimator **out);

/* T for M rows in all and n_k keys. Half of the rows, and more where the keys are few: when a row is left for each key,
 * all are exact. */
uint32_t fitting_exact_keys(uint32_t total, uint64_t n_k);

extern const char *const fitting_methods[7];

#endif
