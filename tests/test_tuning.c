/* Rows of the tuning database: every one gives right results, bad ones are refused, the closest one counts, and devices
 * that are too small fall back. On a CPU each size of tiles takes seconds to compile, so the tests share maps and
 * shapes.
 */
#include "support_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "tuning.h"

static test_device device;

static void setup(void) {
    test_open(&device);
}

static void teardown(void) {
    test_close(&device);
}

/* A context with these rows of the caller. */
static clfavor_context *context_of(clfavor_device_class device_class, const clfavor_tuning *rows, size_t count) {
    clfavor_context *context;
    clfavor_context_desc desc = test_context_desc(&device, device_class);
    desc.tuning = rows;
    desc.tuning_count = count;
    clfavor_status status = clfavor_context_create(&context, &desc);
    ck_assert_msg(!status, "%s; log: %s", clfavor_status_name(status), device.log);
    return context;
}

static clfavor_context_info info_of(const clfavor_context *context) {
    clfavor_context_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_context_get_info(context, &info), CLFAVOR_SUCCESS);
    return info;
}

static clfavor_tuning tiles(uint32_t group, uint32_t rows, uint32_t features, uint32_t columns, uint32_t step) {
    return (clfavor_tuning){.struct_size = sizeof(clfavor_tuning),
                            .device_class = CLFAVOR_CLASS_GPU,
                            .group = group,
                            .rows = rows,
                            .features = features,
                            .columns = columns,
                            .step = step};
}

/* The same row as one that counts before all others, with the device's own names in it. */
static clfavor_tuning naming_device(const clfavor_context *context, clfavor_tuning row) {
    row.vendor = context->vendor;
    row.architecture = context->architecture;
    row.device = context->name;
    row.device_class = row.device_class ? row.device_class : CLFAVOR_CLASS_GPU;
    return row;
}

/* --------------------------------------------------------------------------------------------------------- results */

/* d and dv that no tile divides, several tiles of features and chunks of tokens, and, for tiles of at most 128 rows,
 * more rows than one tile. */
static test_case case_of(clfavor_map map, uint32_t causal) {
    return (test_case){.map = map,
                       .m = 150,
                       .d = 20,
                       .dv = 37,
                       .heads = 2,
                       .heads_kv = 1,
                       .n = 203,
                       .causal = causal,
                       .seed = 11,
                       .sigma = 0.5};
}

/* eps (16 + 2 sqrt(d) a), a = |w||x| + |x|^2/2, as tests/test_attention.c derives it: with d = 20, sigma = 0.5 and
 * scale 1/sqrt(d), |x|^2 = 1.1, |w||x| = 4.7 and a tail of twice that make it 1e-5. */
#define TOLERANCE 1e-5

static void expect_right(clfavor_context *context, test_case c, clfavor_backend backend, const char *row) {
    static const char *const names[] = {"auto", "fused", "staged", "clblast"};
    test_inputs inputs = test_inputs_create(&c);
    test_outputs outputs = test_run(&device, context, &c, &inputs);
    test_reference reference = test_run_reference(&c, &inputs);
    size_t skipped;
    double error = test_case_error(&c, &outputs, &reference, &skipped);
    ck_assert_msg(error <= TOLERANCE, "%s: %s: error %.3g exceeds %.3g", row, test_case_name(&c, context->device_class),
                  error, TOLERANCE);
    ck_assert_msg(outputs.info.backend == backend, "%s: %s instead of %s", row, names[outputs.info.backend],
                  names[backend]);
    test_outputs_free(&outputs);
    test_reference_free(&reference);
    test_inputs_free(&inputs);
}

static void expect_row_right(const clfavor_tuning *row, clfavor_map map) {
    clfavor_context *plain = context_of(row->device_class, NULL, 0);
    clfavor_tuning own = naming_device(plain, *row);
    clfavor_context *context = context_of(row->device_class, &own, 1);
    clfavor_context_info info = info_of(context);
    char name[128];
    snprintf(name, sizeof name, "group %u, rows %u, features %u, columns %u, step %u, chunk %u", own.group, own.rows,
             own.features, own.columns, own.step, own.chunk);
    if (row->device_class == CLFAVOR_CLASS_GPU && info.backend == CLFAVOR_BACKEND_FUSED) {
        ck_assert_uint_eq(info.fused.group, context->tuning.group); /* no smaller one */
        ck_assert_uint_eq(info.fused.rows, context->tuning.rows);
    }
    for (uint32_t causal = 0; causal < 2; ++causal)
        expect_right(context, case_of(map, causal), info.backend, name);
    clfavor_context_destroy(context);
    clfavor_context_destroy(plain);
}

START_TEST(shipped_rows_are_right) {
    for (size_t i = 0; i < clfavor_tuning_row_count; ++i) {
        clfavor_tuning row = clfavor_tuning_rows[i];
        ck_assert_msg(!clfavor_tuning_problem(&row) || !row.group, "row %zu: %s", i, clfavor_tuning_problem(&row));
        expect_row_right(&row, CLFAVOR_MAP_POSITIVE);
    }
    expect_row_right(&clfavor_tuning_small, CLFAVOR_MAP_POSITIVE);
}
END_TEST

/* Work-groups from four work-items (no rule lets fewer do), and tiles whose sides differ in every way. */
START_TEST(other_tiles_are_right) {
    const struct {
        clfavor_tuning row;
        clfavor_map map;
    } cases[] = {{tiles(4, 8, 8, 8, 4), CLFAVOR_MAP_POSITIVE},
                 {tiles(32, 16, 32, 16, 8), CLFAVOR_MAP_TRIG},
                 {tiles(64, 32, 64, 16, 4), CLFAVOR_MAP_RELU},
                 {tiles(128, 64, 32, 64, 16), CLFAVOR_MAP_HYPERBOLIC}};
    expect_row_right(&cases[_i].row, cases[_i].map);
}
END_TEST

/* The staged kernels take groups of any size, one work-item too. */
START_TEST(staged_groups_are_right) {
    static const uint32_t groups[] = {1, 32, 64, 128, 256};
    const clfavor_tuning row = {.struct_size = sizeof row,
                                .device_class = CLFAVOR_CLASS_GPU,
                                .backend = CLFAVOR_BACKEND_STAGED,
                                .group = groups[_i]};
    expect_row_right(&row, CLFAVOR_MAP_POSITIVE);
}
END_TEST

/* The cpu class takes a row's chunks and pieces where the plan asks for none, and no row is its default. */
START_TEST(cpu_rows_are_taken) {
    clfavor_context *plain = context_of(CLFAVOR_CLASS_CPU, NULL, 0);
    clfavor_context_info before = info_of(plain);
    ck_assert_uint_eq(before.tuning.chunk + before.tuning.causal_chunk + before.tuning.pieces, 0);
    ck_assert_int_eq(before.tuning.device_class, CLFAVOR_CLASS_CPU);
    ck_assert_int_eq(before.backend, CLFAVOR_BACKEND_AUTO);
    ck_assert_ptr_nonnull(strstr(before.tuning_reason, "no row"));
    uint32_t panel = plain->token_panel;
    clfavor_tuning row = {.struct_size = sizeof row,
                          .device_class = CLFAVOR_CLASS_CPU,
                          .chunk = 2 * panel,
                          .causal_chunk = 3 * panel,
                          .pieces = 2};
    clfavor_context *context = context_of(CLFAVOR_CLASS_CPU, &row, 1);
    for (uint32_t causal = 0; causal < 2; ++causal) {
        test_case c = case_of(CLFAVOR_MAP_POSITIVE, causal);
        test_inputs inputs = test_inputs_create(&c);
        test_outputs outputs = test_run(&device, context, &c, &inputs);
        ck_assert_uint_eq(outputs.info.chunk, causal ? 3 * panel : 2 * panel);
        ck_assert_uint_eq(outputs.info.pieces, 2);
        test_outputs_free(&outputs);
        test_inputs_free(&inputs);
        expect_right(context, c, CLFAVOR_BACKEND_AUTO, "cpu row");
    }
    test_case c = case_of(CLFAVOR_MAP_POSITIVE, 0); /* what a plan asks for comes first */
    c.chunk = 4 * panel;
    c.pieces = 1;
    test_inputs inputs = test_inputs_create(&c);
    test_outputs outputs = test_run(&device, context, &c, &inputs);
    ck_assert_uint_eq(outputs.info.chunk, 4 * panel);
    ck_assert_uint_eq(outputs.info.pieces, 1);
    test_outputs_free(&outputs);
    test_inputs_free(&inputs);
    clfavor_context_destroy(context);
    row.device_class = CLFAVOR_CLASS_GPU; /* of the other class: not taken */
    context = context_of(CLFAVOR_CLASS_CPU, &row, 1);
    ck_assert_uint_eq(info_of(context).tuning.pieces, 0);
    clfavor_context_destroy(context);
    clfavor_context_destroy(plain);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- choice */

/* The chunk tells which row was taken. */
static uint32_t chunk_with(const clfavor_tuning *rows, size_t count) {
    clfavor_context *context = context_of(CLFAVOR_CLASS_GPU, rows, count);
    uint32_t chunk = info_of(context).tuning.chunk;
    clfavor_context_destroy(context);
    return chunk;
}

START_TEST(closest_row_counts) {
    clfavor_context *plain = context_of(CLFAVOR_CLASS_GPU, NULL, 0);
    char vendor[64];
    for (size_t i = 0; i < sizeof vendor; ++i) /* a part of it, whatever the case */
        vendor[i] =
            (char)(plain->vendor[i] >= 'a' && plain->vendor[i] <= 'z' ? plain->vendor[i] - 32 : plain->vendor[i]);
    vendor[4] = '\0';
    clfavor_tuning row = tiles(64, 32, 32, 32, 8), other = row, rows[6];
    enum { ANY, VENDOR, ARCHITECTURE, DEVICE };
    for (uint32_t i = 0; i < 4; ++i) {
        rows[i] = row;
        rows[i].chunk = 32 * (i + 1);
    }
    rows[VENDOR].vendor = vendor;
    rows[ARCHITECTURE].architecture = plain->architecture;
    rows[DEVICE].device = plain->name;
    const clfavor_tuning reversed[] = {rows[DEVICE], rows[ARCHITECTURE], rows[VENDOR], rows[ANY]};
    ck_assert_uint_eq(chunk_with(rows, 4), 32 * (DEVICE + 1)); /* whatever the order */
    ck_assert_uint_eq(chunk_with(reversed, 4), 32 * (DEVICE + 1));
    if (plain->architecture[0]) {
        ck_assert_uint_eq(chunk_with(rows, 3), 32 * (ARCHITECTURE + 1));
        ck_assert_uint_eq(chunk_with(reversed + 1, 3), 32 * (ARCHITECTURE + 1)); /* before the library's of the same */
    }
    if (!plain->architecture[0]) { /* for a CPU the library has a row that names the architecture */
        ck_assert_uint_eq(chunk_with(rows, 2), 32 * (VENDOR + 1));
        ck_assert_uint_eq(chunk_with(rows, 1), 32 * (ANY + 1));
    }
    /* of the caller's own the last one of the same closeness */
    rows[4] = rows[DEVICE];
    rows[4].chunk = 4096;
    ck_assert_uint_eq(chunk_with(rows, 5), 4096);
    /* rows of others are none */
    uint32_t library = plain->tuning.chunk;
    other.chunk = 2048;
    other.device = "another device";
    ck_assert_uint_eq(chunk_with(&other, 1), library);
    other = row;
    other.chunk = 2048;
    other.architecture = "sm_00";
    ck_assert_uint_eq(chunk_with(&other, 1), library);
    other.architecture = plain->architecture;
    other.vendor = "no vendor";
    ck_assert_uint_eq(chunk_with(&other, 1), library);
    other.vendor = NULL;
    other.device_class = CLFAVOR_CLASS_CPU;
    ck_assert_uint_eq(chunk_with(&other, 1), library);
    clfavor_context_destroy(plain);
}
END_TEST

/* The order in full, on a context whose names are made up: device, architecture, vendor, default. */
START_TEST(order_of_closeness) {
    clfavor_context *context = context_of(CLFAVOR_CLASS_GPU, NULL, 0);
    snprintf(context->vendor, sizeof context->vendor, "Acme Corporation");
    snprintf(context->name, sizeof context->name, "Acme 3000");
    snprintf(context->architecture, sizeof context->architecture, "am_30");
    clfavor_tuning rows[4];
    for (uint32_t i = 0; i < 4; ++i) {
        rows[i] = tiles(64, 32, 32, 32, 8);
        rows[i].chunk = 32 * (i + 1);
    }
    rows[1].vendor = "acme";
    rows[2].architecture = "am_30";
    rows[3].device = "Acme 3000";
    static const char *const reasons[] = {"any device", "the vendor acme", "the architecture am_30", "this device"};
    for (size_t count = 4; count > 0; --count) {
        ck_assert_int_eq(clfavor_tuning_choose(context, rows, count), CLFAVOR_SUCCESS);
        ck_assert_uint_eq(context->tuning.chunk, 32 * (uint32_t)count);
        ck_assert_msg(strstr(context->tuning_reason, reasons[count - 1]) && strstr(context->tuning_reason, "caller"),
                      "%s", context->tuning_reason);
    }
    ck_assert_int_eq(clfavor_tuning_choose(context, NULL, 0), CLFAVOR_SUCCESS);
    const clfavor_tuning *last = &clfavor_tuning_rows[clfavor_tuning_row_count - 1];
    ck_assert_msg(strcmp(context->tuning_reason, "the library's row for any device") == 0, "%s",
                  context->tuning_reason);
    ck_assert_uint_eq(context->tuning.group, last->group);
    ck_assert_uint_eq(context->tuning.chunk, last->chunk);
    ck_assert(!last->vendor && !last->architecture && !last->device);
    clfavor_context_destroy(context);
}
END_TEST

START_TEST(rows_are_copied_and_filled_in) {
    clfavor_tuning row = {.struct_size = sizeof row, .chunk = 64};
    char name[256];
    clfavor_context *plain = context_of(CLFAVOR_CLASS_GPU, NULL, 0);
    snprintf(name, sizeof name, "%s", plain->name);
    row.device = name;
    clfavor_context *context = context_of(CLFAVOR_CLASS_GPU, &row, 1);
    memset(name, 'x', sizeof name - 1);
    clfavor_context_info info = info_of(context);
    const clfavor_tuning *defaults = &clfavor_tuning_rows[clfavor_tuning_row_count - 1];
    ck_assert_str_eq(info.tuning.device, plain->name);
    ck_assert_uint_eq(info.tuning.group, defaults->group);
    ck_assert_uint_eq(info.tuning.step, defaults->step);
    ck_assert_uint_eq(info.tuning.chunk, 64);
    ck_assert_int_eq(info.tuning.backend, CLFAVOR_BACKEND_FUSED);
    clfavor_context_destroy(context);
    clfavor_context_destroy(plain);
}
END_TEST

START_TEST(bad_rows_are_refused) {
    const clfavor_tuning good = tiles(64, 32, 32, 32, 8);
    const struct {
        clfavor_tuning row;
        const char *text;
    } bad[] = {{tiles(48, 32, 32, 32, 8), "group must be a power of two"},
               {tiles(2048, 256, 256, 256, 8), "group must be a power of two"},
               {tiles(64, 33, 32, 32, 8), "powers of two"},
               {tiles(64, 32, 512, 32, 8), "powers of two"},
               {tiles(64, 32, 32, 2, 8), "powers of two"},
               {tiles(64, 32, 32, 32, 3), "step must be"},
               {tiles(64, 32, 32, 32, 32), "half of rows and of features"},
               {tiles(256, 16, 16, 16, 8), "4 to 64 elements"},
               {tiles(1, 32, 32, 32, 8), "4 to 64 elements"},
               {tiles(1, 8, 8, 8, 4), "a work-item for every 4 columns"}};
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO); /* whichever class it is for */
    clfavor_context *context;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        const clfavor_tuning rows[] = {good, bad[i].row};
        desc.tuning = rows;
        desc.tuning_count = 2;
        test_log_clear(&device);
        test_refused(&device, clfavor_context_create(&context, &desc), CLFAVOR_INVALID_ARGUMENT, bad[i].text);
        ck_assert_ptr_null(context);
    }
    clfavor_tuning row = good;
    desc.tuning = &row;
    desc.tuning_count = 1;
    row.backend = (clfavor_backend)7;
    test_refused(&device, clfavor_context_create(&context, &desc), CLFAVOR_INVALID_ARGUMENT, "out of range");
    row.backend = CLFAVOR_BACKEND_AUTO;
    row.device_class = (clfavor_device_class)9;
    test_refused(&device, clfavor_context_create(&context, &desc), CLFAVOR_INVALID_ARGUMENT, "out of range");
    row.device_class = CLFAVOR_CLASS_CPU;
    row.backend = CLFAVOR_BACKEND_STAGED;
    test_refused(&device, clfavor_context_create(&context, &desc), CLFAVOR_INVALID_ARGUMENT, "has no backend");
    row.backend = CLFAVOR_BACKEND_AUTO;
    row.group = 3; /* which a row of the cpu class has no use for */
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_SUCCESS);
    clfavor_context_destroy(context);
    row.struct_size = 0;
    test_log_clear(&device);
    test_refused(&device, clfavor_context_create(&context, &desc), CLFAVOR_INVALID_ARGUMENT, "struct_size");
}
END_TEST

/* --------------------------------------------------------------------------------------------------- small devices */

/* Too small for the row: the small one. Too small for that: staged. What was asked for is refused. */
START_TEST(small_devices_fall_back) {
    clfavor_context *plain = context_of(CLFAVOR_CLASS_GPU, NULL, 0);
    clfavor_tuning row = naming_device(plain, tiles(256, 64, 64, 64, 16));
    clfavor_context *context = context_of(CLFAVOR_CLASS_GPU, &row, 1);
    uint64_t local = context->local_memory, group = context->max_work_group;
    size_t needed = clfavor_tuning_local_bytes(&row), less = clfavor_tuning_local_bytes(&clfavor_tuning_small);
    ck_assert_uint_lt(less, needed);

    context->local_memory = needed - 1;
    clfavor_context_info info = info_of(context);
    ck_assert_int_eq(info.backend, CLFAVOR_BACKEND_FUSED);
    ck_assert_uint_eq(info.fused.group, clfavor_tuning_small.group);
    ck_assert_uint_eq(info.fused_local_memory, less);
    ck_assert_msg(strstr(info.backend_reason, "small tiles"), "%s", info.backend_reason);
    expect_right(context, case_of(CLFAVOR_MAP_POSITIVE, 1), CLFAVOR_BACKEND_FUSED, "small tiles");

    context->local_memory = less - 1;
    info = info_of(context);
    ck_assert_int_eq(info.backend, CLFAVOR_BACKEND_STAGED);
    ck_assert_msg(strstr(info.backend_reason, "local memory"), "%s", info.backend_reason);
    expect_right(context, case_of(CLFAVOR_MAP_POSITIVE, 1), CLFAVOR_BACKEND_STAGED, "no local memory");
    context->local_memory = local;
    context->max_work_group = clfavor_tuning_small.group / 2;
    ck_assert_int_eq(info_of(context).backend, CLFAVOR_BACKEND_STAGED);
    clfavor_plan *plan;
    const clfavor_plan_desc desc = {
        .struct_size = sizeof desc, .features = 8, .dim = 8, .backend = CLFAVOR_BACKEND_FUSED};
    test_log_clear(&device);
    test_refused(&device, clfavor_plan_create(&plan, context, &desc), CLFAVOR_UNSUPPORTED, "work-groups of 64");
    context->max_work_group = group;
    ck_assert_int_eq(info_of(context).backend, CLFAVOR_BACKEND_FUSED);
    clfavor_context_destroy(context);

    row.backend = CLFAVOR_BACKEND_STAGED; /* a row can say so */
    context = context_of(CLFAVOR_CLASS_GPU, &row, 1);
    ck_assert_int_eq(info_of(context).backend, CLFAVOR_BACKEND_STAGED);
    expect_right(context, case_of(CLFAVOR_MAP_POSITIVE, 1), CLFAVOR_BACKEND_STAGED, "staged by the row");
    clfavor_context_destroy(context);
    clfavor_context_destroy(plain);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tuning");
    TCase *tests = tcase_create("tuning");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, bad_rows_are_refused);
    tcase_add_test(tests, closest_row_counts);
    tcase_add_test(tests, order_of_closeness);
    tcase_add_test(tests, rows_are_copied_and_filled_in);
    tcase_add_test(tests, cpu_rows_are_taken);
    tcase_add_test(tests, shipped_rows_are_right);
    tcase_add_loop_test(tests, other_tiles_are_right, 0, 4);
    tcase_add_loop_test(tests, staged_groups_are_right, 0, 5);
    tcase_add_test(tests, small_devices_fall_back);
    suite_add_tcase(suite, tests);
    return test_main(suite);
}
