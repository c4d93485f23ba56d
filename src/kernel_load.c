#include "kernel_sources.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH 16

typedef struct text_buffer {
    char *data;
    size_t size, capacity;
} text_buffer;

/* A file's bytes: the library's own, or owned when they were read from a folder. */
typedef struct file_bytes {
    const char *data;
    size_t size;
    char *owned;
} file_bytes;

static clfavor_status append(text_buffer *out, const char *data, size_t size) {
    if (size >= out->capacity - out->size) {
        size_t capacity = 2 * (out->size + size + 1);
        char *grown = realloc(out->data, capacity);
        if (!grown)
            return CLFAVOR_OUT_OF_MEMORY;
        out->data = grown;
        out->capacity = capacity;
    }
    memcpy(out->data + out->size, data, size);
    out->size += size;
    out->data[out->size] = '\0';
    return CLFAVOR_SUCCESS;
}

static clfavor_status append_line_directive(text_buffer *out, size_t line, const char *name, size_t name_length) {
    char number[40];
    int length = snprintf(number, sizeof number, "#line %zu \"", line);
    clfavor_status status = append(out, number, (size_t)length);
    if (!status)
        status = append(out, name, name_length);
    return status ? status : append(out, "\"\n", 2);
}

static clfavor_status read_embedded(const char *name, size_t name_length, file_bytes *out) {
    for (size_t i = 0; i < clfavor_kernel_source_count; ++i) {
        const clfavor_kernel_source *source = &clfavor_kernel_sources[i];
        if (strlen(source->name) == name_length && !memcmp(source->name, name, name_length)) {
            *out = (file_bytes){(const char *)source->bytes, source->size, NULL};
            return CLFAVOR_SUCCESS;
        }
    }
    return CLFAVOR_SOURCE;
}

static clfavor_status read_folder(const char *folder, const char *name, size_t name_length, file_bytes *out) {
    text_buffer bytes = {0};
    size_t path_size = strlen(folder) + name_length + 2;
    char *path = malloc(path_size);
    if (!path)
        return CLFAVOR_OUT_OF_MEMORY;
    snprintf(path, path_size, "%s/%.*s", folder, (int)name_length, name);
    FILE *file = fopen(path, "rb");
    free(path);
    if (!file)
        return CLFAVOR_SOURCE;
    clfavor_status status = append(&bytes, "", 0);
    char block[4096];
    size_t got;
    while (!status && (got = fread(block, 1, sizeof block, file)))
        status = append(&bytes, block, got);
    if (!status && ferror(file)) /* a folder opens, but does not read */
        status = CLFAVOR_SOURCE;
    fclose(file);
    if (status)
        free(bytes.data);
    else
        *out = (file_bytes){bytes.data, bytes.size, bytes.data};
    return status;
}

/* Whether a line is #include "name"; then *name and *length are set. Includes in <> are left to the compiler. */
static bool parse_include(const char *line, const char *end, const char **name, size_t *length) {
    static const char word[] = "include";
    while (line < end && (*line == ' ' || *line == '\t'))
        ++line;
    if (line == end || *line++ != '#')
        return false;
    while (line < end && (*line == ' ' || *line == '\t'))
        ++line;
    if ((size_t)(end - line) < sizeof word || memcmp(line, word, sizeof word - 1) != 0)
        return false;
    line += sizeof word - 1;
    while (line < end && (*line == ' ' || *line == '\t'))
        ++line;
    if (line == end || *line++ != '"')
        return false;
    const char *close = memchr(line, '"', (size_t)(end - line));
    if (!close)
        return false;
    *name = line;
    *length = (size_t)(close - line);
    return true;
}

/* Inlines every time, as a preprocessor would: the files' own guards then do their work. */
static clfavor_status append_file(text_buffer *out, const char *folder, const char *name, size_t name_length,
                                  unsigned depth) {
    if (depth > MAX_DEPTH)
        return CLFAVOR_SOURCE;
    file_bytes file;
    clfavor_status status =
        folder ? read_folder(folder, name, name_length, &file) : read_embedded(name, name_length, &file);
    if (status)
        return status;
    status = append_line_directive(out, 1, name, name_length);
    const char *end = file.data + file.size;
    size_t number = 1;
    for (const char *line = file.data; line < end && !status; ++number) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *next = newline ? newline + 1 : end;
        const char *included;
        size_t length;
        if (parse_include(line, next, &included, &length)) {
            status = append_file(out, folder, included, length, depth + 1);
            if (!status)
                status = append_line_directive(out, number + 1, name, name_length);
        } else {
            status = append(out, line, (size_t)(next - line));
            if (!status && !newline)
                status = append(out, "\n", 1);
        }
        line = next;
    }
    free(file.owned);
    return status;
}

clfavor_status clfavor_kernel_load(const char *kernel_dir, const char *name, char **text, size_t *size) {
    text_buffer out = {0};
    clfavor_status status = append_file(&out, kernel_dir, name, strlen(name), 1);
    if (status) {
        free(out.data);
        out = (text_buffer){0};
    }
    *text = out.data;
    *size = out.size;
    return status;
}
