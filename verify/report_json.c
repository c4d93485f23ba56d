/* Everything as JSON; the schema is docs/verify-schema.md. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "report.h"

#define SCHEMA_VERSION 1

/* A value that could not be made is refused by the object or array that was to hold it, so this sees every failure. */
typedef struct builder {
    bool failed;
} builder;

static void set(builder *b, json_t *object, const char *key, json_t *value) {
    b->failed |= json_object_set_new(object, key, value) != 0;
}

static void append(builder *b, json_t *array, json_t *value) {
    b->failed |= json_array_append_new(array, value) != 0;
}

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count_of(uint64_t count) {
    return json_integer((json_int_t)count);
}

/* jansson refuses text that is not UTF-8, which a driver may have in its name. */
static json_t *repaired(const char *text) {
    char *copy = malloc(3 * strlen(text) + 5), *end = copy;
    uint32_t character;
    if (!copy)
        return NULL;
    for (; *text; end += verify_encode_character(character, end))
        text += verify_next_character(text, &character);
    *end = 0;
    json_t *value = json_string(copy);
    free(copy);
    return value;
}

static json_t *text_of(const char *text) {
    json_t *value = text ? json_string(text) : json_null();
    return value ? value : repaired(text);
}

static json_t *numbers(builder *b, const double *values, size_t count) {
    if (!values)
        return json_null();
    json_t *array = json_array();
    for (size_t i = 0; i < count; ++i)
        append(b, array, number(values[i]));
    return array;
}

static json_t *device_of(builder *b, const verify_result *r) {
    json_t *object = json_object();
    set(b, object, "name", text_of(r->device));
    set(b, object, "platform", text_of(r->platform));
    set(b, object, "driver", text_of(r->driver));
    set(b, object, "class", text_of(r->device_class));
    return object;
}

static json_t *counts_of(builder *b, const verify_result *r) {
    json_t *object = json_object();
    set(b, object, "passed", count_of(r->passed));
    set(b, object, "failed", count_of(r->failed));
    set(b, object, "shown", count_of(r->shown));
    set(b, object, "pending", count_of(r->pending));
    return object;
}

static json_t *suites_of(builder *b, const verify_result *r) {
    size_t count = 0;
    verify_report_suite *suites = verify_report_suites(r, &count);
    json_t *array = json_array();
    b->failed |= !suites;
    for (size_t s = 0; s < count; ++s) {
        json_t *object = json_object();
        set(b, object, "name", text_of(suites[s].name));
        set(b, object, "text", text_of(suites[s].text));
        for (int outcome = VERIFY_PASSED; outcome <= VERIFY_PENDING; ++outcome)
            set(b, object, verify_outcome_name((verify_outcome)outcome), count_of(suites[s].outcomes[outcome]));
        set(b, object, "by_chance", count_of(suites[s].by_chance));
        append(b, array, object);
    }
    free(suites);
    return array;
}

static json_t *checks_of(builder *b, const verify_result *r) {
    json_t *array = json_array();
    for (size_t i = 0; i < r->check_count; ++i) {
        const verify_check *check = &r->checks[i];
        json_t *object = json_object();
        set(b, object, "suite", text_of(check->suite));
        set(b, object, "name", text_of(check->name));
        set(b, object, "test", text_of(check->test));
        set(b, object, "outcome", text_of(verify_outcome_name(check->outcome)));
        set(b, object, "statistic", number(check->statistic));
        set(b, object, "threshold", number(check->threshold));
        set(b, object, "alpha", number(check->alpha));
        set(b, object, "samples", number(check->samples));
        set(b, object, "estimate", number(check->estimate));
        set(b, object, "expected", number(check->expected));
        set(b, object, "band", number(check->band));
        set(b, object, "sensitivity", number(check->sensitivity));
        set(b, object, "note", text_of(check->note));
        append(b, array, object);
    }
    return array;
}

static json_t *series_of(builder *b, const verify_plot *plot) {
    static const char *const styles[] = {"line", "points", "theory", "band", "bars"};
    json_t *array = json_array();
    for (size_t i = 0; i < plot->series_count; ++i) {
        const verify_series *series = &plot->series[i];
        json_t *object = json_object();
        set(b, object, "label", text_of(series->label));
        set(b, object, "style", text_of(styles[series->style]));
        set(b, object, "x", numbers(b, series->x, series->count));
        set(b, object, "y", numbers(b, series->y, series->count));
        set(b, object, "low", numbers(b, series->low, series->count));
        set(b, object, "high", numbers(b, series->high, series->count));
        append(b, array, object);
    }
    return array;
}

static json_t *plots_of(builder *b, const verify_result *r) {
    json_t *array = json_array();
    for (size_t i = 0; i < r->plot_count; ++i) {
        const verify_plot *plot = &r->plots[i];
        json_t *object = json_object();
        set(b, object, "suite", text_of(plot->suite));
        set(b, object, "title", text_of(plot->title));
        set(b, object, "text", text_of(plot->text));
        set(b, object, "x_label", text_of(plot->x_label));
        set(b, object, "y_label", text_of(plot->y_label));
        set(b, object, "log_x", json_boolean(plot->log_x));
        set(b, object, "log_y", json_boolean(plot->log_y));
        set(b, object, "series", series_of(b, plot));
        append(b, array, object);
    }
    return array;
}

static json_t *row_of(builder *b, const verify_table *table, size_t row) {
    json_t *array = json_array();
    for (size_t c = 0; c < table->columns; ++c)
        append(b, array, text_of(table->cells[row * table->columns + c]));
    return array;
}

static json_t *tables_of(builder *b, const verify_result *r) {
    json_t *array = json_array();
    for (size_t i = 0; i < r->table_count; ++i) {
        const verify_table *table = &r->tables[i];
        json_t *object = json_object(), *rows = json_array();
        set(b, object, "suite", text_of(table->suite));
        set(b, object, "title", text_of(table->title));
        set(b, object, "text", text_of(table->text));
        set(b, object, "columns", table->cells ? row_of(b, table, 0) : json_array());
        for (size_t row = 1; table->cells && row <= table->rows; ++row)
            append(b, rows, row_of(b, table, row));
        set(b, object, "rows", rows);
        append(b, array, object);
    }
    return array;
}

/* What may differ between two runs that did the same work. */
static json_t *run_of(builder *b, const verify_result *r) {
    json_t *object = json_object();
    /* as on the command line: 1 .. shards */
    set(b, object, "shard", r->shards ? count_of(r->shard ? r->shard : r->shards) : json_null());
    set(b, object, "shards", r->shards ? count_of(r->shards) : json_null());
    set(b, object, "blocks_done", count_of(r->blocks_done));
    set(b, object, "blocks_resumed", count_of(r->blocks_resumed));
    set(b, object, "wall_seconds", number(r->wall_seconds));
    return object;
}

static bool write_json(const verify_result *result, FILE *to) {
    builder b = {false};
    char seed[24]; /* a JSON number does not hold 64 bits in most readers */
    snprintf(seed, sizeof seed, "%" PRIu64, result->seed);
    json_t *root = json_object();
    set(&b, root, "schema", text_of("clfavor-verify"));
    set(&b, root, "schema_version", json_integer(SCHEMA_VERSION));
    set(&b, root, "version", text_of(result->version));
    set(&b, root, "device", device_of(&b, result));
    set(&b, root, "level", text_of(verify_level_name(result->level)));
    set(&b, root, "seed", text_of(seed));
    set(&b, root, "alpha", number(result->alpha));
    set(&b, root, "statistical", count_of(result->statistical));
    set(&b, root, "blocks", count_of(result->blocks));
    set(&b, root, "counts", counts_of(&b, result));
    set(&b, root, "suites", suites_of(&b, result));
    set(&b, root, "checks", checks_of(&b, result));
    set(&b, root, "plots", plots_of(&b, result));
    set(&b, root, "tables", tables_of(&b, result));
    set(&b, root, "run", run_of(&b, result));
    bool good = !b.failed && json_dumpf(root, to, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) == 0;
    fputc('\n', to);
    json_decref(root);
    return good;
}

bool verify_write_json(const verify_result *result, FILE *to) {
    return verify_report(result, to, write_json);
}
