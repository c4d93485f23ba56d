#include "support_rules.h"

#include <string.h>

test_device rules_device;
clfavor_context *rules_contexts[2];
const clfavor_device_class rules_classes[2] = {CLFAVOR_CLASS_CPU, CLFAVOR_CLASS_GPU};
const clfavor_map rules_maps[RULES_MAPS] = {CLFAVOR_MAP_POSITIVE,   CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_TRIG,
                                            CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_MAP_GAUSSIAN,   CLFAVOR_MAP_RELU,
                                            CLFAVOR_MAP_ELU};

void rules_set_up(void) {
    test_open(&rules_device);
    for (int i = 0; i < 2; ++i)
        rules_contexts[i] = test_context(&rules_device, rules_classes[i]);
}

void rules_tear_down(void) {
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(rules_contexts[i]);
    test_close(&rules_device);
}

int rules_main(const char *name, void (*add_tests)(TCase *tcase)) {
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, rules_set_up, rules_tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}

bool rules_signed(clfavor_map map) {
    return map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE || map == CLFAVOR_MAP_GAUSSIAN;
}

bool rules_same_bits(const float *a, const float *b, size_t count) {
    return memcmp(a, b, count * sizeof *a) == 0;
}

bool rules_same_rows(const test_outputs *a, uint64_t place_a, const test_outputs *b, uint64_t place_b, uint64_t n,
                     uint32_t dv, uint64_t first, uint64_t end) {
    size_t at_a = (size_t)(place_a * n + first), at_b = (size_t)(place_b * n + first), rows = (size_t)(end - first);
    return rules_same_bits(a->o + at_a * dv, b->o + at_b * dv, rows * dv) &&
           rules_same_bits(a->lse + at_a, b->lse + at_b, rows) && rules_same_bits(a->sign + at_a, b->sign + at_b, rows);
}

static float *repeat(const float *values, size_t size, uint64_t count) {
    float *all = test_alloc(size * (size_t)count, sizeof *all);
    for (uint64_t b = 0; b < count; ++b)
        memcpy(all + b * size, values, size * sizeof *all);
    return all;
}

rules_copies rules_copies_create(test_case one, const test_inputs *inputs, uint64_t count) {
    rules_copies copies = {.c = one,
                           .inputs = {.q = repeat(inputs->q, inputs->q_count, count),
                                      .k = repeat(inputs->k, inputs->k_count, count),
                                      .v = repeat(inputs->v, inputs->v_count, count),
                                      .q_count = inputs->q_count * (size_t)count,
                                      .k_count = inputs->k_count * (size_t)count,
                                      .v_count = inputs->v_count * (size_t)count},
                           .q_size = inputs->q_count,
                           .k_size = inputs->k_count,
                           .v_size = inputs->v_count};
    copies.c.batch = count;
    return copies;
}

void rules_copies_free(rules_copies *copies) {
    test_inputs_free(&copies->inputs);
}
