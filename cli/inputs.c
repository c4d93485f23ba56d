#include "inputs.h"

#include <inttypes.h>

#include "message.h"

int inputs_open(npy_array *array, array_axes *axes, const char *name, const char *path) {
    char error[NPY_ERROR];
    if (!npy_open(array, path, error))
        return cli_error(CLI_USAGE, "--%s: %s", name, error);
    unsigned rank = array->rank;
    if (rank < 2 || rank > 4)
        return cli_error(CLI_USAGE, "--%s: '%s' is %s, expected [n, d], [H, n, d] or [B, H, n, d]", name, path,
                         npy_shape_text(rank, array->shape));
    uint64_t last = array->shape[rank - 1];
    if (last > CLFAVOR_MAX_DIM)
        return cli_error(CLI_USAGE, "--%s: '%s' has a last axis of %" PRIu64 ", expected 1 to %u", name, path, last,
                         CLFAVOR_MAX_DIM);
    axes->batch = rank == 4 ? array->shape[0] : 1;
    axes->heads = rank >= 3 ? array->shape[rank - 3] : 1;
    axes->n = array->shape[rank - 2];
    axes->last = (uint32_t)last;
    return CLI_OK;
}

void inputs_note(const npy_array *array, const char *name) {
    if (array->data && array->dtype == NPY_F64)
        cli_note("%s is float64 and is rounded to float32", name);
}

int inputs_shape(run_shape *shape, const npy_array arrays[3], const array_axes axes[3], bool causal) {
    const array_axes *q = &axes[0], *k = &axes[1], *v = &axes[2];
    const char *sq = npy_shape_text(arrays[0].rank, arrays[0].shape);
    const char *sk = npy_shape_text(arrays[1].rank, arrays[1].shape);
    const char *sv = npy_shape_text(arrays[2].rank, arrays[2].shape);
    if (arrays[1].rank != arrays[0].rank || arrays[2].rank != arrays[0].rank)
        return cli_error(CLI_USAGE, "q (%s), k (%s) and v (%s) must have the same number of axes", sq, sk, sv);
    if (k->last != q->last)
        return cli_error(CLI_USAGE, "k (%s) must have the last axis of q (%s)", sk, sq);
    if (k->batch != q->batch || v->batch != q->batch)
        return cli_error(CLI_USAGE, "q (%s), k (%s) and v (%s) must have the same first axis, the batch", sq, sk, sv);
    if (v->heads != k->heads || v->n != k->n)
        return cli_error(CLI_USAGE, "v (%s) must have the heads and tokens of k (%s); only its last axis may differ",
                         sv, sk);
    if (q->heads % k->heads != 0)
        return cli_error(CLI_USAGE, "the heads of q (%s) must be a multiple of those of k (%s)", sq, sk);
    if (causal && q->n != k->n)
        return cli_error(CLI_USAGE, "--causal needs as many queries as keys, got q %s and k %s", sq, sk);
    shape->batch = q->batch;
    shape->heads = q->heads;
    shape->heads_kv = k->heads;
    shape->n = q->n;
    shape->n_k = k->n;
    shape->d = q->last;
    shape->dv = v->last;
    return CLI_OK;
}

const char *const inputs_names[3] = {"q", "k", "v"};

int inputs_open_all(npy_array arrays[3], run_shape *shape, const char *const paths[3], bool causal) {
    array_axes axes[3];
    int status = CLI_OK;
    for (int i = 0; i < 3 && !status; ++i)
        status = inputs_open(&arrays[i], &axes[i], inputs_names[i], paths[i]);
    return status ? status : inputs_shape(shape, arrays, axes, causal);
}

int inputs_check_paths(const char *const *outputs, size_t output_count, const char *const *inputs, size_t input_count) {
    for (size_t i = 0; i < output_count; ++i) {
        for (size_t j = 0; outputs[i] && j < input_count; ++j)
            if (inputs[j] && outfile_same(outputs[i], inputs[j]))
                return cli_error(CLI_USAGE, "the output '%s' is also an input; give it another name", outputs[i]);
        for (size_t j = 0; outputs[i] && j < i; ++j)
            if (outputs[j] && outfile_same(outputs[i], outputs[j]))
                return cli_error(CLI_USAGE, "two outputs go to '%s'; give them different names", outputs[i]);
    }
    return CLI_OK;
}
