#include "tuning_file.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "outfile.h"

#define FORMAT  "clfavor-tuning"
#define VERSION 1

static const char advice[] = "correct it, or move it away and run `clfavor tune' again";

const char *tuning_file_path(const char *path) {
    path = path ? path : getenv("CLFAVOR_TUNING");
    return path && *path ? path : NULL;
}

/* ------------------------------------------------------------------------------------------------------- reading */

typedef struct number {
    const char *key;
    size_t offset;
    uint32_t low, high;
} number;

#define NUMBER(member, low, high)                                                                                      \
    { #member, offsetof(clfavor_tuning, member), low, high }

/* As far as a row by itself tells; the library knows how sizes go together. */
static const number numbers[] = {NUMBER(group, 1, 1024),        NUMBER(rows, 4, 256),   NUMBER(features, 8, 256),
                                 NUMBER(columns, 4, 256),       NUMBER(step, 4, 256),   NUMBER(chunk, 1, 4096),
                                 NUMBER(causal_chunk, 1, 4096), NUMBER(pieces, 1, 1024)};
static const struct {
    const char *key;
    size_t offset;
} texts[] = {{"vendor", offsetof(clfavor_tuning, vendor)},
             {"architecture", offsetof(clfavor_tuning, architecture)},
             {"device", offsetof(clfavor_tuning, device)}};
static const char *const known[] = {"class", "backend", "driver", "library", "date", "measured", "comment"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int refuse_row(const tuning_file *f, size_t row, const char *key, const char *expected) {
    return cli_error(CLI_USAGE, "'%s': rows[%zu]: \"%s\" must be %s; %s", f->path, row, key, expected, advice);
}

static int read_choice(const tuning_file *f, size_t row, const char *key, const json_t *value, const char *expected,
                       const char *const *names, int count, int *out) {
    const char *text = json_string_value(value);
    for (int i = 0; i < count && text; ++i)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return CLI_OK;
        }
    return refuse_row(f, row, key, expected);
}

static int read_member(const tuning_file *f, size_t row, const char *key, json_t *value, clfavor_tuning *out) {
    static const char *const backends[] = {"auto", "fused", "staged", "clblast"}, *const classes[] = {"cpu", "gpu"};
    int found = 0, status = CLI_OK;
    for (size_t i = 0; i < COUNT(numbers); ++i)
        if (strcmp(key, numbers[i].key) == 0) {
            json_int_t given = json_integer_value(value);
            char expected[64];
            snprintf(expected, sizeof expected, "a whole number from %u to %u, or 0 for the default", numbers[i].low,
                     numbers[i].high);
            if (!json_is_integer(value) || (given && (given < numbers[i].low || given > numbers[i].high)))
                return refuse_row(f, row, key, expected);
            *(uint32_t *)(void *)((char *)out + numbers[i].offset) = (uint32_t)given;
            return CLI_OK;
        }
    for (size_t i = 0; i < COUNT(texts); ++i)
        if (strcmp(key, texts[i].key) == 0) {
            if (!json_is_string(value) && !json_is_null(value))
                return refuse_row(f, row, key, "a text, or null for any");
            *(const char **)(void *)((char *)out + texts[i].offset) = json_string_value(value);
            return CLI_OK;
        }
    if (strcmp(key, "backend") == 0) {
        status = read_choice(f, row, key, value, "auto, fused, staged or clblast", backends, 4, &found);
        out->backend = (clfavor_backend)found;
        return status;
    }
    if (strcmp(key, "class") == 0) {
        status = read_choice(f, row, key, value, "cpu or gpu", classes, 2, &found);
        out->device_class = found ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU;
        return status;
    }
    for (size_t i = 0; i < COUNT(known); ++i)
        if (strcmp(key, known[i]) == 0)
            return CLI_OK;
    cli_note("'%s': rows[%zu]: the unknown key \"%.40s\" is ignored", f->path, row, key);
    return CLI_OK;
}

static int read_row(const tuning_file *f, size_t row, json_t *object, clfavor_tuning *out) {
    *out = (clfavor_tuning){.struct_size = sizeof *out};
    if (!json_is_object(object))
        return cli_error(CLI_USAGE, "'%s': rows[%zu] must be an object; %s", f->path, row, advice);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        int status = read_member(f, row, key, value, out);
        if (status)
            return status;
    }
    return out->device_class ? CLI_OK : refuse_row(f, row, "class", "cpu or gpu");
}

static int read_root(tuning_file *f) {
    json_t *rows = json_object_get(f->root, "rows"), *version = json_object_get(f->root, "version");
    const char *format = json_string_value(json_object_get(f->root, "format"));
    if (!format || strcmp(format, FORMAT) != 0 || !json_is_integer(version) || !json_is_array(rows))
        return cli_error(CLI_USAGE,
                         "'%s' is no tuning database: it must have \"format\": \"" FORMAT
                         "\", \"version\": %d and an array \"rows\"; %s",
                         f->path, VERSION, advice);
    if (json_integer_value(version) != VERSION)
        return cli_error(CLI_USAGE, "'%s' has version %lld, this program reads %d; take a newer clfavor, or %s",
                         f->path, (long long)json_integer_value(version), VERSION, advice);
    const char *key;
    json_t *value;
    json_object_foreach(f->root, key, value) {
        if (strcmp(key, "format") != 0 && strcmp(key, "version") != 0 && strcmp(key, "rows") != 0)
            cli_note("'%s': the unknown key \"%.40s\" is ignored", f->path, key);
    }
    f->count = json_array_size(rows);
    f->rows = calloc(f->count ? f->count : 1, sizeof *f->rows);
    if (!f->rows)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    int status = CLI_OK;
    for (size_t i = 0; i < f->count && !status; ++i)
        status = read_row(f, i, json_array_get(rows, i), &f->rows[i]);
    return status;
}

int tuning_file_read(tuning_file *f, const char *path) {
    *f = (tuning_file){.path = path};
    if (!path)
        return CLI_OK;
    FILE *from = fopen(path, "rb");
    if (from && fgetc(from) == EOF && ferror(from)) { /* a folder */
        int saved = errno;
        fclose(from);
        errno = saved;
        from = NULL;
    }
    if (!from)
        return cli_error(CLI_USAGE, "the tuning database '%s' cannot be read: %s", path, strerror(errno));
    rewind(from);
    json_error_t error;
    f->root = json_loadf(from, JSON_REJECT_DUPLICATES, &error);
    fclose(from);
    if (!f->root)
        return cli_error(CLI_USAGE, "'%s' is no JSON (line %d, column %d: %s); %s", path, error.line, error.column,
                         error.text, advice);
    return read_root(f);
}

void tuning_file_close(tuning_file *f) {
    json_decref(f->root);
    free(f->rows);
    *f = (tuning_file){0};
}

/* ------------------------------------------------------------------------------------------------------- writing */

static json_t *sizes_of(const clfavor_tuning *row) {
    json_t *object = json_object();
    if (row->device_class == CLFAVOR_CLASS_GPU)
        json_object_set_new(object, "backend", json_string(bench_backend_name(row->backend)));
    for (size_t i = 0; i < COUNT(numbers); ++i) {
        const uint32_t *value = (const void *)((const char *)row + numbers[i].offset);
        bool tiles = numbers[i].offset < offsetof(clfavor_tuning, chunk);
        if (*value && !(tiles && row->backend != CLFAVOR_BACKEND_FUSED))
            json_object_set_new(object, numbers[i].key, json_integer(*value));
    }
    return object;
}

/* A text of the device that is no UTF-8 cannot be in a file, and stands for any. */
static void set_text(json_t *object, const char *key, const char *text) {
    json_t *value = *text ? json_string(text) : NULL;
    json_object_set_new(object, key, value ? value : json_null());
}

json_t *tuning_file_entry(const bench_tune_result *r) {
    json_t *entry = json_object(), *works = json_array();
    char date[16] = "";
    time_t now = time(NULL);
    struct tm day;
    if (gmtime_r(&now, &day))
        strftime(date, sizeof date, "%Y-%m-%d", &day);
    set_text(entry, "vendor", r->vendor);
    set_text(entry, "architecture", r->architecture);
    set_text(entry, "device", r->device);
    json_object_set_new(entry, "class", json_string(r->device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu"));
    set_text(entry, "driver", r->driver);
    json_object_set_new(entry, "library", json_string(clfavor_version_string()));
    json_object_set_new(entry, "date", json_string(date));
    json_t *sizes = sizes_of(&r->row);
    json_object_update(entry, sizes);
    json_decref(sizes);
    for (size_t i = 0; i < r->work_count; ++i) {
        const bench_tuned *w = &r->works[i];
        const bench_shape *s = &w->work.shape;
        char shape[96];
        snprintf(shape, sizeof shape, "%llu,%llu,%u,%u", (unsigned long long)s->heads, (unsigned long long)s->n, s->dim,
                 s->features);
        json_array_append_new(works, json_pack("{s:s, s:b, s:f, s:f}", "shape", shape, "causal", w->work.causal,
                                               "seconds", w->seconds, "library_seconds", w->base_seconds));
    }
    json_object_set_new(entry, "measured",
                        json_pack("{s:f, s:b, s:o, s:o}", "times_faster", r->gain, "library_row_kept", r->kept,
                                  "library_row", sizes_of(&r->base), "works", works));
    return entry;
}

static bool same_text(const json_t *a, const json_t *b, const char *key) {
    json_t *left = json_object_get(a, key), *right = json_object_get(b, key);
    return json_is_string(left) && json_equal(left, right);
}

static int write_root(const char *path, const json_t *root) {
    char error[OUTFILE_ERROR], *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    if (!text)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    outfile file = OUTFILE_CLOSED;
    bool good = outfile_open(&file, path, error) && outfile_write(&file, text, strlen(text), error) &&
                outfile_write(&file, "\n", 1, error) && outfile_commit(&file, error);
    outfile_discard(&file);
    free(text);
    return good ? CLI_OK : cli_error(CLI_FAILED, "%s", error);
}

int tuning_file_update(const char *path, json_t *entry, bool *replaced) {
    tuning_file f = {.path = path};
    *replaced = false;
    bool exists = access(path, F_OK) == 0;
    int status = exists ? tuning_file_read(&f, path) : CLI_OK;
    if (!status && !exists)
        f.root = json_pack("{s:s, s:i, s:[]}", "format", FORMAT, "version", VERSION, "rows");
    json_t *rows = json_object_get(f.root, "rows"), *row;
    size_t i;
    if (!status) {
        json_array_foreach(rows, i, row) {
            if (!*replaced && same_text(row, entry, "device") && same_text(row, entry, "class")) {
                json_array_set(rows, i, entry);
                *replaced = true;
            }
        }
        if (!*replaced)
            json_array_append(rows, entry);
        status = write_root(path, f.root);
    }
    tuning_file_close(&f);
    return status;
}
