/* Rows of sizes that suit devices, and the choice of one. */
#ifndef CLFAVOR_TUNING_H
#define CLFAVOR_TUNING_H

#include "context.h"

#define CLFAVOR_STAGED_GROUP 64u /* work-items a work-group of kernels without barriers */

/* The rows of the library; the last one is the default, which has every size. */
extern const clfavor_tuning clfavor_tuning_rows[];
extern const size_t clfavor_tuning_row_count;

/* The row for devices and kernels that the chosen one is too large for. */
extern const clfavor_tuning clfavor_tuning_small;

/* NULL, or what is wrong with a row's sizes (defaults filled in): a rule that the fused kernels need. Rows of the cpu
 * class have no tiles. Static text. */
const char *clfavor_tuning_problem(const clfavor_tuning *row);

/* Fills context->tuning and tuning_reason from the caller's rows and the library's; context->architecture, vendor and
 * name are there already. Rows that break a rule are refused. */
clfavor_status clfavor_tuning_choose(clfavor_context *context, const clfavor_tuning *rows, size_t count);

/* What the fused kernels make of a row: bytes of local memory of the largest kernel. */
size_t clfavor_tuning_local_bytes(const clfavor_tuning *row);

/* Whether the device has the local memory and the work-groups that the fused kernels need with this row. */
bool clfavor_tuning_fits(const clfavor_context *context, const clfavor_tuning *row);

/* What the fused kernels take: the context's row, or the small one where the device is too small for that. */
const clfavor_tuning *clfavor_tuning_fused(const clfavor_context *context);

/* What AUTO takes for attention, and why, for a person. */
clfavor_backend clfavor_tuning_backend(const clfavor_context *context, char *reason, size_t size);

/* Columns of V in a tile for dv: a power of two, at most the row's, not below what its work-groups need. */
uint32_t clfavor_tuning_columns(const clfavor_tuning *row, uint32_t value_dim);

#endif
