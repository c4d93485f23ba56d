/* How far a row of attention may be from the double reference. */
#ifndef FUZZ_ATTENTION_BOUND_H
#define FUZZ_ATTENTION_BOUND_H

#include "support_exact_keys.h"

/* Fails unless every row is within its bound, finite, and has a sign. Returns how many rows cancel too far to have one.
 */
size_t fuzz_expect_close(const test_case *c, const test_general *g, const test_inputs *in, const test_outputs *out,
                         const test_reference *reference);

#endif
