/* Which row of the tuning database counts for a device. */
#include "tuning.h"

#include <stdio.h>

#include "device.h"

static bool power_of_two(uint32_t value) {
    return value && !(value & (value - 1));
}

/* What is wrong with the sizes of tiles for the fused kernels. */
static const char *tile_problem(const clfavor_tuning *row) {
    uint32_t group = row->group, rows = row->rows, features = row->features, columns = row->columns, step = row->step;
    if (!power_of_two(rows) || !power_of_two(features) || !power_of_two(columns) || rows < 4 || features < 8 ||
        columns < 4 || rows > 256 || features > 256 || columns > 256)
        return "rows, features and columns must be powers of two, from 4 (features: 8) to 256";
    if (!power_of_two(step) || step < 4 || step > rows / 2 || step > features / 2)
        return "step must be a power of two from 4 to half of rows and of features";
    /* Each tile must have a row of 4 columns, at least, for each work-item, and few enough for its registers. */
    uint64_t tiles[] = {(uint64_t)rows * features, (uint64_t)rows * columns, (uint64_t)features * columns,
                        (uint64_t)rows * rows};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; ++i)
        if (tiles[i] < 4u * (uint64_t)group || tiles[i] > 64u * (uint64_t)group)
            return "tiles of rows, features and columns must have 4 to 64 elements a work-item";
    if (rows / 2 > group || features / 4 > group || columns / 4 > group)
        return "a work-group must have a work-item for every 4 columns of a tile (causal: of twice its rows)";
    return NULL;
}

const char *clfavor_tuning_problem(const clfavor_tuning *row) {
    if ((unsigned)row->device_class > CLFAVOR_CLASS_GPU || (unsigned)row->backend > CLFAVOR_BACKEND_CLBLAST)
        return "its class or backend is out of range";
    if (row->device_class == CLFAVOR_CLASS_CPU)
        return row->backend ? "a row of the cpu class has no backend, since there is one way only" : NULL;
    if (!power_of_two(row->group) || row->group > 1024)
        return "group must be a power of two of at most 1024";
    return row->backend == CLFAVOR_BACKEND_FUSED ? tile_problem(row) : NULL;
}

size_t clfavor_tuning_local_bytes(const clfavor_tuning *row) {
    uint64_t group = row->group, rows = row->rows, features = row->features, columns = row->columns, step = row->step;
    uint64_t keys =
        clfavor_max(clfavor_max(step * (rows + 4 + features), 4 * group), step * columns) + rows * features + features;
    uint64_t queries =
        clfavor_max(clfavor_max(step * (rows + features + 8), 4 * group), step * columns) + rows * features + rows;
    uint64_t causal = clfavor_max(clfavor_max(step * (2 * rows + 4 + features), 4 * group), step * columns) +
                      rows * clfavor_max(rows, features) + 2 * rows + features / 2;
    return (size_t)(clfavor_max(keys, clfavor_max(queries, causal)) * sizeof(cl_float));
}

bool clfavor_tuning_fits(const clfavor_context *context, const clfavor_tuning *row) {
    return !tile_problem(row) && clfavor_tuning_local_bytes(row) <= context->local_memory &&
           row->group <= context->max_work_group;
}

const clfavor_tuning *clfavor_tuning_fused(const clfavor_context *context) {
    return clfavor_tuning_fits(context, &context->tuning) ? &context->tuning : &clfavor_tuning_small;
}

clfavor_backend clfavor_tuning_backend(const clfavor_context *context, char *reason, size_t size) {
    const clfavor_tuning *row = &context->tuning, *fused = clfavor_tuning_fused(context);
    if (context->device_class == CLFAVOR_CLASS_CPU) {
        snprintf(reason, size, "the cpu class has one way only");
        return CLFAVOR_BACKEND_AUTO;
    }
    bool missing = row->backend == CLFAVOR_BACKEND_CLBLAST && !CLFAVOR_CLBLAST;
    if (row->backend != CLFAVOR_BACKEND_FUSED && !missing) {
        snprintf(reason, size, "the tuning row says so");
        return row->backend;
    }
    const char *instead = missing ? "the library was built without the row's CLBlast; " : "";
    if (!clfavor_tuning_fits(context, fused)) {
        snprintf(reason, size,
                 "%sfused kernels need %zu bytes of local memory and work-groups of %u, there are %llu, %llu", instead,
                 clfavor_tuning_local_bytes(fused), fused->group, (unsigned long long)context->local_memory,
                 (unsigned long long)context->max_work_group);
        return CLFAVOR_BACKEND_STAGED;
    }
    if (fused == row)
        snprintf(reason, size, "%sthe device has what the tuning row needs", instead);
    else
        snprintf(reason, size,
                 "%ssmall tiles: the row needs %zu bytes of local memory and work-groups of %u, there are %llu, "
                 "%llu",
                 instead, clfavor_tuning_local_bytes(row), row->group, (unsigned long long)context->local_memory,
                 (unsigned long long)context->max_work_group);
    return CLFAVOR_BACKEND_FUSED;
}

uint32_t clfavor_tuning_columns(const clfavor_tuning *row, uint32_t value_dim) {
    uint32_t least = 4 * row->group / (row->rows < row->features ? row->rows : row->features);
    uint32_t columns = least > 4 ? least : 4;
    while (columns < value_dim && columns < row->columns)
        columns *= 2;
    return columns;
}

/* 0: not for this device; else the more the more closely it names it. */
static int rank(const clfavor_context *context, const clfavor_tuning *row) {
    bool named = row->device && *row->device, of_architecture = row->architecture && *row->architecture,
         of_vendor = row->vendor && *row->vendor;
    if (row->device_class != context->device_class || (named && strcmp(row->device, context->name) != 0) ||
        (of_architecture && strcmp(row->architecture, context->architecture) != 0) ||
        (of_vendor && !clfavor_contains(context->vendor, row->vendor)))
        return 0;
    return 1 + (named ? 4 : 0) + (of_architecture ? 2 : 0) + (of_vendor ? 1 : 0);
}

static void copy(char *to, size_t size, const char *from, const char **member) {
    *member = NULL;
    if (!from)
        return;
    snprintf(to, size, "%s", from);
    *member = to;
}

/* A row of the cpu class has no tiles and no backend, and 0 stays "chosen" for what it has. */
static void fill_in(clfavor_tuning *row, const clfavor_tuning *defaults) {
    if (!row->device_class)
        row->device_class = CLFAVOR_CLASS_GPU;
    if (row->device_class == CLFAVOR_CLASS_CPU)
        return;
    if (!row->group && row->backend > CLFAVOR_BACKEND_FUSED)
        row->group = CLFAVOR_STAGED_GROUP;
#define FILL(member)                                                                                                   \
    if (!row->member)                                                                                                  \
    row->member = defaults->member
    FILL(backend);
    FILL(group);
    FILL(rows);
    FILL(features);
    FILL(columns);
    FILL(step);
#undef FILL
}

clfavor_status clfavor_tuning_choose(clfavor_context *context, const clfavor_tuning *rows, size_t count) {
    const clfavor_tuning *defaults = &clfavor_tuning_rows[clfavor_tuning_row_count - 1];
    clfavor_tuning best = {.struct_size = sizeof best, .device_class = context->device_class}, own;
    int best_rank = 0;
    bool best_own = false;
    for (size_t i = 0; i < count; ++i) {
        const void *at = (const char *)rows + i * (rows ? rows->struct_size : 0);
        clfavor_status status = clfavor_desc_check(context, "a tuning row", &own, sizeof own, at);
        if (status)
            return status;
        fill_in(&own, defaults);
        const char *problem = clfavor_tuning_problem(&own);
        if (problem)
            return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "tuning row %zu: %s", i, problem);
        int own_rank = rank(context, &own);
        if (own_rank && own_rank >= best_rank) {
            best = own;
            best_rank = own_rank;
            best_own = true;
        }
    }
    for (size_t i = 0; i < clfavor_tuning_row_count; ++i) {
        int own_rank = rank(context, &clfavor_tuning_rows[i]);
        if (own_rank > best_rank) {
            best = clfavor_tuning_rows[i];
            fill_in(&best, defaults);
            best_rank = own_rank;
            best_own = false;
        }
    }
    context->tuning = best;
    copy(context->tuning_vendor, sizeof context->tuning_vendor, best.vendor, &context->tuning.vendor);
    copy(context->tuning_architecture, sizeof context->tuning_architecture, best.architecture,
         &context->tuning.architecture);
    copy(context->tuning_device, sizeof context->tuning_device, best.device, &context->tuning.device);
    if (!best_rank) { /* the cpu class, for which the library has no rows */
        snprintf(context->tuning_reason, sizeof context->tuning_reason, "no row: the library chooses by the shape");
        return CLFAVOR_SUCCESS;
    }
    snprintf(context->tuning_reason, sizeof context->tuning_reason, "%s row for %s%s",
             best_own ? "the caller's" : "the library's",
             best_rank > 4   ? "this device"
             : best_rank > 2 ? "the architecture "
             : best_rank > 1 ? "the vendor "
                             : "any device",
             best_rank > 4   ? ""
             : best_rank > 2 ? best.architecture
             : best_rank > 1 ? best.vendor
                             : "");
    return CLFAVOR_SUCCESS;
}
