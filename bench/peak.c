#include "peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_sources.h"

#define LAUNCH          6e-3 /* s; shorter launches understate what a device can do */
#define BANDWIDTH_TIME  4e-3
#define BANDWIDTH_BYTES (256u << 20) /* of the three arrays together, at most */
#define OPERANDS        32           /* floats before the results, as peak.cl has them */

static const char *const names[BENCH_KERNELS] = {"fma_8", "fma_12", "fma_16", "exponentials"};
/* A vector's lanes times this is what a round of a work-item does: flops, or exponentials. */
static const double work[BENCH_KERNELS] = {16.0, 24.0, 32.0, 8.0};

static bool build(bench_peak *p) {
    bench_device *d = p->device;
    const bench_kernel_source *vector = bench_find_source("vector.clh"), *peak = bench_find_source("peak.cl");
    if (!vector || !peak)
        return bench_fail(d, "the benchmark's device code is not in the program");
    const char *texts[2] = {(const char *)vector->bytes, (const char *)peak->bytes};
    size_t sizes[2] = {vector->size, peak->size};
    char options[32];
    snprintf(options, sizeof options, "-DVL=%u", p->lanes);
    cl_int code;
    cl_program program = clCreateProgramWithSource(d->cl, 2, texts, sizes, &code);
    bool good = bench_check_cl(d, code, "clCreateProgramWithSource");
    good = good && bench_check_cl(d, clBuildProgram(program, 1, &d->id, options, NULL, NULL), "clBuildProgram");
    for (int i = 0; i <= BENCH_KERNELS && good; ++i) {
        cl_kernel *kernel = i < BENCH_KERNELS ? &p->loops[i] : &p->triad;
        *kernel = clCreateKernel(program, i < BENCH_KERNELS ? names[i] : "triad", &code);
        good = bench_check_cl(d, code, "clCreateKernel");
    }
    if (program)
        clReleaseProgram(program);
    return good;
}

static bool make_out(bench_peak *p) {
    bench_device *d = p->device;
    float operands[OPERANDS];
    for (int i = 0; i < OPERANDS; ++i)
        operands[i] = i == 0 ? 0.999F : 0.5F + 1e-3F * (float)i; /* b; c and where the chains start */
    return bench_buffer(d, CL_MEM_READ_WRITE, sizeof operands + p->items * p->lanes * sizeof(float), &p->out) &&
           bench_check_cl(d,
                          clEnqueueWriteBuffer(d->queue, p->out, CL_TRUE, 0, sizeof operands, operands, 0, NULL, NULL),
                          "clEnqueueWriteBuffer");
}

static bool make_arrays(bench_peak *p) {
    bench_device *d = p->device;
    uint64_t bytes = BANDWIDTH_BYTES / 3, most = d->global_memory / 16;
    bytes = bytes < most ? bytes : most;
    bytes = bytes < d->max_allocation ? bytes : d->max_allocation;
    p->vectors = bytes / (p->lanes * sizeof(float));
    const float one = 1.0F;
    bool good = true;
    for (int i = 0; i < 3 && good; ++i) {
        bytes = p->vectors * p->lanes * sizeof(float);
        good = bench_buffer(d, CL_MEM_READ_WRITE, bytes, &p->arrays[i]) &&
               bench_check_cl(
                   d, clEnqueueFillBuffer(d->queue, p->arrays[i], &one, sizeof one, 0, (size_t)bytes, 0, NULL, NULL),
                   "clEnqueueFillBuffer");
    }
    return good && bench_check_cl(d, clFinish(d->queue), "clFinish");
}

/* -------------------------------------------------------------------------------------------------------- runs */

static bool launch(bench_peak *p, cl_kernel kernel) {
    return bench_check_cl(
        p->device, clEnqueueNDRangeKernel(p->device->queue, kernel, 1, NULL, &p->items, &p->group, 0, NULL, NULL),
        "clEnqueueNDRangeKernel");
}

/* Units of work a second. */
static bool run_loop(bench_peak *p, int which, double *rate) {
    bench_device *d = p->device;
    for (;;) {
        cl_uint rounds = p->rounds[which];
        if (!bench_check_cl(d, clSetKernelArg(p->loops[which], 0, sizeof p->out, &p->out), "clSetKernelArg") ||
            !bench_check_cl(d, clSetKernelArg(p->loops[which], 1, sizeof rounds, &rounds), "clSetKernelArg"))
            return false;
        double cpu = bench_cpu_seconds(), start = bench_now();
        if (!launch(p, p->loops[which]) || !bench_check_cl(d, clFinish(d->queue), "clFinish"))
            return false;
        double seconds = bench_now() - start;
        p->cpu += bench_cpu_seconds() - cpu;
        p->wall += seconds;
        *rate = work[which] * p->lanes * (double)p->items * rounds / seconds;
        if (seconds >= LAUNCH || rounds >= 1u << 30)
            return true;
        p->rounds[which] = 2 * rounds;
    }
}

static bool run_triad(bench_peak *p, double *rate) {
    bench_device *d = p->device;
    cl_float s = 0.5F;
    cl_ulong vectors = p->vectors;
    cl_uint contiguous = d->cpu;
    bool good = true;
    for (cl_uint i = 0; i < 3 && good; ++i)
        good = bench_check_cl(d, clSetKernelArg(p->triad, i, sizeof p->arrays[i], &p->arrays[i]), "clSetKernelArg");
    good = good && bench_check_cl(d, clSetKernelArg(p->triad, 3, sizeof s, &s), "clSetKernelArg") &&
           bench_check_cl(d, clSetKernelArg(p->triad, 4, sizeof vectors, &vectors), "clSetKernelArg") &&
           bench_check_cl(d, clSetKernelArg(p->triad, 5, sizeof contiguous, &contiguous), "clSetKernelArg");
    double bytes = 3.0 * (double)vectors * p->lanes * sizeof(float), seconds = 0.0;
    for (int passes = 1; good && seconds < BANDWIDTH_TIME; passes *= 2) {
        double start = bench_now();
        for (int i = 0; i < passes && good; ++i)
            good = launch(p, p->triad);
        good = good && bench_check_cl(d, clFinish(d->queue), "clFinish");
        seconds = bench_now() - start;
        *rate = bytes * passes / seconds;
    }
    return good;
}

bool bench_peak_flops(bench_peak *p, int which, double *rate) {
    if (which < BENCH_LOOPS)
        return run_loop(p, which, rate);
    *rate = bench_sgemm_run(p->sgemm);
    return true;
}

bool bench_peak_round(bench_peak *p) {
    double rate = p->sgemm ? bench_sgemm_run(p->sgemm) : NAN;
    if (isfinite(rate) && !bench_samples_add(p->device, &p->sgemm_samples, rate))
        return false;
    for (int i = 0; i < BENCH_KERNELS; ++i)
        if (!run_loop(p, i, &rate) || !bench_samples_add(p->device, &p->samples[i], rate))
            return false;
    return run_triad(p, &rate) && bench_samples_add(p->device, &p->bandwidth_samples, rate);
}

bool bench_peak_open(bench_peak *p, bench_device *device) {
    *p = (bench_peak){.device = device};
    /* A CPU runs work-items one after another and needs more groups than cores to feed them all; a GPU needs as many
     * work-items as fit. */
    p->lanes = device->cpu ? device->info.vector_width : 4;
    p->group = device->cpu ? 1 : device->max_group < 64 ? device->max_group : 64;
    p->items = 32 * p->group * device->info.compute_units;
    for (int i = 0; i < BENCH_KERNELS; ++i)
        p->rounds[i] = 100;
    if (!build(p) || !make_out(p) || !make_arrays(p))
        return false;
    if (device->cpu)
        p->sgemm = bench_sgemm_open(device->info.compute_units);
    double rate; /* the first launches may compile */
    for (int i = 0; i < BENCH_KERNELS; ++i)
        if (!run_loop(p, i, &rate))
            return false;
    p->cpu = p->wall = 0.0;
    return run_triad(p, &rate);
}

void bench_peak_ceilings(bench_peak *p, bench_ceilings *out) {
    *out = (bench_ceilings){.sgemm = bench_rates(&p->sgemm_samples),
                            .exponentials = bench_rates(&p->samples[BENCH_LOOPS]),
                            .bandwidth = bench_rates(&p->bandwidth_samples),
                            .cpu_over_wall = p->cpu / p->wall,
                            .bandwidth_bytes = 3 * p->vectors * p->lanes * sizeof(float),
                            .cache_bytes = p->device->cache};
    for (int i = 0; i < BENCH_LOOPS; ++i) {
        out->loops[i] = bench_rates(&p->samples[i]);
        if (out->loops[i].best > out->loops[out->winner].best)
            out->winner = i;
    }
    out->peak = out->loops[out->winner];
    if (out->sgemm.best > out->peak.best) {
        out->peak = out->sgemm;
        out->winner = BENCH_LOOPS;
    }
    snprintf(out->sgemm_library, sizeof out->sgemm_library, "%s", bench_sgemm_name(p->sgemm));
}

void bench_peak_close(bench_peak *p) {
    for (int i = 0; i < BENCH_KERNELS; ++i) {
        if (p->loops[i])
            clReleaseKernel(p->loops[i]);
        bench_samples_free(&p->samples[i]);
    }
    if (p->triad)
        clReleaseKernel(p->triad);
    bench_release(&p->out);
    for (int i = 0; i < 3; ++i)
        bench_release(&p->arrays[i]);
    bench_sgemm_close(p->sgemm);
    bench_samples_free(&p->sgemm_samples);
    bench_samples_free(&p->bandwidth_samples);
}
