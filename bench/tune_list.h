/* Which variants of a tuning row are worth a look. */
#ifndef BENCH_TUNE_LIST_H
#define BENCH_TUNE_LIST_H

#include "tune.h"

#define BENCH_TUNE_MOST 96 /* variants that a list has at most */

/* Each writes rows like `from` in all but what it is about, and returns how many; none is `from` itself. Sizes that
 * break a rule of the fused kernels are among them: the library knows the rules and refuses those. dim: the largest of
 * the shapes. */
size_t bench_list_backends(const clfavor_tuning *from, clfavor_tuning *out);
size_t bench_list_tiles(const clfavor_tuning *from, uint32_t dim, bool quick, clfavor_tuning *out);
size_t bench_list_steps(const clfavor_tuning *from, clfavor_tuning *out);
/* Chunks for bidirectional and causal work side by side. panel: tokens that a chunk of the cpu class is a multiple of.
 */
size_t bench_list_chunks(const clfavor_tuning *from, uint32_t panel, bool quick, clfavor_tuning *out);
size_t bench_list_pieces(const clfavor_tuning *from, uint32_t units, clfavor_tuning *out);

bool bench_same_row(const clfavor_tuning *a, const clfavor_tuning *b);

#endif
