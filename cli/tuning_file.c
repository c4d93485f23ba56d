#include "tuning_file.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

static const char advice[] = "correct it, or move it away and run `clfavor tune' again";

const char *tuning_file_path(const char *path) {
    path = path ? path : getenv("CLFAVOR_TUNING");
    return path && *path ? path : NULL;
}

/* ------------------------------------------------------------------------------------------------------- reading */

#define NUMBER(member, low, high)                                                                                      \
    { #member, offsetof(clfavor_tuning, member), low, high }

/* As far as a row by itself tells; the library knows how sizes go together. */
const tuning_number tuning_numbers[TUNING_NUMBERS] = {
    NUMBER(group, 1, 1024),        NUMBER(rows, 4, 256),    NUMBER(features, 8, 256),
    NUMBER(columns, 4, 256),       NUMBER(step, 4, 256),    NUMBER(chunk, 1, 4096),
    NUMBER(causal_chunk, 1, 4096), NUMBER(pieces, 1, 1024), NUMBER(vector, 1, 2)};
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
    for (size_t i = 0; i < TUNING_NUMBERS; ++i)
        if (strcmp(key, tuning_numbers[i].key) == 0) {
            json_int_t given = json_integer_value(value);
            char expected[64];
            snprintf(expected, sizeof expected, "a whole number from %u to %u, or 0 for the default",
                     tuning_numbers[i].low, tuning_numbers[i].high);
            if (!json_is_integer(value) || (given && (given < tuning_numbers[i].low || given > tuning_numbers[i].high)))
                return refuse_row(f, row, key, expected);
            *(uint32_t *)(void *)((char *)out + tuning_numbers[i].offset) = (uint32_t)given;
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
    if (!format || strcmp(format, TUNING_FORMAT) != 0 || !json_is_integer(version) || !json_is_array(rows))
        return cli_error(CLI_USAGE,
                         "'%s' is no tuning database: it must have \"format\": \"" TUNING_FORMAT
                         "\", \"version\": %d and an array \"rows\"; %s",
                         f->path, TUNING_VERSION, advice);
    if (json_integer_value(version) != TUNING_VERSION)
        return cli_error(CLI_USAGE, "'%s' has version %lld, this program reads %d; take a newer clfavor, or %s",
                         f->path, (long long)json_integer_value(version), TUNING_VERSION, advice);
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
