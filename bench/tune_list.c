#include "tune_list.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

const char *bench_row_name(const clfavor_tuning *row, char text[BENCH_TEXT]) {
    char tiles[96] = "", chunk[32] = "", causal[48] = "", pieces[32] = "";
    if (row->backend == CLFAVOR_BACKEND_FUSED)
        snprintf(tiles, sizeof tiles, ", group %u, tiles %u x %u x %u, step %u", row->group, row->rows, row->features,
                 row->columns, row->step);
    if (row->chunk)
        snprintf(chunk, sizeof chunk, ", chunk %u", row->chunk);
    if (row->causal_chunk && row->backend != CLFAVOR_BACKEND_FUSED)
        snprintf(causal, sizeof causal, ", causal chunk %u", row->causal_chunk);
    if (row->pieces)
        snprintf(pieces, sizeof pieces, ", pieces %u", row->pieces);
    bool chosen = row->device_class == CLFAVOR_CLASS_CPU && !row->chunk && !row->causal_chunk && !row->pieces;
    snprintf(text, BENCH_TEXT, "%s%s%s%s%s%s",
             row->device_class == CLFAVOR_CLASS_CPU ? "cpu class" : bench_backend_name(row->backend), tiles, chunk,
             causal, pieces, chosen ? ", all chosen by the shape" : "");
    return text;
}

bool bench_same_row(const clfavor_tuning *a, const clfavor_tuning *b) {
    bool fused = a->backend == CLFAVOR_BACKEND_FUSED; /* others have no tiles, and fused has no causal chunk */
    return a->backend == b->backend && a->chunk == b->chunk && a->pieces == b->pieces &&
           (fused ? a->group == b->group && a->rows == b->rows && a->features == b->features &&
                        a->columns == b->columns && a->step == b->step && a->vector == b->vector
                  : a->causal_chunk == b->causal_chunk);
}

/* Appends a row unless it is one that is there. */
static size_t add(const clfavor_tuning *from, clfavor_tuning *out, size_t count, const clfavor_tuning *row) {
    bool there = count == BENCH_TUNE_MOST || bench_same_row(from, row);
    for (size_t i = 0; i < count && !there; ++i)
        there = bench_same_row(&out[i], row);
    if (!there)
        out[count++] = *row;
    return count;
}

size_t bench_list_backends(const clfavor_tuning *from, clfavor_tuning *out) {
    static const clfavor_backend others[] = {CLFAVOR_BACKEND_STAGED, CLFAVOR_BACKEND_CLBLAST};
    size_t count = 0;
    for (size_t i = 0; i < COUNT(others); ++i) {
        clfavor_tuning row = *from;
        row.backend = others[i];
        row.chunk = row.causal_chunk = 0; /* what is good for tiles says nothing about these */
        count = add(from, out, count, &row);
    }
    return count;
}

static clfavor_tuning tiles_of(const clfavor_tuning *from, uint32_t group, uint32_t rows, uint32_t features,
                               uint32_t columns, uint32_t step) {
    clfavor_tuning row = *from;
    row.backend = CLFAVOR_BACKEND_FUSED;
    row.group = group;
    row.rows = rows;
    row.features = features;
    row.columns = columns;
    row.step = step;
    return row;
}

size_t bench_list_tiles(const clfavor_tuning *from, uint32_t dim, bool quick, clfavor_tuning *out) {
    static const uint32_t groups[] = {256, 128, 64, 512}, sides[] = {64, 32, 128};
    size_t count = 0;
    if (quick) {
        clfavor_tuning few[] = {tiles_of(from, 256, 64, 64, 64, 16), tiles_of(from, 64, 32, 32, 32, 8),
                                tiles_of(from, 128, 64, 64, 64, 16), tiles_of(from, 64, 64, 64, 64, 8)};
        for (size_t i = 0; i < COUNT(few); ++i)
            count = add(from, out, count, &few[i]);
        return count;
    }
    for (size_t g = 0; g < COUNT(groups); ++g)
        for (size_t r = 0; r < COUNT(sides); ++r)
            for (size_t f = 0; f < COUNT(sides); ++f)
                for (size_t c = 0; c < COUNT(sides); ++c) {
                    /* 8 to 64 elements of each tile a work-item: fewer read more than they compute, more spill */
                    uint32_t rows = sides[r], features = sides[f], columns = sides[c], group = groups[g];
                    bool wide = columns >= 2 * dim; /* columns that no value has */
                    bool fits = rows * features >= 8 * group && rows * features <= 64 * group &&
                                rows * columns >= 8 * group && rows * columns <= 64 * group &&
                                features * columns >= 8 * group && features * columns <= 64 * group;
                    clfavor_tuning row = tiles_of(from, group, rows, features, columns, 16);
                    if (fits && !wide)
                        count = add(from, out, count, &row);
                }
    return count;
}

size_t bench_list_steps(const clfavor_tuning *from, clfavor_tuning *out) {
    static const uint32_t steps[] = {4, 8, 16, 32};
    size_t count = 0;
    for (size_t i = 0; i < COUNT(steps) && from->backend == CLFAVOR_BACKEND_FUSED; ++i) {
        clfavor_tuning row = *from;
        row.step = steps[i];
        count = add(from, out, count, &row);
    }
    return count;
}

size_t bench_list_chunks(const clfavor_tuning *from, uint32_t panel, bool quick, clfavor_tuning *out) {
    /* bidirectional, causal */
    static const uint32_t fused[][2] = {{128, 0}, {512, 0}, {256, 0}, {1024, 0}, {64, 0}};
    static const uint32_t staged[][2] = {{64, 16}, {256, 64}, {128, 32}, {512, 128}};
    static const uint32_t cpu[][2] = {{2, 2}, {6, 3}, {3, 1}, {8, 4}, {12, 6}}; /* panels */
    bool of_cpu = from->device_class == CLFAVOR_CLASS_CPU, tiles = from->backend == CLFAVOR_BACKEND_FUSED;
    const uint32_t(*list)[2] = of_cpu ? cpu : tiles ? fused : staged;
    size_t entries = of_cpu ? COUNT(cpu) : tiles ? COUNT(fused) : COUNT(staged), count = 0;
    for (size_t i = 0; i < (quick ? 2 : entries); ++i) {
        clfavor_tuning row = *from;
        row.chunk = list[i][0] * (of_cpu ? panel : 1);
        row.causal_chunk = tiles ? from->causal_chunk : list[i][1] * (of_cpu ? panel : 1);
        count = add(from, out, count, &row);
    }
    return count;
}

size_t bench_list_pieces(const clfavor_tuning *from, uint32_t units, clfavor_tuning *out) {
    const uint32_t list[] = {1, units, 2 * units, 4 * units};
    size_t count = 0;
    for (size_t i = 0; i < COUNT(list); ++i) {
        clfavor_tuning row = *from;
        row.pieces = list[i] > 1024 ? 1024 : list[i];
        count = add(from, out, count, &row);
    }
    return count;
}
