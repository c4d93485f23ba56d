/* Runs the variant of the program with each deliberate bug switched on, in a process of its own, and sees whether the
 * suite that should find it does. */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

#define MUTANT_SECONDS 3600u /* after that it hangs */

extern char **environ;

typedef struct mutant {
    char *line; /* "name\tsuite\tclass\tfile\ttext", cut in place */
    const char *name, *suite, *class_name, *file, *text;
} mutant;

typedef struct output {
    int code; /* exit status; -1: killed by a signal or by the clock */
    char *text;
} output;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Reads the pipe to its end; false when memory is exhausted. */
static bool read_all(int descriptor, char **text) {
    size_t used = 0, capacity = 4096;
    *text = malloc(capacity);
    for (ssize_t got = 1; *text && got > 0; used += (size_t)(got > 0 ? got : 0)) {
        if (capacity - used < 2048) {
            char *grown = realloc(*text, capacity *= 2);
            if (!grown)
                free(*text);
            *text = grown;
        }
        do
            got = *text ? read(descriptor, *text + used, capacity - used - 1) : 0;
        while (got < 0 && errno == EINTR);
    }
    if (*text)
        (*text)[used] = '\0';
    return *text != NULL;
}

/* Runs argv[0] with stdout to a pipe. A process that hangs is ended by `timeout`, as the shell's users know it. */
static bool run_program(const char *const *arguments, output *out, char error[512]) {
    int ends[2];
    *out = (output){-1, NULL};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        snprintf(error, 512, "a pipe cannot be made: %s", strerror(errno));
        return false;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    union { /* the interface is not const, the use is */
        const char *const *from;
        char *const *to;
    } argv = {arguments};
    pid_t child;
    int code = posix_spawnp(&child, arguments[0], &actions, NULL, argv.to, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    bool good = code == 0 && read_all(ends[0], &out->text);
    close(ends[0]);
    if (code != 0) {
        snprintf(error, 512, "'%.300s' cannot be run: %s", arguments[0], strerror(code));
        return false;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    out->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (!good)
        snprintf(error, 512, "host memory is exhausted");
    return good;
}

/* clfavor-mutants verify --mutant NAME with the run's options. */
static bool run_variant(const verify_mutants_options *o, const char *name, const char *const *suites,
                        size_t suite_count, const char *class_name, output *out, char error[512]) {
    char seed[32], alpha[32], seconds[16];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed);
    snprintf(alpha, sizeof alpha, "%.17g", o->alpha);
    snprintf(seconds, sizeof seconds, "%u", MUTANT_SECONDS);
    const char *const first[] = {
        "timeout", "-k",     "5",  seconds,   o->program, "verify",  "--mutant",
        name,      "--seed", seed, "--alpha", alpha,      "--level", verify_level_name(o->level)};
    size_t count = sizeof first / sizeof *first;
    const char **arguments = calloc(count + 2 * suite_count + 5, sizeof *arguments);
    if (!arguments) {
        snprintf(error, 512, "host memory is exhausted");
        return false;
    }
    memcpy(arguments, first, sizeof first);
    for (size_t i = 0; i < suite_count; ++i) {
        arguments[count++] = "--suite";
        arguments[count++] = suites[i];
    }
    if (class_name && strcmp(class_name, "auto") != 0) {
        arguments[count++] = "--class";
        arguments[count++] = class_name;
    }
    if (o->device) {
        arguments[count++] = "--device";
        arguments[count++] = o->device;
    }
    bool good = run_program(arguments, out, error);
    free(arguments);
    return good;
}

static bool cut_line(mutant *m) {
    const char **fields[] = {&m->name, &m->suite, &m->class_name, &m->file, &m->text};
    char *at = m->line;
    for (size_t i = 0; i < 5; ++i) {
        *fields[i] = at;
        at += strcspn(at, "\t");
        if (i < 4 && !*at)
            return false;
        *at++ = '\0';
    }
    return true;
}

static bool is_wanted(const verify_mutants_options *o, const mutant *m) {
    for (size_t i = 0; i < o->selection_count; ++i)
        if (strncmp(m->suite, o->selection[i], strlen(o->selection[i])) == 0)
            return true;
    return !o->selection_count;
}

/* "FAILED mean/d6/...: Catoni ..." -> "mean/d6/...", or NULL. In place. */
static const char *killer_of(output *out) {
    char *at = strstr(out->text, "FAILED ");
    if (out->code != 1 || !at)
        return NULL;
    at += strlen("FAILED ");
    char *end = at + strcspn(at, "\n"), *stop = strstr(at, ": ");
    for (char *next = stop; next && next < end; next = strstr(next + 1, ": ")) /* names hold colons, too */
        stop = strstr(next, " statistic ") && strstr(next, " statistic ") < end ? next : stop;
    *(stop && stop < end ? stop : end) = '\0';
    return at;
}

static void add_row(verify_run *run, char **cells, const mutant *m, const char *killer, const char *state,
                    double seconds) {
    char *name = verify_format("%s: %s%s", m->name, killer ? "found by " : state, killer ? killer : "");
    verify_check check = {.suite = "mutants",
                          .name = name,
                          .test = "found",
                          .outcome = killer ? VERIFY_PASSED : VERIFY_FAILED,
                          .statistic = killer ? 0.0 : 1.0,
                          .samples = NAN,
                          .estimate = NAN,
                          .expected = NAN,
                          .band = NAN,
                          .sensitivity = NAN};
    if (name)
        verify_add_check(run, &check);
    free(name);
    cells[0] = verify_format("%s", m->name);
    cells[1] = verify_format("%s", m->text);
    cells[2] = verify_format("%s", m->file);
    cells[3] = verify_format("%s", m->suite);
    cells[4] = verify_format("%s", killer ? killer : state);
    cells[5] = verify_format("%.1f", seconds);
}

static bool try_all(verify_run *run, const verify_mutants_options *o, mutant *mutants, size_t count, char error[512]) {
    enum { COLUMNS = 6 };
    char **cells = calloc((count + 1) * COLUMNS, sizeof *cells);
    static const char *const titles[COLUMNS] = {"bug",      "what is wrong", "file", "suite that must find it",
                                                "found by", "seconds"};
    bool good = cells != NULL;
    for (size_t i = 0; good && i < COLUMNS; ++i)
        cells[i] = verify_format("%s", titles[i]);
    size_t found = 0;
    for (size_t i = 0; good && i < count; ++i) {
        output out;
        double began = now();
        good = run_variant(o, mutants[i].name, &mutants[i].suite, 1, mutants[i].class_name, &out, error);
        const char *killer = good ? killer_of(&out) : NULL;
        found += killer != NULL;
        if (good)
            add_row(run, cells + (i + 1) * COLUMNS, &mutants[i], killer,
                    out.code == 0 ? "NOT FOUND" : "did not run to an end", now() - began);
        free(out.text);
        if (o->progress)
            o->progress(o->user, (double)(i + 1), (double)count);
    }
    if (good) {
        char *title = verify_format("Deliberate bugs: %zu of %zu found", found, count);
        verify_add_table(run, "mutants", title ? title : "",
                         "Each bug is switched on in a test-only variant of library and kernels, and only the suite "
                         "that should find it is run.",
                         COLUMNS, count, cells);
        free(title);
    }
    for (size_t i = 0; cells && i < (count + 1) * COLUMNS; ++i)
        free(cells[i]);
    free(cells);
    return good;
}

/* Without a bug the variant must pass, or a failing check would say nothing. */
static bool try_none(verify_run *run, const verify_mutants_options *o, char error[512]) {
    output out;
    if (!run_variant(o, "none", o->selection, o->selection_count, NULL, &out, error))
        return false;
    verify_check check = {.suite = "mutants",
                          .name = (char[]){"none: the variant without a bug passes"},
                          .test = "passes",
                          .outcome = out.code == 0 ? VERIFY_PASSED : VERIFY_FAILED,
                          .statistic = out.code == 0 ? 0.0 : 1.0,
                          .samples = NAN,
                          .estimate = NAN,
                          .expected = NAN,
                          .band = NAN,
                          .sensitivity = NAN};
    verify_add_check(run, &check);
    free(out.text);
    return true;
}

bool verify_run_mutants(const verify_mutants_options *o, verify_result *result, char error[512]) {
    verify_run run = {.result = result};
    output listed;
    const char *arguments[] = {o->program, "verify", "--mutant", "list", NULL};
    if (!run_program(arguments, &listed, error))
        return false;
    size_t capacity = 1, count = 0;
    for (const char *c = listed.text; *c; ++c)
        capacity += *c == '\n';
    mutant *mutants = calloc(capacity, sizeof *mutants);
    bool good = mutants != NULL && listed.code == 0;
    for (char *line = listed.text, *end; good && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        mutants[count].line = line;
        good = cut_line(&mutants[count]);
        count += good && is_wanted(o, &mutants[count]);
    }
    if (!good || !count)
        snprintf(error, 512, good ? "no mutant belongs to that suite" : "'%.300s' does not list its mutants",
                 o->program);
    double began = now();
    good = good && count && try_none(&run, o, error) && try_all(&run, o, mutants, count, error);
    result->wall_seconds += now() - began;
    free(mutants);
    free(listed.text);
    return good && !run.out_of_memory;
}
