/* What the tests of the rules that must hold share: one device with a context of each class, the maps, and one sequence
 * beside changed copies of itself. */
#ifndef TESTS_SUPPORT_RULES_H
#define TESTS_SUPPORT_RULES_H

#include "support_attention.h"

extern test_device rules_device;
extern clfavor_context *rules_contexts[2];
extern const clfavor_device_class rules_classes[2]; /* cpu, gpu */

#define RULES_MAPS 7
extern const clfavor_map rules_maps[RULES_MAPS];

/* Fixture: once for all tests of a case. */
void rules_set_up(void);
void rules_tear_down(void);
/* Runs a suite of one test case with that fixture; what main returns. */
int rules_main(const char *name, void (*add_tests)(TCase *tcase));

/* ck_assert_msg for inner loops, see EXPECT. */
#define RULES_EXPECT(condition, ...)                                                                                   \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    } while (0)

bool rules_signed(clfavor_map map);
bool rules_same_bits(const float *a, const float *b, size_t count);
/* Whether rows first .. end - 1 of two sequences have the same bits in O, lse and sign. Places count sequences. */
bool rules_same_rows(const test_outputs *a, uint64_t place_a, const test_outputs *b, uint64_t place_b, uint64_t n,
                     uint32_t dv, uint64_t first, uint64_t end);

/* `count` copies side by side as a batch of one sequence, for a test to change. */
typedef struct rules_copies {
    test_case c; /* batch = count, chunk and pieces as the case has them */
    test_inputs inputs;
    size_t q_size, k_size, v_size; /* floats of a sequence */
} rules_copies;
rules_copies rules_copies_create(test_case one, const test_inputs *inputs, uint64_t count);
void rules_copies_free(rules_copies *copies);

#endif
