/* Makes the test-only variant of the library: mutate MUTANTS.TXT SOURCE_ROOT OUT_DIR
 *
 * Copies the files of src/ to OUT_DIR, with every host mutant beside the original text under a condition, and writes
 * OUT_DIR/mutants_table.c with the names and the kernels' replacements. Fails when a text is not there exactly once. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 200, MOST_FILES = 100 };

typedef struct mutant {
    char name[64], suite[128], class_name[8], file[128], text[256], kind[8];
    char *from, *to;
    int line;
} mutant;

typedef struct source {
    char name[128]; /* "src/haar.c" */
    char *text;     /* patched */
    char *original;
} source;

static mutant mutants[MOST];
static size_t mutant_count;
static source sources[MOST_FILES];
static size_t source_count;

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("mutate: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (!memory)
        die("memory is exhausted");
    return memory;
}

static char *copy(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(allocate(size), text, size);
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        die("%s: %s", path, strerror(errno));
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = allocate((size_t)size + 1);
    if (size < 0 || fread(text, 1, (size_t)size, file) != (size_t)size)
        die("%s cannot be read", path);
    text[size] = '\0';
    fclose(file);
    return text;
}

static size_t occurrences(const char *text, const char *part) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        ++count;
    return count;
}

/* text with its first `from` replaced; frees text. */
static char *replace(char *text, const char *from, const char *to) {
    char *at = strstr(text, from);
    size_t before = (size_t)(at - text), size = strlen(text) - strlen(from) + strlen(to) + 1;
    char *result = allocate(size);
    memcpy(result, text, before);
    strcpy(result + before, to);
    strcat(result + before, at + strlen(from));
    free(text);
    return result;
}

/* ----------------------------------------------------------------------------------------------------- the list */

/* Lines up to the one that is `end`, without the last newline. */
static char *read_block(char **at, const char *end, int *line) {
    char *start = *at, *stop = start;
    size_t length = strlen(end);
    while (*stop && !(strncmp(stop, end, length) == 0 && stop[length] == '\n')) {
        stop += strcspn(stop, "\n");
        stop += *stop == '\n';
        ++*line;
    }
    if (!*stop)
        die("line %d: %s is missing", *line, end);
    *at = stop + length + 1;
    ++*line;
    char *block = allocate((size_t)(stop - start) + 1);
    size_t size = (size_t)(stop - start);
    memcpy(block, start, size);
    block[size ? size - 1 : 0] = '\0';
    return block;
}

static void read_field(mutant *m, const char *text, int line) {
    struct {
        const char *key;
        char *to;
        size_t size;
    } fields[] = {{"suite: ", m->suite, sizeof m->suite},
                  {"class: ", m->class_name, sizeof m->class_name},
                  {"file: ", m->file, sizeof m->file},
                  {"text: ", m->text, sizeof m->text},
                  {"kind: ", m->kind, sizeof m->kind}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; ++i)
        if (strncmp(text, fields[i].key, strlen(fields[i].key)) == 0) {
            if (snprintf(fields[i].to, fields[i].size, "%s", text + strlen(fields[i].key)) >= (int)fields[i].size)
                die("line %d is too long", line);
            return;
        }
    die("line %d is not understood: %s", line, text);
}

static void read_list(const char *path) {
    char *all = read_file(path), *at = all;
    mutant *m = NULL;
    for (int line = 1; *at; ++line) {
        char *end = at + strcspn(at, "\n");
        if (strncmp(at, "<<<\n", 4) == 0 && m) {
            at += 4;
            m->from = read_block(&at, "===", &line);
            m->to = read_block(&at, ">>>", &line);
            continue;
        }
        if (*end)
            *end++ = '\0';
        if (strncmp(at, "= ", 2) == 0) {
            if (mutant_count == MOST)
                die("more than %d mutants", MOST);
            m = &mutants[mutant_count++];
            snprintf(m->name, sizeof m->name, "%s", at + 2);
            snprintf(m->kind, sizeof m->kind, "expr");
            m->line = line;
        } else if (*at && *at != '#') {
            if (!m)
                die("line %d stands before the first mutant", line);
            read_field(m, at, line);
        }
        at = end;
    }
    free(all);
    for (size_t i = 0; i < mutant_count; ++i)
        if (!mutants[i].from || !*mutants[i].from || !*mutants[i].file)
            die("line %d: '%s' lacks its file or its text", mutants[i].line, mutants[i].name);
}

/* ------------------------------------------------------------------------------------------------------ the sources */

static void read_sources(const char *root, const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, folder);
    DIR *directory = opendir(path);
    if (!directory)
        die("%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        if (source_count == MOST_FILES)
            die("more than %d files", MOST_FILES);
        source *s = &sources[source_count++];
        snprintf(s->name, sizeof s->name, "%s/%.100s", folder, entry->d_name);
        snprintf(path, sizeof path, "%s/%s", root, s->name);
        s->original = read_file(path);
        s->text = copy(s->original);
    }
    closedir(directory);
}

static source *find_source(const mutant *m) {
    for (size_t i = 0; i < source_count; ++i)
        if (strcmp(sources[i].name, m->file) == 0)
            return &sources[i];
    die("'%s': there is no file %s", m->name, m->file);
    return NULL;
}

static void apply(const mutant *m, size_t number) {
    source *s = find_source(m);
    size_t count = occurrences(s->original, m->from);
    if (count != 1)
        die("'%s': its text is %zu times in %s, not once; mend verify/mutants/mutants.txt", m->name, count, m->file);
    if (strncmp(m->file, "kernels/", 8) == 0)
        return;
    if (!strstr(s->text, m->from))
        die("'%s': its text in %s overlaps that of another", m->name, m->file);
    char condition[64], *both;
    size_t size = 2 * (strlen(m->from) + strlen(m->to)) + 200;
    snprintf(condition, sizeof condition, "(clfavor_mutant == %zu)", number);
    both = allocate(size);
    if (strcmp(m->name, "hook") == 0) {
        snprintf(both, size, "%s", m->to);
    } else if (strcmp(m->kind, "stmt") == 0) {
        snprintf(both, size, "if %s {\n%s\n} else {\n%s\n}", condition, m->to, m->from);
    } else if (strcmp(m->kind, "raw") == 0) {
        if (!strstr(m->to, "MUTATED"))
            die("'%s' is raw, but says MUTATED nowhere", m->name);
        char *raw = replace(copy(m->to), "MUTATED", condition);
        snprintf(both, size, "%s", raw);
        free(raw);
    } else {
        snprintf(both, size, "(%s ? (%s) : (%s))", condition, m->to, m->from);
    }
    s->text = replace(s->text, m->from, both);
    free(both);
}

static FILE *create(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file)
        die("%s: %s", path, strerror(errno));
    return file;
}

static void finish(FILE *file, const char *name) {
    if (fclose(file) != 0)
        die("%s: %s", name, strerror(errno));
}

static void write_string(FILE *file, const char *text) {
    fputs("\n     \"", file);
    for (; *text; ++text)
        if (*text == '\n')
            fputs("\\n\"\n     \"", file);
        else {
            if (*text == '"' || *text == '\\')
                fputc('\\', file);
            fputc(*text, file);
        }
    fputc('"', file);
}

static void write_all(const char *out) {
    for (size_t i = 0; i < source_count; ++i) {
        if (strncmp(sources[i].name, "src/", 4) != 0)
            continue;
        FILE *file = create(out, sources[i].name + 4);
        fputs("extern int clfavor_mutant;\n#ifndef CLFAVOR_MUTATE\n#define CLFAVOR_MUTATE\n#include <stddef.h>\n"
              "void clfavor_mutate_kernel(char **text, size_t *size);\n#endif\n#line 1\n",
              file);
        fputs(sources[i].text, file);
        finish(file, sources[i].name);
    }
    FILE *file = create(out, "mutants_table.c");
    fputs("#include \"mutants.h\"\n\nconst clfavor_mutant_entry clfavor_mutants[] = {\n", file);
    for (size_t i = 0; i < mutant_count; ++i) {
        const mutant *m = &mutants[i];
        const char *kernel = strncmp(m->file, "kernels/", 8) == 0 ? m->from : "";
        const char *texts[] = {
            m->name, m->suite, *m->class_name ? m->class_name : "auto", m->file, m->text, kernel, *kernel ? m->to : ""};
        fputs("    {", file);
        for (size_t t = 0; t < sizeof texts / sizeof *texts; ++t) {
            write_string(file, texts[t]);
            fputs(t + 1 < sizeof texts / sizeof *texts ? "," : "},\n", file);
        }
    }
    fprintf(file, "};\nconst size_t clfavor_mutants_count = %zu;\n", mutant_count);
    finish(file, "mutants_table.c");
}

int main(int argc, char **argv) {
    if (argc != 4)
        die("usage: mutate MUTANTS.TXT SOURCE_ROOT OUT_DIR");
    read_list(argv[1]);
    read_sources(argv[2], "src");
    read_sources(argv[2], "kernels");
    for (size_t i = 0; i < mutant_count; ++i)
        apply(&mutants[i], i);
    write_all(argv[3]);
    return 0;
}
