/* The peers in Python, all served by one child (peers/peers.py, embedded). The inputs are handed over once, as files in
 * a temporary folder; then come commands and answers of one line each. */
#define _GNU_SOURCE /* environ */

#include "kernel_sources.h"
#include "peers_child.h"
#include "peers_list.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, NAME_SIZE = 64 };

typedef struct python {
    size_t users; /* peers that hold it, and the opening itself */
    peer_child child;
    peer_notes notes;
    double timeout;
    char folder[PATH_SIZE]; /* empty: none yet */
    size_t count;           /* floats of a result */
} python;

typedef struct python_peer {
    bench_peer base;
    char name[NAME_SIZE];
    python *python;
    float *result;
    bool ran;
} python_peer;

/* ---------------------------------------------------------------------------------------------------------- folder */

static bool file_path(char path[PATH_SIZE + 32], const python *p, const char *name) {
    return snprintf(path, PATH_SIZE + 32, "%s/%s", p->folder, name) < PATH_SIZE + 32;
}

static bool write_file(const python *p, const char *name, const void *data, size_t size) {
    char path[PATH_SIZE + 32];
    FILE *file = file_path(path, p, name) ? fopen(path, "wb") : NULL;
    if (!file)
        return false;
    bool good = fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && good;
}

static bool write_inputs(const python *p, const bench_inputs *inputs, unsigned threads) {
    json_t *shape =
        json_pack("{s:I, s:I, s:I, s:I, s:b, s:I}", "heads", (json_int_t)inputs->heads, "n", (json_int_t)inputs->n,
                  "dim", (json_int_t)inputs->dim, "features", (json_int_t)inputs->features, "causal",
                  (int)inputs->causal, "threads", (json_int_t)threads);
    char *text = shape ? json_dumps(shape, JSON_COMPACT) : NULL;
    json_decref(shape);
    size_t size = p->count * sizeof(float);
    const bench_kernel_source *script = bench_find_source("peers.py");
    bool good = text && script && write_file(p, "inputs.json", text, strlen(text)) &&
                write_file(p, "q.f32", inputs->q, size) && write_file(p, "k.f32", inputs->k, size) &&
                write_file(p, "v.f32", inputs->v, size) &&
                write_file(p, "w.f64", inputs->w, (size_t)inputs->features * inputs->dim * sizeof(double)) &&
                write_file(p, "peers.py", script->bytes, script->size);
    free(text);
    return good;
}

static bool make_folder(python *p) {
    const char *parent = getenv("TMPDIR");
    int length = snprintf(p->folder, sizeof p->folder, "%s/clfavor-peers-XXXXXX", parent && *parent ? parent : "/tmp");
    if (length < (int)sizeof p->folder && mkdtemp(p->folder))
        return true;
    p->folder[0] = '\0';
    return false;
}

/* Only files lie in it. The child may have removed it already. */
static void remove_folder(python *p) {
    DIR *folder = p->folder[0] ? opendir(p->folder) : NULL;
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[PATH_SIZE + 32];
        if (entry->d_name[0] != '.' && file_path(path, p, entry->d_name))
            unlink(path);
    }
    closedir(folder);
    rmdir(p->folder);
    p->folder[0] = '\0';
}

/* The last line that the child wrote on standard error, for a note; empty if none. */
static void last_words(const python *p, char *words, size_t size) {
    char path[PATH_SIZE + 32], tail[512];
    FILE *file = file_path(path, p, "stderr") ? fopen(path, "rb") : NULL;
    words[0] = '\0';
    if (!file)
        return;
    if (fseek(file, -(long)(sizeof tail - 1), SEEK_END) != 0)
        rewind(file);
    size_t length = fread(tail, 1, sizeof tail - 1, file);
    fclose(file);
    while (length && (tail[length - 1] == '\n' || tail[length - 1] == ' '))
        --length;
    tail[length] = '\0';
    const char *line = strrchr(tail, '\n');
    if (length)
        snprintf(words, size, " (%.200s)", line ? line + 1 : tail);
}

/* ----------------------------------------------------------------------------------------------------------- child */

/* The environment without what would slow a BLAS of the child down: settings made for another program. */
static char **child_environment(unsigned threads, char omp[32]) {
    size_t count = 0, used = 0;
    while (environ[count])
        ++count;
    char **copy = calloc(count + 2, sizeof(char *));
    static const char *const dropped[] = {"OPENBLAS_CORETYPE=", "OPENBLAS_L2_SIZE=", "OMP_NUM_THREADS="};
    for (size_t i = 0; copy && i < count; ++i) {
        bool keep = true;
        for (size_t k = 0; k < sizeof dropped / sizeof *dropped; ++k)
            keep = keep && strncmp(environ[i], dropped[k], strlen(dropped[k])) != 0;
        if (keep)
            copy[used++] = environ[i];
    }
    snprintf(omp, 32, "OMP_NUM_THREADS=%u", threads);
    if (copy)
        copy[used] = omp;
    return copy;
}

static bool start(python *p, unsigned threads) {
    const char *chosen = getenv("CLFAVOR_BENCH_PYTHON");
    char interpreter[PATH_SIZE], script[PATH_SIZE + 32], errors[PATH_SIZE + 32], omp[32];
    snprintf(interpreter, sizeof interpreter, "%s", chosen && *chosen ? chosen : "python3");
    if (!file_path(script, p, "peers.py") || !file_path(errors, p, "stderr"))
        return false;
    char *arguments[] = {interpreter, script, p->folder, NULL};
    char **environment = child_environment(threads, omp);
    bool good = environment && peer_child_start(&p->child, arguments, environment, errors);
    free(environment);
    return good;
}

/* The answer to a question about `who`, an object that the caller releases; NULL after a note. */
static json_t *ask(python *p, const char *who, const char *question) {
    if (p->child.socket < 0)
        return NULL; /* told when it broke */
    char words[256];
    const char *answer = peer_child_ask(&p->child, question, p->timeout);
    if (!answer) {
        last_words(p, words, sizeof words);
        peer_note(&p->notes, "%s: the Python process is given up: %s%s", who, p->child.error, words);
        return NULL;
    }
    json_t *object = json_loads(answer, 0, NULL);
    if (!json_is_object(object)) {
        peer_note(&p->notes, "%s: the Python process is given up: it answered '%.60s'", who, answer);
        json_decref(object);
        peer_child_stop(&p->child, 0);
        return NULL;
    }
    const char *error = json_string_value(json_object_get(object, "error"));
    if (!error)
        return object;
    peer_note(&p->notes, "%s: %s", who, error);
    json_decref(object);
    return NULL;
}

static void release(python *p) {
    if (--p->users)
        return;
    if (p->child.socket >= 0 && peer_child_ask(&p->child, "quit", 5))
        peer_child_stop(&p->child, 5);
    peer_child_stop(&p->child, 0);
    remove_folder(p);
    free(p);
}

/* ----------------------------------------------------------------------------------------------------------- peers */

static json_t *ask_peer(const python_peer *peer, const char *command) {
    char question[NAME_SIZE + 16];
    snprintf(question, sizeof question, "%s %s", command, peer->name);
    return ask(peer->python, peer->name, question);
}

static double run(bench_peer *base) {
    python_peer *peer = (python_peer *)base;
    json_t *answer = ask_peer(peer, "run");
    double seconds = json_number_value(json_object_get(answer, "seconds"));
    peer->ran = seconds > 0 && isfinite(seconds);
    if (answer && !peer->ran)
        peer_note(&peer->python->notes, "%s: the Python process gave no time", peer->name);
    json_decref(answer);
    return peer->ran ? seconds : (double)NAN;
}

static const float *result(bench_peer *base) {
    python_peer *peer = (python_peer *)base;
    python *p = peer->python;
    json_t *answer = peer->ran ? ask_peer(peer, "result") : NULL;
    if (!answer)
        return NULL;
    json_decref(answer);
    if (!peer->result)
        peer->result = malloc(p->count * sizeof *peer->result);
    char path[PATH_SIZE + 32];
    FILE *file = peer->result && file_path(path, p, "result.f32") ? fopen(path, "rb") : NULL;
    bool good = file && fread(peer->result, sizeof *peer->result, p->count, file) == p->count && getc(file) == EOF;
    if (file)
        fclose(file);
    if (!good)
        peer_note(&p->notes, "%s: its result cannot be read", peer->name);
    return good ? peer->result : NULL;
}

static void close_peer(bench_peer *base) {
    python_peer *peer = (python_peer *)base;
    release(peer->python);
    free(peer->result);
    free(peer);
}

static void add(peer_list *list, python *p, const json_t *entry) {
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *computes = json_string_value(json_object_get(entry, "computes"));
    if (!name || !computes || strlen(name) >= NAME_SIZE || strpbrk(name, " \n"))
        return;
    python_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return;
    strcpy(peer->name, name);
    peer->base = (bench_peer){.name = peer->name,
                              .computes = strcmp(computes, "exact") == 0 ? BENCH_EXACT : BENCH_LINEAR,
                              .run = run,
                              .result = result,
                              .close = close_peer};
    peer->python = p;
    ++p->users;
    peer_list_add(list, &peer->base);
}

void peers_open_python(peer_list *list, const bench_inputs *inputs, unsigned threads) {
    python *p = calloc(1, sizeof *p);
    if (!p)
        return;
    const char *timeout = getenv("CLFAVOR_BENCH_TIMEOUT");
    p->timeout = timeout ? strtod(timeout, NULL) : 0;
    p->timeout = p->timeout > 0 ? p->timeout : 300;
    p->users = 1;
    p->notes = list->notes;
    p->child.socket = -1;
    p->count = (size_t)(inputs->heads * inputs->n * inputs->dim);
    json_t *answer = NULL;
    if (!make_folder(p) || !write_inputs(p, inputs, threads))
        peer_note(&p->notes, "peers in Python: the inputs cannot be written to a folder in TMPDIR or /tmp");
    else if (!start(p, threads))
        peer_note(&p->notes, "peers in Python: %s; install Python 3 or set CLFAVOR_BENCH_PYTHON", p->child.error);
    else
        answer = ask(p, "peers in Python", "list");
    const json_t *line, *entry, *missing = json_object_get(answer, "missing"),
                                *found = json_object_get(answer, "peers");
    for (size_t i = 0; (line = json_array_get(missing, i)); ++i)
        peer_note(&p->notes, "%s", json_string_value(line) ? json_string_value(line) : "?");
    for (size_t i = 0; (entry = json_array_get(found, i)); ++i)
        add(list, p, entry);
    json_decref(answer);
    release(p);
}
