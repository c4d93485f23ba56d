/* The cache of built programs: what is in it is used, what is wrong in it is not, and nothing of it can do harm. */
#define _GNU_SOURCE /* usleep, futimens */
#include "support_attention.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache.h"

static test_device device;
static char folder[64];

static void setup(void) {
    test_open(&device);
    test_folder_make(folder);
}

static void teardown(void) {
    test_folder_remove(folder);
    test_close(&device);
}

static clfavor_context *open_cache(const char *where, uint64_t limit) {
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_CPU);
    desc.cache_dir = where;
    desc.cache_limit = limit;
    desc.cache_always = 1;
    clfavor_context *context;
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_SUCCESS);
    return context;
}

/* Entries there, and the name of one of them. */
static size_t entries(char name[256]) {
    size_t count = 0;
    DIR *open = opendir(folder);
    for (struct dirent *entry; open && (entry = readdir(open));)
        if (entry->d_name[0] != '.') {
            ++count;
            if (name)
                strcpy(name, entry->d_name);
        }
    if (open)
        closedir(open);
    return count;
}

static cl_program program_of(const char *source) {
    cl_int code;
    cl_program program = clCreateProgramWithSource(device.context, 1, &source, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(clBuildProgram(program, 1, &device.device, "", NULL, NULL), CL_SUCCESS);
    return program;
}

/* Stores a program of one kernel; returns its identity. */
static clfavor_cache_identity store(clfavor_context *context, const char *source) {
    clfavor_cache_identity identity;
    clfavor_cache_identify(context, source, strlen(source), "", &identity);
    ck_assert_ptr_nonnull(identity.text);
    cl_program program = program_of(source);
    clfavor_cache_store(context, &identity, program);
    clReleaseProgram(program);
    return identity;
}

static bool loads(clfavor_context *context, const clfavor_cache_identity *identity) {
    cl_program program = clfavor_cache_load(context, identity, "");
    if (program)
        clReleaseProgram(program);
    return program != NULL;
}

static const char *const tiny = "__kernel void f(__global int *x) { *x = 7; }";

START_TEST(another_process_loads) {
    test_case c = {.m = 21, .d = 7, .n = 40, .heads = 1, .seed = 5};
    test_inputs in = test_inputs_create(&c);
    test_outputs outputs[2];
    for (int i = 0; i < 2; ++i) {
        test_log_clear(&device);
        clfavor_context *context = open_cache(folder, 0);
        test_call call = test_call_create(&device, context, &c, &in);
        ck_assert_uint_eq(call.info.programs_built, i == 0);
        ck_assert(test_logged(&device, i ? "cache: hit" : "cache: miss"));
        ck_assert(test_logged(&device, i ? "loaded" : "cache: kept"));
        outputs[i] = test_call_run(&call);
        test_call_release(&call);
        clfavor_context_destroy(context);
    }
    ck_assert_uint_eq(entries(NULL), 1);
    ck_assert_mem_eq(outputs[0].o, outputs[1].o, (size_t)(c.n * c.d) * sizeof(float));
    test_outputs_free(&outputs[0]);
    test_outputs_free(&outputs[1]);
    test_inputs_free(&in);
}
END_TEST

/* Any doubt is a miss: every byte changed, every length but the whole, and rubbish after the end. */
START_TEST(damaged_entries) {
    clfavor_context *context = open_cache(folder, 0);
    clfavor_cache_identity identity = store(context, tiny);
    char name[256], path[400];
    ck_assert_uint_eq(entries(name), 1);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_RDWR);
    struct stat facts;
    ck_assert(file >= 0 && !fstat(file, &facts));
    ck_assert(loads(context, &identity));
    context->log = NULL;
    for (off_t at = 0; at < facts.st_size; ++at) {
        unsigned char byte, wrong;
        ck_assert_int_eq(pread(file, &byte, 1, at), 1);
        wrong = (unsigned char)(byte ^ (1u << at % 8));
        ck_assert_int_eq(pwrite(file, &wrong, 1, at), 1);
        ck_assert_msg(!loads(context, &identity), "loaded with byte %lld changed", (long long)at);
        ck_assert_int_eq(pwrite(file, &byte, 1, at), 1);
    }
    ck_assert(loads(context, &identity));
    ck_assert_int_eq(pwrite(file, "", 1, facts.st_size), 1);
    ck_assert(!loads(context, &identity));
    for (off_t size = facts.st_size - 1; size >= 0; --size) {
        ck_assert_int_eq(ftruncate(file, size), 0);
        ck_assert_msg(!loads(context, &identity), "loaded with %lld bytes left", (long long)size);
    }
    close(file);
    free(identity.text);
    clfavor_context_destroy(context);
}
END_TEST

/* What another program, device or version has written, under this one's name. */
START_TEST(foreign_entries) {
    clfavor_context *context = open_cache(folder, 0);
    clfavor_cache_identity identity = store(context, tiny), other = store(context, "__kernel void g(void) {}");
    ck_assert_str_ne(identity.name, other.name);
    char from[400], to[400];
    snprintf(from, sizeof from, "%s/%s.clbin", folder, other.name);
    snprintf(to, sizeof to, "%s/%s.clbin", folder, identity.name);
    ck_assert_int_eq(rename(from, to), 0);
    ck_assert(!loads(context, &identity));
    ck_assert(!loads(context, &other));
    ck_assert_int_eq(remove(to), 0);
    ck_assert_int_eq(mkdir(to, 0700), 0);
    ck_assert(!loads(context, &identity));
    clfavor_cache_identity again;
    clfavor_cache_identify(context, tiny, strlen(tiny), "-DX", &again);
    ck_assert_str_ne(identity.name, again.name);
    free(again.text);
    free(identity.text);
    free(other.text);
    clfavor_context_destroy(context);
}
END_TEST

/* An entry that is whole, of a binary that the driver does not take. */
START_TEST(driver_refuses) {
    clfavor_context *context = open_cache(folder, 0);
    clfavor_cache_identity identity = store(context, tiny);
    char path[400];
    snprintf(path, sizeof path, "%s/%s.clbin", folder, identity.name);
    ck_assert(clfavor_cache_write(context, &identity, "not a program", 13));
    ck_assert(!loads(context, &identity));
    ck_assert(test_logged(&device, "an entry that can't be used"));
    /* and is replaced */
    free(identity.text);
    identity = store(context, tiny);
    ck_assert(loads(context, &identity));
    free(identity.text);
    clfavor_context_destroy(context);
}
END_TEST

START_TEST(the_bound_is_kept) {
    clfavor_context *context = open_cache(folder, 0);
    clfavor_cache_identity first = store(context, tiny);
    char path[400];
    struct stat facts;
    snprintf(path, sizeof path, "%s/%s.clbin", folder, first.name);
    ck_assert_int_eq(stat(path, &facts), 0);
    context->cache_limit = (uint64_t)facts.st_size * 5 / 2; /* room for two */
    clfavor_cache_identity second = store(context, "__kernel void f(__global int *x) { *x = 8; }");
    usleep(20000);                     /* files' times are that coarse */
    ck_assert(loads(context, &first)); /* now the second is the one not used for longest */
    usleep(20000);
    clfavor_cache_identity third = store(context, "__kernel void f(__global int *x) { *x = 9; }");
    ck_assert_uint_eq(entries(NULL), 2);
    ck_assert(loads(context, &first));
    ck_assert(!loads(context, &second));
    ck_assert(loads(context, &third));
    context->cache_limit = 100; /* an entry that alone is larger is not written */
    clfavor_cache_identity fourth = store(context, "__kernel void f(__global int *x) { *x = 10; }");
    ck_assert(!loads(context, &fourth));
    ck_assert_uint_eq(entries(NULL), 2);
    free(first.text);
    free(second.text);
    free(third.text);
    free(fourth.text);
    clfavor_context_destroy(context);
}
END_TEST

/* What a writer that was killed has left goes with the next entry, once it is old. */
START_TEST(leftovers_go) {
    char path[400];
    snprintf(path, sizeof path, "%s/clfavor-abcdef", folder);
    for (int old = 0; old < 2; ++old) {
        int file = open(path, O_CREAT | O_WRONLY, 0600);
        const struct timespec times[2] = {{time(NULL) - 7200 * old, 0}, {time(NULL) - 7200 * old, 0}};
        ck_assert(file >= 0 && !futimens(file, times));
        close(file);
        clfavor_context *context = open_cache(folder, 0);
        clfavor_cache_identity identity = store(context, tiny);
        ck_assert_int_eq(access(path, F_OK), old ? -1 : 0);
        free(identity.text);
        clfavor_context_destroy(context);
    }
}
END_TEST

static const char *const bad_folders[] = {"/dev/null/cache", "/proc/clfavor/cache"};

START_TEST(folders_that_can_not_be_written) {
    clfavor_context *context = open_cache(bad_folders[_i], 0);
    clfavor_plan_desc desc = {.struct_size = sizeof desc, .features = 9, .dim = 5};
    clfavor_plan *plan;
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_SUCCESS);
    ck_assert(test_logged(&device, "could not be written"));
    clfavor_plan_destroy(plan);
    clfavor_context_destroy(context);
}
END_TEST

START_TEST(folders_are_made) {
    char deep[128];
    snprintf(deep, sizeof deep, "%s/a/b//c", folder);
    clfavor_context *context = open_cache(deep, 0);
    ck_assert_int_eq(access(deep, F_OK), -1); /* not before there is something to write */
    clfavor_cache_identity identity = store(context, tiny);
    ck_assert(loads(context, &identity));
    free(identity.text);
    clfavor_context_destroy(context);
}
END_TEST

START_TEST(off) {
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_CPU);
    const char *folders[] = {NULL, "", folder};
    desc.cache_dir = folders[_i];
    clfavor_context *context;
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_SUCCESS);
    if (_i == 2 && !test_logged(&device, "keeps compiled programs itself")) {
        clfavor_context_destroy(context); /* not PoCL */
        return;
    }
    clfavor_cache_identity identity;
    clfavor_cache_identify(context, tiny, strlen(tiny), "", &identity);
    ck_assert_ptr_null(identity.text);
    ck_assert(!loads(context, &identity));
    cl_program program = program_of(tiny);
    clfavor_cache_store(context, &identity, program);
    clReleaseProgram(program);
    ck_assert_uint_eq(entries(NULL), 0);
    clfavor_context_destroy(context);
}
END_TEST

/* Writers, readers and the bound at once: a reader has a whole entry or none. */
enum { THREADS = 8, ROUNDS = 40 };
typedef struct crowd {
    clfavor_context *context;
    cl_program program;
    clfavor_cache_identity identities[3];
} crowd;

static int use(void *argument) {
    crowd *c = argument;
    int failures = 0;
    for (int i = 0; i < ROUNDS; ++i) {
        const clfavor_cache_identity *identity = &c->identities[i % 3];
        clfavor_cache_store(c->context, identity, c->program);
        cl_program program = clfavor_cache_load(c->context, identity, "");
        cl_int code = CL_SUCCESS;
        cl_kernel kernel = program ? clCreateKernel(program, "f", &code) : NULL;
        failures += code != CL_SUCCESS;
        if (kernel)
            clReleaseKernel(kernel);
        if (program)
            clReleaseProgram(program);
    }
    return failures;
}

START_TEST(many_at_once) {
    crowd c = {.context = open_cache(folder, 0), .program = program_of(tiny)};
    for (int i = 0; i < 3; ++i) {
        char options[8];
        snprintf(options, sizeof options, "-DN=%d", i);
        clfavor_cache_identify(c.context, tiny, strlen(tiny), options, &c.identities[i]);
    }
    clfavor_cache_store(c.context, &c.identities[0], c.program);
    char path[400];
    struct stat facts;
    snprintf(path, sizeof path, "%s/%s.clbin", folder, c.identities[0].name);
    ck_assert_int_eq(stat(path, &facts), 0);
    c.context->cache_limit = (uint64_t)facts.st_size * 2;
    c.context->log = NULL;
    thrd_t threads[THREADS];
    for (int i = 0; i < THREADS; ++i)
        ck_assert_int_eq(thrd_create(&threads[i], use, &c), thrd_success);
    for (int i = 0; i < THREADS; ++i) {
        int failures;
        thrd_join(threads[i], &failures);
        ck_assert_int_eq(failures, 0);
    }
    ck_assert_uint_le(entries(NULL), 3);
    clReleaseProgram(c.program);
    for (int i = 0; i < 3; ++i)
        free(c.identities[i].text);
    clfavor_context_destroy(c.context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("cache");
    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, another_process_loads);
    tcase_add_test(tcase, damaged_entries);
    tcase_add_test(tcase, foreign_entries);
    tcase_add_test(tcase, driver_refuses);
    tcase_add_test(tcase, the_bound_is_kept);
    tcase_add_test(tcase, leftovers_go);
    tcase_add_loop_test(tcase, folders_that_can_not_be_written, 0, 2);
    tcase_add_test(tcase, folders_are_made);
    tcase_add_loop_test(tcase, off, 0, 3);
    tcase_add_test(tcase, many_at_once);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
