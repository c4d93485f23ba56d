#include "tuning_save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "outfile.h"
#include "tuning_file.h"

static json_t *sizes_of(const clfavor_tuning *row) {
    json_t *object = json_object();
    if (row->device_class == CLFAVOR_CLASS_GPU)
        json_object_set_new(object, "backend", json_string(bench_backend_name(row->backend)));
    for (size_t i = 0; i < TUNING_NUMBERS; ++i) {
        const uint32_t *value = (const void *)((const char *)row + tuning_numbers[i].offset);
        bool tiles = tuning_numbers[i].offset < offsetof(clfavor_tuning, chunk);
        if (*value && !(tiles && row->backend != CLFAVOR_BACKEND_FUSED))
            json_object_set_new(object, tuning_numbers[i].key, json_integer(*value));
    }
    return object;
}

/* A text of the device that is no UTF-8 cannot be in a file, and stands for any. */
static void set_text(json_t *object, const char *key, const char *text) {
    json_t *value = *text ? json_string(text) : NULL;
    json_object_set_new(object, key, value ? value : json_null());
}

json_t *tuning_entry(const bench_tune_result *r) {
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

int tuning_save(const char *path, json_t *entry, bool *replaced) {
    tuning_file f = {.path = path};
    *replaced = false;
    bool exists = access(path, F_OK) == 0;
    int status = exists ? tuning_file_read(&f, path) : CLI_OK;
    if (!status && !exists)
        f.root = json_pack("{s:s, s:i, s:[]}", "format", TUNING_FORMAT, "version", TUNING_VERSION, "rows");
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
