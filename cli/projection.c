#include "projection.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

int projection_path(const char *path, const char *suffix, char out[PROJECTION_NAME]) {
    size_t length = strlen(path);
    if (length >= 4 && strcmp(path + length - 4, ".npy") == 0)
        length -= 4;
    int used = snprintf(out, PROJECTION_NAME, "%.*s%s", (int)length, path, suffix);
    return used < PROJECTION_NAME ? CLI_OK : cli_error(CLI_USAGE, "the file name '%.100s...' is too long", path);
}

static int open_matrix(projection_source *p, const options *o, uint64_t heads_kv, uint64_t heads) {
    char error[NPY_ERROR];
    if (!npy_open(&p->w, o->projection_in, error))
        return cli_error(CLI_USAGE, "--projection-in: %s", error);
    const npy_array *w = &p->w;
    const char *text = npy_shape_text(w->rank, w->shape);
    if (w->rank != 2 && w->rank != 3)
        return cli_error(CLI_USAGE, "--projection-in: '%s' is %s, expected [m, %u] or [heads, m, %u]", o->projection_in,
                         text, p->dim, p->dim);
    uint64_t sets = w->rank == 3 ? w->shape[0] : 1, rows = w->shape[w->rank - 2], dim = w->shape[w->rank - 1];
    if (dim != p->dim)
        return cli_error(CLI_USAGE, "--projection-in: '%s' is %s, but the heads have %u dimensions", o->projection_in,
                         text, p->dim);
    if (rows > CLFAVOR_MAX_FEATURES)
        return cli_error(CLI_USAGE, "--projection-in: '%s' has %" PRIu64 " rows, expected 1 to %u", o->projection_in,
                         rows, CLFAVOR_MAX_FEATURES);
    if (o->features && rows != o->features)
        return cli_error(CLI_USAGE,
                         "--features %u contradicts --projection-in '%s', which has %" PRIu64
                         " rows; leave --features out",
                         o->features, o->projection_in, rows);
    if (o->projection_per_head && w->rank == 2 && (heads_kv ? heads_kv : heads) > 1)
        return cli_error(CLI_USAGE, "--projection-per-head contradicts --projection-in '%s', which is one matrix (%s)",
                         o->projection_in, text);
    if (!heads_kv && heads % sets != 0)
        return cli_error(CLI_USAGE,
                         "--projection-in: '%s' has %" PRIu64 " matrices, expected a divisor of the %" PRIu64 " heads",
                         o->projection_in, sets, heads);
    if (heads_kv && sets != 1 && sets != heads_kv && sets != heads)
        return cli_error(CLI_USAGE,
                         "--projection-in: '%s' has %" PRIu64 " matrices, expected 1, %" PRIu64
                         " (K/V heads) or %" PRIu64 " (heads)",
                         o->projection_in, sets, heads_kv, heads);
    p->rows = (uint32_t)rows;
    p->sets = (uint32_t)sets;
    p->stacked = w->rank == 3;
    return CLI_OK;
}

static int open_phases(projection_source *p, const options *o) {
    int status = projection_path(o->projection_in, ".phase.npy", p->phases_in);
    if (status || access(p->phases_in, F_OK) != 0) {
        p->phases_in[0] = '\0';
        return status;
    }
    char error[NPY_ERROR];
    if (!npy_open(&p->phases, p->phases_in, error))
        return cli_error(CLI_USAGE, "--projection-in: %s", error);
    const uint64_t *shape = p->phases.shape;
    bool fits = p->stacked ? p->phases.rank == 2 && shape[0] == p->sets && shape[1] == p->rows
                           : p->phases.rank == 1 && shape[0] == p->rows;
    if (!fits)
        return cli_error(CLI_USAGE, "the phases '%s' are %s, but their projection '%s' is %s", p->phases_in,
                         npy_shape_text(p->phases.rank, shape), o->projection_in,
                         npy_shape_text(p->w.rank, p->w.shape));
    p->file_phases = true;
    return CLI_OK;
}

static int check_finite(const npy_array *array, const char *path) {
    for (uint64_t i = 0; i < array->count; ++i) {
        double value;
        npy_read_f64(array, i, 1, &value);
        if (!isfinite(value))
            return cli_error(CLI_USAGE,
                             "--projection-in: '%s' holds %f at element %" PRIu64 ", expected finite numbers", path,
                             value, i);
    }
    return CLI_OK;
}

int projection_open(projection_source *p, const options *o, uint32_t dim, uint64_t heads_kv, uint64_t heads) {
    *p = (projection_source){.dim = dim, .sets = 1, .w_file = OUTFILE_CLOSED, .phases_file = OUTFILE_CLOSED};
    if (o->exact || o->map == CLFAVOR_MAP_ELU) {
        p->rows = dim;
        return CLI_OK;
    }
    int status = CLI_OK;
    p->from_file = o->projection_in != NULL;
    if (p->from_file) {
        (void)((status = open_matrix(p, o, heads_kv, heads)) || (status = open_phases(p, o)) ||
               (status = check_finite(&p->w, o->projection_in)) ||
               (p->file_phases && (status = check_finite(&p->phases, p->phases_in))));
    } else {
        p->rows = o->features ? o->features : OPTIONS_DEFAULT_FEATURES;
        p->stacked = o->projection_per_head;
        uint64_t sets = !p->stacked ? 1 : heads_kv ? heads_kv : heads;
        if (sets > UINT32_MAX)
            return cli_error(CLI_USAGE, "--projection-per-head expects at most 2^32 - 1 heads, got %" PRIu64, sets);
        p->sets = (uint32_t)sets;
    }
    if (!status && o->projection_out)
        status = projection_path(o->projection_out, ".phase.npy", p->phases_out);
    return status;
}

/* Maps whose features of w and -w are the same, up to their order and sign. */
static bool repeats_pairs(clfavor_map map) {
    return map == CLFAVOR_MAP_HYPERBOLIC || map == CLFAVOR_MAP_TRIG;
}

void projection_notes(const projection_source *p, const options *o) {
    if (o->exact && (o->map_given || o->features || o->projection_given || o->seed_given))
        cli_note("--exact needs no features: --map, --features, --projection and --seed are ignored");
    else if (!o->exact && o->map == CLFAVOR_MAP_ELU &&
             (o->features || o->scale != 0 || o->projection_given || o->seed_given))
        cli_note("--map elu has no projection and no scale: --features, --scale, --projection and --seed are ignored");
    else if (p->from_file && o->projection_given)
        cli_note("--projection is ignored, since W comes from '%s'", o->projection_in);
    else if (o->projection == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM)
        cli_note("orthogonal-fixed-norm is biased: it does not estimate exp(q.k scale) in the mean");
    else if (o->projection == CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS && repeats_pairs(o->map))
        cli_note("orthogonal-pairs: w and -w make the same features of this map, so half of the rows add nothing");
}

int projection_create_outputs(projection_source *p, const options *o) {
    if (!o->projection_out)
        return CLI_OK;
    const uint64_t shape[3] = {p->sets, p->rows, p->dim};
    char error[NPY_ERROR];
    unsigned skip = p->stacked ? 0 : 1;
    if (!npy_create(&p->w_file, o->projection_out, NPY_F64, 3 - skip, shape + skip, error) ||
        !npy_create(&p->phases_file, p->phases_out, NPY_F64, 2 - skip, shape + skip, error))
        return cli_error(CLI_FAILED, "--projection-out: %s", error);
    return CLI_OK;
}

/* The array's values as doubles, each of `sets` parts `copies` times in a row; NULL when memory is exhausted. */
static double *repeated(const double *values, size_t sets, size_t part, size_t copies) {
    size_t bytes;
    if (__builtin_mul_overflow(sets * copies, part, &bytes) || __builtin_mul_overflow(bytes, sizeof *values, &bytes))
        return NULL;
    double *out = malloc(bytes);
    for (size_t i = 0; out && i < sets * copies; ++i)
        memcpy(out + i * part, values + i / copies * part, part * sizeof *values);
    return out;
}

static clfavor_status read_projection(const projection_source *p, const clfavor_projection_desc *desc,
                                      clfavor_projection **out) {
    double *w = malloc((size_t)p->w.count * sizeof *w), *phases = NULL;
    if (p->file_phases)
        phases = malloc((size_t)p->phases.count * sizeof *phases);
    clfavor_status status = CLFAVOR_OUT_OF_MEMORY;
    if (w && (phases || !p->file_phases)) {
        npy_read_f64(&p->w, 0, (size_t)p->w.count, w);
        if (phases)
            npy_read_f64(&p->phases, 0, (size_t)p->phases.count, phases);
        status = clfavor_projection_create_from_data(out, desc, w, phases);
    }
    free(w);
    free(phases);
    return status;
}

static clfavor_status repeat_projection(clfavor_projection **projection, clfavor_projection_desc desc,
                                        uint32_t copies) {
    size_t m = desc.features, sets = desc.sets;
    double *w = repeated(clfavor_projection_data(*projection), sets, m * desc.dim, copies);
    double *phases = repeated(clfavor_projection_phases(*projection), sets, m, copies);
    clfavor_projection *grown = NULL;
    clfavor_status status = CLFAVOR_OUT_OF_MEMORY;
    desc.sets *= copies;
    if (w && phases)
        status = clfavor_projection_create_from_data(&grown, &desc, w, phases);
    free(w);
    free(phases);
    clfavor_projection_destroy(*projection);
    *projection = grown;
    return status;
}

/* Each set from a draw of its own. */
static clfavor_status draw_chosen(const projection_source *p, const options *o, clfavor_projection_desc desc,
                                  clfavor_projection **out) {
    size_t part = (size_t)p->rows * p->dim;
    double *w = malloc(p->sets * part * sizeof *w), *phases = malloc((size_t)p->sets * p->rows * sizeof *phases);
    clfavor_status status = w && phases ? CLFAVOR_SUCCESS : CLFAVOR_OUT_OF_MEMORY;
    for (uint32_t set = 0; set < p->sets && !status; ++set) {
        uint32_t own = o->projection_per_head ? set : 0; /* of the draw's sets */
        clfavor_projection *drawn = NULL;
        desc.seed = p->draws[set];
        desc.sets = o->projection_per_head ? p->sets : 1;
        if ((status = clfavor_projection_create(&drawn, &desc)))
            break;
        memcpy(w + set * part, clfavor_projection_data(drawn) + own * part, part * sizeof *w);
        memcpy(phases + (size_t)set * p->rows, clfavor_projection_phases(drawn) + (size_t)own * p->rows,
               p->rows * sizeof *phases);
        clfavor_projection_destroy(drawn);
    }
    desc.sets = p->sets;
    if (!status)
        status = clfavor_projection_create_from_data(out, &desc, w, phases);
    free(w);
    free(phases);
    return status;
}

int projection_choose(projection_source *p, const uint64_t *draws, uint32_t sets) {
    if (!(p->draws = malloc(sets * sizeof *p->draws)))
        return cli_error(CLI_FAILED, "host memory is exhausted");
    memcpy(p->draws, draws, sets * sizeof *draws);
    p->sets = sets;
    p->stacked = true;
    return CLI_OK;
}

static int write_projection(projection_source *p, const clfavor_projection *projection) {
    size_t rows = (size_t)p->sets * p->rows;
    char error[OUTFILE_ERROR];
    if (p->w_file.path &&
        (!outfile_write(&p->w_file, clfavor_projection_data(projection), rows * p->dim * sizeof(double), error) ||
         !outfile_write(&p->phases_file, clfavor_projection_phases(projection), rows * sizeof(double), error)))
        return cli_error(CLI_FAILED, "--projection-out: %s", error);
    return CLI_OK;
}

int projection_estimator(projection_source *p, const options *o, const clfavor_sderf_desc *fitted, const session *s,
                         uint32_t copies, clfavor_estimator **out) {
    clfavor_estimator_desc estimator = {
        .struct_size = sizeof estimator, .map = o->map, .dim = p->dim, .scale = o->scale};
    *out = NULL;
    if (o->map == CLFAVOR_MAP_ELU)
        return session_check(s, clfavor_estimator_create(out, &estimator), "making the estimator");
    clfavor_projection_desc desc = {.struct_size = sizeof desc,
                                    .kind = o->projection,
                                    .features = p->rows,
                                    .dim = p->dim,
                                    .sets = p->sets,
                                    .seed = o->seed};
    clfavor_projection *projection = NULL;
    clfavor_status made = p->from_file ? read_projection(p, &desc, &projection)
                          : p->draws   ? draw_chosen(p, o, desc, &projection)
                                       : clfavor_projection_create(&projection, &desc);
    int status = session_check(s, made, "making the projection");
    if (!status)
        status = write_projection(p, projection);
    if (!status && copies > 1)
        status = session_check(s, repeat_projection(&projection, desc, copies), "making the projection");
    if (!status && fitted) {
        clfavor_sderf_desc own = *fitted;
        own.projection = projection;
        status = session_check(s, clfavor_estimator_create_sderf(out, &own), "making the estimator");
    } else if (!status) {
        estimator.projection = projection;
        status = session_check(s, clfavor_estimator_create(out, &estimator), "making the estimator");
    }
    clfavor_projection_destroy(projection);
    return status;
}

int projection_commit(projection_source *p) {
    char error[OUTFILE_ERROR];
    if (p->w_file.path && (!outfile_commit(&p->w_file, error) || !outfile_commit(&p->phases_file, error)))
        return cli_error(CLI_FAILED, "--projection-out: %s", error);
    return CLI_OK;
}

void projection_close(projection_source *p) {
    free(p->draws);
    p->draws = NULL;
    npy_close(&p->w);
    npy_close(&p->phases);
    outfile_discard(&p->w_file);
    outfile_discard(&p->phases_file);
}
