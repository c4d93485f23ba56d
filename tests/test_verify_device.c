/* Which runtimes the harness's workers must take turns on. */
#include "support.h"

#include "../verify/device.h" /* src has one, too */

static const struct {
    const char *version;
    bool turns;
} platforms[] = {
    {"OpenCL 3.0 PoCL 3.1+debian  Linux, None+Asserts, RELOC, SPIR, LLVM 14.0.6", true},
    {"OpenCL 1.2 pocl 1.8  Linux", true},
    {"OpenCL 3.0 PoCL 5.0+debian  Linux", true},
    {"OpenCL 3.0 PoCL 6.0  Linux", false},
    {"OpenCL 3.0 PoCL 10.1  Linux", false},
    {"OpenCL 3.0 LINUX", false},
    {"OpenCL 3.0 CUDA 12.2.148", false},
    {"", false},
};

START_TEST(old_pocl_takes_turns) {
    ck_assert_int_eq(verify_needs_turns(platforms[_i].version), platforms[_i].turns);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_device");
    TCase *tcase = tcase_create("verify_device");
    tcase_add_loop_test(tcase, old_pocl_takes_turns, 0, sizeof platforms / sizeof *platforms);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
