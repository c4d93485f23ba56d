/* Plans: what is refused, what is filled in, what is built. */
#include "support.h"

#include <string.h>

static test_device device;
static clfavor_context *contexts[2];
static clfavor_context *context; /* of the class that a loop test runs for */

static void setup(void) {
    test_open(&device);
    contexts[0] = test_context(&device, CLFAVOR_CLASS_CPU);
    contexts[1] = test_context(&device, CLFAVOR_CLASS_GPU);
}
static void teardown(void) {
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
    test_close(&device);
}
static void clear_log(void) {
    test_log_clear(&device);
}

static clfavor_plan_desc good(void) {
    return (clfavor_plan_desc){.struct_size = sizeof(clfavor_plan_desc), .features = 20, .dim = 12};
}

static clfavor_plan_info create(const clfavor_plan_desc *desc) {
    clfavor_plan *plan;
    clfavor_status status = clfavor_plan_create(&plan, context, desc);
    ck_assert_msg(!status, "%s; log: %s", clfavor_status_name(status), device.log);
    clfavor_plan_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_SUCCESS);
    clfavor_plan_destroy(plan);
    return info;
}

static void refused(const clfavor_plan_desc *desc, clfavor_status status, const char *text) {
    clfavor_plan *plan = (clfavor_plan *)&device;
    test_refused(&device, clfavor_plan_create(&plan, context, desc), status, text);
    ck_assert_ptr_null(plan);
}

/* One or two fields that differ from good(). */
typedef struct bad_desc {
    clfavor_plan_desc desc;
    clfavor_status status;
    const char *text;
} bad_desc;

static const bad_desc bad[] = {
    {{.features = 20, .dim = 12, .operation = (clfavor_operation)4}, CLFAVOR_INVALID_ARGUMENT, "operation (4)"},
    {{.features = 20, .dim = 12, .operation = (clfavor_operation)-1}, CLFAVOR_INVALID_ARGUMENT, "operation (-1)"},
    {{.features = 20, .dim = 12, .map = (clfavor_map)8}, CLFAVOR_INVALID_ARGUMENT, "map (8)"},
    {{.features = 20, .dim = 12, .map = (clfavor_map)-1}, CLFAVOR_INVALID_ARGUMENT, "map (-1)"},
    {{.features = 20, .dim = 12, .causal = 2}, CLFAVOR_INVALID_ARGUMENT, "causal (2)"},
    {{.features = 20, .dim = 12, .dtype = (clfavor_dtype)3}, CLFAVOR_INVALID_ARGUMENT, "dtype (3)"},
    {{.features = 20, .dim = 12, .dtype = CLFAVOR_F16}, CLFAVOR_UNSUPPORTED, "only float32"},
    {{.features = 20, .dim = 12, .dtype = CLFAVOR_BF16}, CLFAVOR_UNSUPPORTED, "only float32"},
    {{.features = 20, .dim = 0}, CLFAVOR_INVALID_SHAPE, "d must be 1 to 256, not 0"},
    {{.features = 20, .dim = 257}, CLFAVOR_INVALID_SHAPE, "d must be 1 to 256, not 257"},
    {{.features = 20, .dim = UINT32_MAX}, CLFAVOR_INVALID_SHAPE, "not 4294967295"},
    {{.features = 20, .dim = 12, .value_dim = 257}, CLFAVOR_INVALID_SHAPE, "dv must be 1 to 256, not 257"},
    {{.features = 0, .dim = 12}, CLFAVOR_INVALID_SHAPE, "m must be 1 to 65536, not 0"},
    {{.features = 65537, .dim = 12}, CLFAVOR_INVALID_SHAPE, "m must be 1 to 65536, not 65537"},
    {{.features = UINT32_MAX, .dim = 12}, CLFAVOR_INVALID_SHAPE, "m must be 1 to 65536"},
    {{.features = 20, .dim = 12, .map = CLFAVOR_MAP_ELU}, CLFAVOR_INVALID_SHAPE, "elu has d features"},
    {{.features = 20, .dim = 12, .operation = CLFAVOR_OP_FEATURES_QUERY, .causal = 1},
     CLFAVOR_INVALID_ARGUMENT,
     "not causal"},
    {{.features = 20, .dim = 12, .operation = CLFAVOR_OP_FEATURES_KEY, .causal = 1},
     CLFAVOR_INVALID_ARGUMENT,
     "not causal"},
    {{.features = 20, .dim = 12, .max_batch = UINT64_C(1) << 32}, CLFAVOR_INVALID_SHAPE, "max_batch"},
    {{.features = 20, .dim = 12, .max_heads = UINT64_C(1) << 32}, CLFAVOR_INVALID_SHAPE, "max_heads"},
    {{.features = 20, .dim = 12, .max_n = (UINT64_C(1) << 40) + 1}, CLFAVOR_INVALID_SHAPE, "max_n"},
    {{.features = 20, .dim = 12, .workspace_limit = 1}, CLFAVOR_WORKSPACE, "the limit is"},
    {{.features = 20, .dim = 12, .workspace_limit = 1, .causal = 1}, CLFAVOR_WORKSPACE, "the limit is"},
    {{.features = 20, .dim = 12, .workspace_limit = 1, .operation = CLFAVOR_OP_FEATURES_KEY},
     CLFAVOR_WORKSPACE,
     "the limit is"},
    {{.features = 65536, .dim = 256, .workspace_limit = 1 << 20}, CLFAVOR_WORKSPACE, "the limit is"},
};

START_TEST(bad_descriptions) {
    for (int i = 0; i < 2; ++i) {
        context = contexts[i];
        bad_desc c = bad[_i];
        c.desc.struct_size = sizeof c.desc;
        refused(&c.desc, c.status, c.text);
    }
}
END_TEST

START_TEST(null_and_wrong_sizes) {
    context = contexts[0];
    clfavor_plan_desc desc = good();
    clfavor_plan *plan = (clfavor_plan *)&device;
    ck_assert_int_eq(clfavor_plan_create(NULL, context, &desc), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_plan_create(&plan, NULL, &desc), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_ptr_null(plan);
    refused(NULL, CLFAVOR_INVALID_ARGUMENT, "the plan's description: NULL");
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1};
    for (size_t i = 0; i < 3; ++i) {
        desc.struct_size = sizes[i];
        refused(&desc, CLFAVOR_INVALID_ARGUMENT, "struct_size below 8");
    }
    desc.struct_size = offsetof(clfavor_plan_desc, dim); /* an old description without d */
    refused(&desc, CLFAVOR_INVALID_SHAPE, "d must be");
    struct {
        clfavor_plan_desc desc;
        uint64_t newer[2];
    } longer = {.desc = good()};
    longer.desc.struct_size = sizeof longer;
    create(&longer.desc);
    longer.newer[1] = UINT64_C(1) << 63;
    refused(&longer.desc, CLFAVOR_INVALID_ARGUMENT, "fields set past");
    clfavor_plan_destroy(NULL);
}
END_TEST

START_TEST(info_fills_what_the_caller_has_room_for) {
    clfavor_plan_desc desc = good();
    clfavor_plan *plan;
    ck_assert_int_eq(clfavor_plan_create(&plan, contexts[0], &desc), CLFAVOR_SUCCESS);
    clfavor_plan_info info = {.struct_size = offsetof(clfavor_plan_info, pieces), .pieces = 12345};
    ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_SUCCESS);
    ck_assert_uint_gt(info.workspace_size, 0);
    ck_assert_uint_gt(info.chunk, 0);
    ck_assert_uint_eq(info.pieces, 12345);
    info.struct_size = 0;
    ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_plan_get_info(NULL, &info), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_plan_get_info(plan, NULL), CLFAVOR_INVALID_ARGUMENT);
    clfavor_plan_destroy(plan);
}
END_TEST

START_TEST(features_of_every_map) {
    static const struct {
        clfavor_map map;
        uint32_t m, features;
    } maps[] = {{CLFAVOR_MAP_POSITIVE, 20, 20},   {CLFAVOR_MAP_HYPERBOLIC, 20, 40}, {CLFAVOR_MAP_TRIG, 20, 40},
                {CLFAVOR_MAP_TRIG_PHASE, 20, 20}, {CLFAVOR_MAP_GAUSSIAN, 20, 40},   {CLFAVOR_MAP_RELU, 20, 20},
                {CLFAVOR_MAP_ELU, 0, 12},         {CLFAVOR_MAP_ELU, 12, 12},        {CLFAVOR_MAP_EXPONENTIAL, 20, 20}};
    static const clfavor_operation operations[] = {CLFAVOR_OP_ATTENTION, CLFAVOR_OP_FEATURES_QUERY,
                                                   CLFAVOR_OP_FEATURES_KEY};
    context = contexts[_i];
    for (size_t i = 0; i < sizeof maps / sizeof *maps; ++i)
        for (size_t operation = 0; operation < 3; ++operation) {
            clfavor_plan_desc desc = good();
            desc.operation = operations[operation];
            desc.map = maps[i].map;
            desc.features = maps[i].m;
            clfavor_plan_info info = create(&desc);
            ck_assert_uint_eq(info.struct_size, sizeof info);
            ck_assert_uint_eq(info.features, maps[i].features);
            ck_assert_uint_ge(info.chunk, 1);
            ck_assert_uint_ge(info.pieces, 1);
        }
}
END_TEST

/* What a plan is for does not change what is compiled: a second one of the same class builds nothing. */
START_TEST(a_second_plan_builds_nothing) {
    static const clfavor_plan_desc descs[] = {
        {.features = 33, .dim = 9, .value_dim = 11},
        {.features = 33, .dim = 9, .value_dim = 11, .causal = 1},
        {.dim = 9, .value_dim = 11, .operation = CLFAVOR_OP_EXACT},
        {.dim = 9, .value_dim = 11, .operation = CLFAVOR_OP_EXACT, .causal = 1},
        {.features = 33, .dim = 9, .operation = CLFAVOR_OP_FEATURES_QUERY},
        {.features = 33, .dim = 9, .operation = CLFAVOR_OP_FEATURES_KEY},
    };
    context = contexts[_i];
    clfavor_context_info before = {.struct_size = sizeof before}, after = before, last = before;
    for (size_t i = 0; i < sizeof descs / sizeof *descs; ++i) {
        clfavor_plan_desc desc = descs[i];
        desc.struct_size = sizeof desc;
        desc.max_n = 1000;
        ck_assert_int_eq(clfavor_context_get_info(context, &before), CLFAVOR_SUCCESS);
        clfavor_plan_info first = create(&desc);
        ck_assert_int_eq(clfavor_context_get_info(context, &after), CLFAVOR_SUCCESS);
        ck_assert_uint_eq(after.programs, before.programs + first.programs_built);
        /* sums of the same times in another order: some roundings apart */
        ck_assert_double_le(after.build_seconds - before.build_seconds - first.build_seconds,
                            8 * 0x1p-52 * after.build_seconds);
        ck_assert(first.programs_built > 0 ? first.build_seconds > 0 : first.build_seconds == 0);

        clfavor_plan_info second = create(&desc);
        ck_assert_uint_eq(second.programs_built, 0);
        ck_assert_double_eq(second.build_seconds, 0);
        ck_assert_uint_eq(second.workspace_size, first.workspace_size);
        desc.max_n = 70; /* other sizes of the same kind of work */
        desc.max_batch = 3;
        desc.max_heads = 6;
        ck_assert_uint_eq(create(&desc).programs_built, 0);
        ck_assert_int_eq(clfavor_context_get_info(context, &last), CLFAVOR_SUCCESS);
        ck_assert_uint_eq(last.programs, after.programs);
        ck_assert_double_eq(last.build_seconds, after.build_seconds);
    }
    ck_assert_uint_gt(last.programs, 0);
}
END_TEST

/* What is asked for is what one gets, or why not. AUTO takes what the tuning row says, or what there is. */
START_TEST(backends) {
    context = contexts[1];
    clfavor_plan_desc desc = good();
    desc.backend = CLFAVOR_BACKEND_STAGED;
    ck_assert_int_eq(create(&desc).backend, CLFAVOR_BACKEND_STAGED);
    desc.backend = CLFAVOR_BACKEND_FUSED;
    ck_assert_int_eq(create(&desc).backend, CLFAVOR_BACKEND_FUSED);
    desc.backend = CLFAVOR_BACKEND_CLBLAST;
    clfavor_plan *plan;
    clfavor_status status = clfavor_plan_create(&plan, context, &desc);
    bool has_clblast = status == CLFAVOR_SUCCESS;
    clfavor_plan_destroy(plan);
    if (has_clblast)
        ck_assert_int_eq(create(&desc).backend, CLFAVOR_BACKEND_CLBLAST);
    else
        test_refused(&device, status, CLFAVOR_UNSUPPORTED, "the library was built without CLBlast");
    clear_log();

    clfavor_context_desc context_desc = test_context_desc(&device, CLFAVOR_CLASS_GPU);
    clfavor_tuning row = {.struct_size = sizeof row, .device = device.name, .backend = CLFAVOR_BACKEND_CLBLAST};
    context_desc.tuning = &row;
    context_desc.tuning_count = 1;
    ck_assert_int_eq(clfavor_context_create(&context, &context_desc), CLFAVOR_SUCCESS);
    desc.backend = CLFAVOR_BACKEND_AUTO;
    clfavor_backend chosen = create(&desc).backend;
    ck_assert_int_eq(chosen, has_clblast ? CLFAVOR_BACKEND_CLBLAST : CLFAVOR_BACKEND_FUSED);
    ck_assert(test_logged(&device, "info the library was built without CLBlast") == !has_clblast);
    clfavor_context_destroy(context);

    context = contexts[0];
    clear_log();
    desc.backend = CLFAVOR_BACKEND_CLBLAST;
    refused(&desc, CLFAVOR_UNSUPPORTED, "on the gpu class");
}
END_TEST

START_TEST(the_workspace_does_not_grow_with_n_and_keeps_to_the_limit) {
    context = contexts[_i];
    for (uint32_t causal = 0; causal < 2; ++causal) {
        clfavor_plan_desc desc = good();
        desc.causal = causal;
        desc.features = 300;
        desc.max_batch = 4;
        desc.max_heads = 16;
        desc.max_n = UINT64_C(1) << 24;
        size_t wanted = create(&desc).workspace_size;
        ck_assert_uint_le(wanted, (size_t)64 << 20);
        desc.max_n = UINT64_C(1) << 40;
        ck_assert_uint_eq(create(&desc).workspace_size, wanted);
        desc.workspace_limit = (size_t)256 << 10;
        size_t limited = create(&desc).workspace_size;
        ck_assert_uint_gt(limited, 0);
        ck_assert_uint_le(limited, desc.workspace_limit);
    }
}
END_TEST

static uint32_t tile_rows(void) {
    clfavor_context_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_context_get_info(context, &info), CLFAVOR_SUCCESS);
    return info.tuning.rows;
}

START_TEST(chunk_and_pieces_are_used_as_told) {
    context = contexts[_i];
    for (uint32_t causal = 0; causal < 2; ++causal)
        for (uint32_t chunk = 1; chunk <= 100; chunk += 33) {
            clfavor_plan_desc desc = good();
            desc.causal = causal;
            desc.chunk = chunk;
            desc.pieces = 1;
            desc.max_n = 5000;
            clfavor_plan_info info = create(&desc);
            if (causal && info.backend == CLFAVOR_BACKEND_FUSED)
                ck_assert_uint_eq(info.chunk, tile_rows()); /* has one size */
            else
                ck_assert_uint_ge(info.chunk, chunk); /* rounded up to what the kernels need */
            ck_assert_uint_eq(info.pieces, 1);
            desc.chunk = info.chunk;
            ck_assert_uint_eq(create(&desc).chunk, info.chunk);
            desc.max_n = 33; /* no more key ranges than chunks, so that a huge number needs no huge workspace */
            desc.pieces = UINT32_MAX;
            ck_assert_uint_le(create(&desc).pieces, 33);
        }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plan");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_checked_fixture(tcase, clear_log, NULL);
    tcase_add_loop_test(tcase, bad_descriptions, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tcase, null_and_wrong_sizes);
    tcase_add_test(tcase, info_fills_what_the_caller_has_room_for);
    tcase_add_loop_test(tcase, features_of_every_map, 0, 2);
    tcase_add_loop_test(tcase, a_second_plan_builds_nothing, 0, 2);
    tcase_add_test(tcase, backends);
    tcase_add_loop_test(tcase, the_workspace_does_not_grow_with_n_and_keeps_to_the_limit, 0, 2);
    tcase_add_loop_test(tcase, chunk_and_pieces_are_used_as_told, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
