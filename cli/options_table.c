#include "options_table.h"

#define ESTIMATOR_OPTIONS                                                                                              \
    OPTION("map", KEY_MAP, "MAP",                                                                                      \
           "positive (default), hyperbolic, trig, trig-phase, gaussian, relu or elu (which has no projection)"),       \
        OPTION("features", KEY_FEATURES, "M",                                                                          \
               "Rows of the projection, 1 to 65536 (default 256); hyperbolic, trig and gaussian make 2M features"),    \
        OPTION("projection", KEY_PROJECTION, "KIND",                                                                   \
               "orthogonal (default: Haar blocks, chi norms), orthogonal-pairs (w and -w), simplex, iid or "           \
               "orthogonal-fixed-norm (biased)"),                                                                      \
        OPTION("seed", KEY_SEED, "S", "64 bits (default 0); the same seed gives the same projection everywhere"),      \
        OPTION("projection-out", KEY_PROJECTION_OUT, "FILE",                                                           \
               "Write W as float64 [m, d] or [heads, m, d], and the phases to FILE with .phase.npy for .npy"),         \
        OPTION("projection-in", KEY_PROJECTION_IN, "FILE",                                                             \
               "Read W instead of drawing it, and the phases where their file exists"),                                \
        OPTION("projection-per-head", KEY_PER_HEAD, 0, "An independent W for each K/V head (default: one for all)"),   \
        OPTION("scale", KEY_SCALE, "X", "Softmax scale, finite and > 0 (default 1/sqrt(d))"),                          \
        OPTION("estimator", KEY_ESTIMATOR, "FILE",                                                                     \
               "Use an estimator that `clfavor fit' wrote; its features, projection and seed are the defaults")

#define TUNING_OPTION OPTION("tuning", KEY_TUNING, "FILE", OPTIONS_TUNING)
#define CLASS_OPTION  OPTION("class", KEY_CLASS, "CLASS", "Kernels to use: cpu, gpu or auto (default: by the device)")

#define COMMON_OPTIONS                                                                                                 \
    OPTION("device", KEY_DEVICE, "SEL", OPTIONS_DEVICE), TUNING_OPTION,                                                \
        OPTION("json", KEY_JSON, 0, "One JSON object on stdout instead of `key: value' lines"),                        \
        OPTION("help", KEY_HELP, 0, "Show this help"), {                                                               \
        0                                                                                                              \
    }

#define FIT_OPTIONS                                                                                                    \
    OPTION("fit-method", KEY_FIT_METHOD, "NAME",                                                                       \
           "attention (default), or for comparison plain, oprf, shift, diagonal, full or sderf"),                      \
        OPTION("exact-keys", KEY_EXACT_KEYS, "T",                                                                      \
               "Treat the T heaviest keys of each head exactly; they count among the M rows of --features; `run' "     \
               "takes auto, too: the number with the least predicted error, from none to 3/4 of M. Default "           \
               "with a fit: half of M, more where there are few keys; none with --causal"),                            \
        OPTION("sample", KEY_SAMPLE, "N", "Queries a head to fit with (default the larger of 256 and 4 d)")

static const struct argp_option run_options[] = {
    OPTION("q", KEY_Q, "FILE", "Queries, .npy [n, d], [H, n, d] or [B, H, n, d]; float32, float16 or float64"),
    OPTION("k", KEY_K, "FILE", "Keys: H may be a divisor of the queries' and n another unless --causal"),
    OPTION("v", KEY_V, "FILE", "Values: as the keys, the last axis may differ"),
    OPTION("out", KEY_OUT, "FILE", "Write O, float32"),
    OPTION("lse", KEY_LSE, "FILE", "Write log |sum_j A_ij|, float32 [.., n]"),
    OPTION("lse-sign", KEY_LSE_SIGN, "FILE", "Write the sign of that sum: +1, 0 or -1"),
    OPTION("causal", KEY_CAUSAL, 0, "Row i sees keys 0 to i only"),
    OPTION("chunk", KEY_CHUNK, "C", "Tokens a chunk (default: chosen)"),
    OPTION("pieces", KEY_PIECES, "P", "Parts that a head is split into (default: chosen)"),
    CLASS_OPTION,
    OPTION("backend", KEY_BACKEND, "NAME",
           "How the gpu class does it: fused, staged, clblast (where the library has it) or auto (default: as the "
           "tuning row says, as far as the device can)"),
    OPTION("exact", KEY_EXACT, 0, "Exact softmax attention, not random features"),
    OPTION("compare", KEY_COMPARE, 0,
           "Also compute exact attention on evenly spaced query rows and print the relative error |O-E|/|E| "
           "(Frobenius) of each head, the median, and that of answering the mean of the values that a row sees"),
    OPTION("compare-rows", KEY_COMPARE_ROWS, "N|all", "Rows a head for --compare, which it implies (default 4096)"),
    OPTION("repeat", KEY_REPEAT, "R", "One warm-up, then R runs; seconds is their median (default: one cold run)"),
    ESTIMATOR_OPTIONS,
    OPTION("fit", KEY_FIT, 0,
           "Fit the estimator to these q, k and v first: several times less error with the same M. The default of "
           "--projection becomes simplex or orthogonal-pairs, and some of the M rows become exact keys"),
    FIT_OPTIONS,
    OPTION("best-of", KEY_BEST_OF, "N",
           "Draw N projections (seeds S to S + N - 1) and keep for each K/V head the one that errs least on 256 query "
           "rows: 5 to 15 % less error with 4. Not with --causal"),
    OPTION("correct-values", KEY_CORRECT, 0,
           "Correct the values by what the answers to 256 sampled queries lack: about half the error at small M in the "
           "same time, but biased towards those queries; lse stays as it is. Not with --causal"),
    OPTION("target-error", KEY_TARGET_ERROR, "E",
           "With --fit: the smallest M whose predicted error is at most E, or a clear statement that none does"),
    OPTION("allow-future-leak", KEY_ALLOW_LEAK, 0,
           "With --fit and --causal: accept that parameters fitted to the whole sequence tell earlier rows of later "
           "ones"),
    COMMON_OPTIONS};

static const struct argp_option fit_options[] = {
    OPTION("q", KEY_Q, "FILE", "Queries, .npy [n, d], [H, n, d] or [B, H, n, d]; float32, float16 or float64"),
    OPTION("k", KEY_K, "FILE", "Keys: H may be a divisor of the queries', and n another"),
    OPTION("v", KEY_V, "FILE", "Values: as the keys, the last axis may differ; better with them than without"),
    OPTION("out", KEY_OUT, "FILE", "Write the estimator, .npz"),
    OPTION("features", KEY_FEATURES, "M", "Rows that a run with it has by default, exact keys included (default 256)"),
    FIT_OPTIONS,
    OPTION("projection", KEY_PROJECTION, "KIND",
           "That a run with it has by default: simplex (default for up to d rows besides exact keys), "
           "orthogonal-pairs (default for more), orthogonal or iid"),
    OPTION("seed", KEY_SEED, "S", "Of the projection and of the samples (default 0)"),
    OPTION("scale", KEY_SCALE, "X", "Softmax scale, finite and > 0 (default 1/sqrt(d))"),
    OPTION("json", KEY_JSON, 0, "One JSON object on stdout instead of `key: value' lines"),
    OPTION("help", KEY_HELP, 0, "Show this help"),
    {0}};

static const struct argp_option advise_options[] = {
    OPTION("q", KEY_Q, "FILE", "Queries, .npy [n, d], [H, n, d] or [B, H, n, d]; float32, float16 or float64"),
    OPTION("k", KEY_K, "FILE", "Keys: H may be a divisor of the queries', and n another"),
    OPTION("v", KEY_V, "FILE", "Values: as the keys, the last axis may differ"),
    OPTION("sample", KEY_SAMPLE, "N", "Queries a head to fit with (default the larger of 256 and 4 d)"),
    OPTION("seed", KEY_SEED, "S", "Of the projections and of the samples (default 0)"),
    OPTION("scale", KEY_SCALE, "X", "Softmax scale, finite and > 0 (default 1/sqrt(d))"),
    OPTION("target-error", KEY_TARGET_ERROR, "E", "The error that the advice is to meet (default 0.1)"),
    OPTION("compare-rows", KEY_COMPARE_ROWS, "N|all", "Query rows a head that errors are predicted on (default 64)"),
    OPTION("draws", KEY_REPEAT, "R", "Projections that errors are averaged over (default 3)"),
    OPTION("methods", KEY_METHODS, 0, "Also every other estimator: of the literature, and without exact keys"),
    OPTION("svg", KEY_OUT, "FILE", "Plot the errors against M"),
    COMMON_OPTIONS};

static const struct argp_option features_options[] = {
    OPTION("x", KEY_X, "FILE", "Queries or keys, .npy [n, d], [H, n, d] or [B, H, n, d]"),
    OPTION("out", KEY_OUT, "FILE", "Write the features, float32 [.., n, F]"),
    OPTION("out-scale", KEY_OUT_SCALE, "FILE",
           "Write their log scale: [.., n] for queries; [.., F] for keys, [.., 1] for trig, trig-phase and gaussian "
           "(default: the name of --out with .logscale.npy for .npy)"),
    OPTION("role", KEY_ROLE, "ROLE", "query or key"),
    ESTIMATOR_OPTIONS,
    COMMON_OPTIONS};

static const struct argp_option devices_options[] = {CLASS_OPTION,
                                                     TUNING_OPTION,
                                                     OPTION("json", KEY_JSON, 0, "One JSON object instead of text"),
                                                     OPTION("help", KEY_HELP, 0, "Show this help"),
                                                     {0}};

static const char run_doc[] =
    "Attention with random features, O_i = sum_j A_ij v_j / sum_j A_ij, or exact softmax attention.\v"
    "Reported: device, class, backend (of the gpu class), shape, map, features (M), seconds (from the END of a marker "
    "before to the END of a "
    "marker "
    "after, on an in-order profiling queue), wall_seconds (the host's clock around clFinish), tokens_per_second (B n / "
    "seconds, all heads together), relative_error, mean_value_error (the median over heads), workspace_bytes and "
    "build_seconds. A cold run may include work that the OpenCL runtime puts off until then: use --repeat to measure.";
static const char features_doc[] =
    "The feature matrix phi = features * exp(log scale) of queries or keys.\v"
    "With --projection-per-head each head of --x has its own W, as `run' draws them for K/V heads. For queries of more "
    "heads than the keys give the W of `run --projection-out' to --projection-in, with as many sets as K/V heads.";
static const char fit_doc[] =
    "Fits an estimator to queries and keys, for `clfavor run --estimator' on these or on other data.\v"
    "The file holds per K/V head the centres, the transforms and the proposal's width, with a version and a checksum; "
    "numpy.load reads it. Whatever it holds, the estimate of the kernel stays unbiased: a bad fit costs variance only. "
    "Which keys are exact is chosen anew for the data of each run.";
static const char advise_doc[] =
    "Says what to use for these queries, keys and values, and what it will cost and err.\v"
    "Errors |O - E|/|E| are those of the estimate on sampled query rows against their exact rows.";
static const char devices_doc[] =
    "Every OpenCL platform and device, its capabilities, kernel class, tuning row and backend, and which one would be "
    "chosen and why ($CLFAVOR_DEVICE counts).\v"
    "fused is what the gpu class's fused kernels take: work-items a work-group, and tiles of rows (tokens), features "
    "and columns of V in steps; docs/gpus.md tells more.";

const options_text options_texts[5] = {[COMMAND_RUN] = {"run", run_doc, run_options},
                                       [COMMAND_FEATURES] = {"features", features_doc, features_options},
                                       [COMMAND_DEVICES] = {"devices", devices_doc, devices_options},
                                       [COMMAND_FIT] = {"fit", fit_doc, fit_options},
                                       [COMMAND_ADVISE] = {"advise", advise_doc, advise_options}};
