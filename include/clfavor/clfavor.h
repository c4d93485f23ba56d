/** @file clfavor.h
 *  clfavor: linear-time attention with random features (Performer, FAVOR+) on any OpenCL 1.2 device.
 *
 *  Notation: B batch, H query heads, H_kv key/value heads, n query tokens, n_k key tokens, d head dimension, dv value
 *  dimension, m rows of the projection, F features. x = q sqrt(scale), y = k sqrt(scale). A_ij = phi(x_i)'phi(y_j) is
 *  the random estimate of exp(q_i.k_j scale), and O_i = sum_j A_ij v_j / sum_j A_ij.
 *
 *  Rules that hold for every function:
 *  - Descriptors begin with struct_size (set it with sizeof) and a field of zero means its default.
 *  - Objects are opaque. The caller owns what a *_create function returns and gives it back to *_destroy (NULL is
 * fine). On failure *out is NULL. Objects keep what they need of each other: any order of destruction is right.
 *  - The OpenCL context, device, queues, buffers and events belong to the caller. Nothing is global.
 *  - Every object may be used from any number of threads at once, except while it is being destroyed or updated.
 *  - The library never prints, exits or reads the environment. Details of a failure go to the log callback. */
#ifndef CLFAVOR_CLFAVOR_H
#define CLFAVOR_CLFAVOR_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#ifdef __APPLE__
#include <OpenCL/cl.h>
#else
#include <CL/cl.h>
#endif
#include <stddef.h>
#include <stdint.h>

#include <clfavor/export.h>
#include <clfavor/status.h>
#include <clfavor/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ version, status */

/** Version of the library that runs (the headers' own is CLFAVOR_VERSION_*). NULL pointers are skipped. */
CLFAVOR_API void clfavor_version(int *major, int *minor, int *patch);
/** The same as "major.minor.patch"; static storage. */
CLFAVOR_API const char *clfavor_version_string(void);
/** "CLFAVOR_INVALID_SHAPE" and the like; "CLFAVOR_UNKNOWN" for a value that is no status. Static storage. */
CLFAVOR_API const char *clfavor_status_name(clfavor_status status);
/** One sentence for a person; static storage. */
CLFAVOR_API const char *clfavor_status_message(clfavor_status status);

/* -------------------------------------------------------------------------------------------------------- context */

/** A device of an OpenCL context: what it can do, the programs that were built for it, and where messages go. */
typedef struct clfavor_context clfavor_context;

/** Which set of kernels runs: cpu (work-group size 1, explicit vectors, fused chunks) or gpu (many work-items). */
typedef enum clfavor_device_class {
    CLFAVOR_CLASS_AUTO = 0, /**< from what the device reports: CL_DEVICE_TYPE_CPU is cpu, all else gpu */
    CLFAVOR_CLASS_CPU = 1,
    CLFAVOR_CLASS_GPU = 2
} clfavor_device_class;

/** What a line of the log is about. */
typedef enum clfavor_log_level {
    CLFAVOR_LOG_ERROR = 1,   /**< why a call failed */
    CLFAVOR_LOG_WARNING = 2, /**< it worked, but not as a person would expect */
    CLFAVOR_LOG_INFO = 3     /**< what was chosen, built or found in the cache */
} clfavor_log_level;

/** Receives one line without a newline. May be called from any thread that calls the library; must not call it back. */
typedef void (*clfavor_log_fn)(void *user, clfavor_log_level level, const char *message);

/** How the gpu class does attention; the cpu class has one way. */
typedef enum clfavor_backend {
    CLFAVOR_BACKEND_AUTO = 0,   /**< what the tuning row says, as far as the device can */
    CLFAVOR_BACKEND_FUSED = 1,  /**< tiles in local memory; features never travel to global memory */
    CLFAVOR_BACKEND_STAGED = 2, /**< feature matrices in the workspace, no local memory, any work-group size */
    CLFAVOR_BACKEND_CLBLAST = 3 /**< staged, with the matrix products done by CLBlast, where the library has it: that
                                   builds kernels at the first call and, for large products, allocates memory at calls.
                                   docs/clblast.md has what else it does not keep */
} clfavor_backend;

/** Sizes that suit a device: a row of the tuning database (`clfavor tune` makes them). The row that names the device
 *  most closely counts (device, then architecture, then vendor, then none of them); of several those of the caller
 *  before those of the library. No row can make a result wrong: sizes that a device cannot do are not taken.
 *  A work-group of the fused kernels has `group` work-items and makes tiles of `rows` tokens, `features` features and
 *  `columns` columns of V, in steps of `step`; powers of two. See docs/gpus.md. */
typedef struct clfavor_tuning {
    size_t struct_size;
    const char *vendor;       /**< NULL: any; else a part of CL_DEVICE_VENDOR, whatever the case, such as "nvidia" */
    const char *architecture; /**< NULL: any; else as clfavor_context_info.architecture, such as "sm_80", "gfx90a" */
    const char *device;       /**< NULL: any; else the whole CL_DEVICE_NAME */
    clfavor_device_class device_class;             /**< the row is for this class; 0: gpu */
    clfavor_backend backend;                       /**< what AUTO means; 0: FUSED */
    uint32_t group, rows, features, columns, step; /**< gpu class; 0: as the library's default row */
    uint32_t chunk, causal_chunk;                  /**< tokens a chunk; 0: chosen. Fused: causal chunks have `rows` */
    uint32_t pieces;                               /**< cpu class: parts a head is split into; 0: chosen */
    uint32_t vector; /**< fused: loads of 16 bytes where tensors allow them; 0: on devices that are no CPUs, 1: always,
                        2: never */
} clfavor_tuning;

/** What clfavor_context_create makes a context from. */
typedef struct clfavor_context_desc {
    size_t struct_size;
    cl_context context;                /**< retained while the clfavor_context lives */
    cl_device_id device;               /**< one of the context's devices */
    clfavor_device_class device_class; /**< 0: chosen from the device */
    clfavor_log_fn log;                /**< NULL: silent */
    void *log_user;                    /**< what log gets as `user` */
    const char *kernel_dir;       /**< development only: read kernel sources from this folder instead of the library */
    const clfavor_tuning *tuning; /**< rows of the caller, copied; each has its struct_size; NULL: none */
    size_t tuning_count;          /**< of those rows */
    const char *cache_dir; /**< a folder for built programs, made when it is first written to, so that later processes
                              need not compile them; entries are checked, and whatever is not right is compiled again,
                              but whoever may write there can run code here. Copied; NULL or "": none */
    uint64_t cache_limit;  /**< bytes that the folder may grow to; what was not used for longest goes. 0: 256 MiB */
    uint32_t cache_always; /**< 1: even where the runtime keeps compiled programs itself (PoCL) */
} clfavor_context_desc;

/** What a context found and chose. */
typedef struct clfavor_context_info {
    size_t struct_size;                /**< set by the caller before the call */
    clfavor_device_class device_class; /**< as used, never AUTO */
    uint32_t vector_width;             /**< lanes of a float vector that the cpu class uses (4, 8 or 16) */
    uint32_t compute_units;            /**< as the device reports them */
    uint64_t local_memory;             /**< bytes */
    uint32_t programs;                 /**< programs in the cache */
    double build_seconds;              /**< spent in the OpenCL compiler since the context was made */
    char reason[160];                  /**< why this class was chosen, for a person */
    char architecture[64];             /**< "sm_80", "gfx90a", "cpu"; empty where the device does not tell */
    clfavor_tuning tuning;       /**< the row in use, with defaults filled in; its strings belong to the context */
    char tuning_reason[160];     /**< which row that is and why, for a person */
    clfavor_backend backend;     /**< gpu class: what AUTO takes for attention; AUTO for the cpu class */
    char backend_reason[160];    /**< why, for a person */
    uint64_t fused_local_memory; /**< gpu class: bytes of it that the fused kernels need */
    clfavor_tuning fused;        /**< gpu class: the row that the fused kernels take, `tuning` or, where the device is
                                    too small for that, a smaller one; its strings are NULL */
} clfavor_context_info;

/** Errors: INVALID_ARGUMENT, MISMATCH (device not of the context), OUT_OF_MEMORY, OPENCL. */
CLFAVOR_API clfavor_status clfavor_context_create(clfavor_context **out, const clfavor_context_desc *desc);
/** Gives a context back; what was made with it keeps what it needs. NULL is fine. */
CLFAVOR_API void clfavor_context_destroy(clfavor_context *context);
/** Fills *info as far as info->struct_size goes. Errors: INVALID_ARGUMENT. */
CLFAVOR_API clfavor_status clfavor_context_get_info(const clfavor_context *context, clfavor_context_info *info);

/* ----------------------------------------------------------------------------------------------------- projection */

#define CLFAVOR_MAX_DIM      256u   /**< largest d and dv */
#define CLFAVOR_MAX_FEATURES 65536u /**< largest m */

/** The rows W that features are made with, and phases, in double on the host. Immutable. */
typedef struct clfavor_projection clfavor_projection;

/** How W is drawn. */
typedef enum clfavor_projection_kind {
    CLFAVOR_PROJECTION_ORTHOGONAL = 0, /**< independent Haar blocks of d rows, chi(d) norms; each row is N(0, I) */
    CLFAVOR_PROJECTION_IID = 1,        /**< independent N(0, I) rows */
    CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM = 2, /**< Haar blocks with norm sqrt(d): BIASED, for comparison */
    CLFAVOR_PROJECTION_CUSTOM = 3,                /**< given by the caller (clfavor_projection_create_from_data) */
    CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS = 4, /**< rows 2i and 2i + 1 are w and -w, w row i of ORTHOGONAL; better than
                                                  that for the exponential maps with one value a row at small m; cos and
                                                  hyperbolic features of w and -w are the same */
    CLFAVOR_PROJECTION_SIMPLEX = 5 /**< blocks of d rows whose directions are the corners of a regular simplex under a
                                      Haar rotation (cosine -1/(d - 1)), chi(d) norms; each row is N(0, I). Reid,
                                        Choromanski, Likhosherstov, Weller, "Simplex Random Features", ICML 2023 */
} clfavor_projection_kind;

/** What clfavor_projection_create draws. */
typedef struct clfavor_projection_desc {
    size_t struct_size;
    clfavor_projection_kind kind; /**< any but CUSTOM */
    uint32_t features;            /**< m, 1..65536 */
    uint32_t dim;                 /**< d, 1..256 */
    uint32_t sets;                /**< independent parameter sets (1, H_kv or H of them); 0: 1 */
    uint64_t seed;                /**< the same seed gives the same bits on every machine */
} clfavor_projection_desc;

/** Draws W [sets, m, d] and the phases b [sets, m], uniform on [0, 2 pi), in double by Philox4x32-10 (Salmon et al.,
 *  SC 2011). Row r of set s depends on (seed, kind, s, r, d) only, not on m or sets. Orthogonal blocks: QR of a normal
 *  matrix with the sign fix (Mezzadri, Notices AMS 54, 2007), so that they are Haar distributed.
 *  Errors: INVALID_ARGUMENT, INVALID_SHAPE, OUT_OF_MEMORY. */
CLFAVOR_API clfavor_status clfavor_projection_create(clfavor_projection **out, const clfavor_projection_desc *desc);
/** Copies w [sets, m, d] and phases [sets, m] (NULL: drawn from desc->seed as above). desc->kind is ignored.
 *  Errors: as above and NOT_FINITE. */
CLFAVOR_API clfavor_status clfavor_projection_create_from_data(clfavor_projection **out,
                                                               const clfavor_projection_desc *desc, const double *w,
                                                               const double *phases);
/** Gives a projection back. NULL is fine. */
CLFAVOR_API void clfavor_projection_destroy(clfavor_projection *projection);
/** Kind, m, d, sets and seed of a projection; desc->struct_size is set by the caller before the call. */
CLFAVOR_API clfavor_status clfavor_projection_get_desc(const clfavor_projection *projection,
                                                       clfavor_projection_desc *desc);
/** W, [sets, m, d], owned by the projection; NULL for NULL. */
CLFAVOR_API const double *clfavor_projection_data(const clfavor_projection *projection);
/** The phases b, [sets, m], owned by the projection; NULL for NULL. */
CLFAVOR_API const double *clfavor_projection_phases(const clfavor_projection *projection);

/** Philox4x32-10: out = the block for this counter and key. Pure function. */
CLFAVOR_API void clfavor_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/** Two independent standard normal variates from one Philox block (Box-Muller; the radius takes 64 bits). The same
 *  bits on every machine: own log, sin and cos, no contraction. Pure function. */
CLFAVOR_API void clfavor_normal_pair(const uint32_t block[4], double out[2]);

/* ------------------------------------------------------------------------------------------------------ estimator */

/** What the features are: map, W and all else that their exponents need, in double on the host. Immutable. */
typedef struct clfavor_estimator clfavor_estimator;

/** The feature map; A_ij for each is given with x, y as above and rows w_r of W. */
typedef enum clfavor_map {
    CLFAVOR_MAP_POSITIVE = 0,   /**< mean_r exp(w.x - |x|^2/2) exp(w.y - |y|^2/2): FAVOR+; F = m */
    CLFAVOR_MAP_HYPERBOLIC = 1, /**< the same averaged over w_r and -w_r; F = 2m, rows [w, -w] */
    CLFAVOR_MAP_TRIG = 2,       /**< exp((|x|^2+|y|^2)/2) mean_r cos(w.(x-y)); F = 2m, [cos, sin]; signed */
    CLFAVOR_MAP_TRIG_PHASE = 3, /**< the same prefactor, mean_r 2 cos(w.x+b) cos(w.y+b); F = m; signed */
    CLFAVOR_MAP_GAUSSIAN = 4,   /**< mean_r cos(w.(x-y)), as [cos, sin](w.x+b); estimates exp(-|x-y|^2/2); F = 2m */
    CLFAVOR_MAP_RELU = 5,       /**< mean_r relu(w.x) relu(w.y); F = m */
    CLFAVOR_MAP_ELU = 6,        /**< sum_l f(q_l) f(k_l), f(t) = elu(t) + 1, q and k unscaled, no W; F = d */
    CLFAVOR_MAP_EXPONENTIAL = 7 /**< the general positive features of clfavor_exponential_desc; F = m */
} clfavor_map;

/** What clfavor_estimator_create makes an estimator from. */
typedef struct clfavor_estimator_desc {
    size_t struct_size;
    clfavor_map map;                      /**< any but EXPONENTIAL */
    const clfavor_projection *projection; /**< read, not kept; NULL for elu */
    uint32_t dim;                         /**< d; needed for elu only, else 0 or the projection's */
    double scale;                         /**< softmax scale, finite and > 0; 0: 1/sqrt(d); ignored by elu */
} clfavor_estimator_desc;

/** Makes an estimator of a map and a projection. Errors: INVALID_ARGUMENT, INVALID_SHAPE, NOT_FINITE (scale),
 *  OUT_OF_MEMORY. */
CLFAVOR_API clfavor_status clfavor_estimator_create(clfavor_estimator **out, const clfavor_estimator_desc *desc);

/** The general exponential estimator, for x and y as above:
 *
 *      log phi_q(x)_r = wq_r.x + bq_r - |Tq (x - x0)|^2/2 + uq.(x - x0) + aq,
 *      log phi_k(y)_r = wk_r.y + bk_r - |Tk (y - y0)|^2/2 + uk.(y - y0) + ak,
 *
 *  and A = mean_r phi_q phi_k. Plain FAVOR+ is wq = wk = W, T = I, all else 0. OPRF, key shift, balancing and SDERF
 *  only fill other values in. NULL means: wk = wq, T = I, every other array 0. All arrays are copied. */
typedef struct clfavor_exponential_desc {
    size_t struct_size;
    uint32_t features;     /**< m */
    uint32_t dim;          /**< d */
    uint32_t sets;         /**< 0: 1 */
    double scale;          /**< 0: 1/sqrt(d) */
    const double *wq, *wk; /**< [sets, m, d]; wq is required */
    const double *bq, *bk; /**< [sets, m] */
    const double *tq, *tk; /**< [sets, d, d], row-major: (T x)_i = sum_l T[i, l] x_l */
    const double *x0, *y0; /**< [sets, d] */
    const double *uq, *uk; /**< [sets, d] */
    const double *aq, *ak; /**< [sets] */
} clfavor_exponential_desc;

/** Makes an estimator of map EXPONENTIAL. Errors: INVALID_ARGUMENT, INVALID_SHAPE, NOT_FINITE, OUT_OF_MEMORY. */
CLFAVOR_API clfavor_status clfavor_estimator_create_exponential(clfavor_estimator **out,
                                                                const clfavor_exponential_desc *desc);

/** Symmetric dense-exponential random features with centres (SDERF: Likhosherstov et al., "FAVOR#: Sharp Attention
 * Kernel Approximations via New Classes of Positive Random Features", 2023): w ~ N(0, (I - 4 A)) seen through a change
 * of variables that leaves x.y alone. With x0 = x - xbar, y0 = y - ybar and A = diag(a): wq_r = diag(sqrt(1 - 4a)) w_r
 * in Tq x0 (Tk y0 for keys), b_r = sum_l a_l w_rl^2 + sum_l ln(1 - 4 a_l) / 4, query scalar -|Tq x0|^2/2 + x0.ybar +
 * xbar.ybar, key scalar -|Tk y0|^2/2 + xbar.y0. Unbiased for exp(x.y) whatever the values, as long as Tq'Tk = I and w_r
 * ~ N(0, I); only the variance depends on them. Special cases: all NULL is FAVOR+; a constant a alone is OPRF (GERF,
 * FAVOR++); xbar, ybar alone are the key shift w ~ N(xbar + ybar, I); Tq, Tk alone are balancing, diagonal (SADERF) or
 * full (ADERF); a with a rotation is SDERF. */
typedef struct clfavor_sderf_desc {
    size_t struct_size;
    const clfavor_projection *projection; /**< read, not kept; gives m and d; 1 or `sets` sets; not FIXED_NORM, whose
                                             rows are not normal: UNSUPPORTED */
    uint32_t sets;                        /**< of the arrays below; 0: the projection's */
    double scale;                         /**< 0: 1/sqrt(d) */
    const double *xbar, *ybar;            /**< [sets, d]; NULL: 0 */
    const double *tq, *tk;                /**< [sets, d, d] with Tq'Tk = I (to 1e-6, else INVALID_ARGUMENT); NULL: I */
    const double *a;                      /**< [sets, d], each below 1/8 (else INVALID_ARGUMENT); NULL: 0 */
} clfavor_sderf_desc;

/** The same from such parameters and a projection. Errors: INVALID_ARGUMENT, INVALID_SHAPE, NOT_FINITE, UNSUPPORTED,
 *  OUT_OF_MEMORY. */
CLFAVOR_API clfavor_status clfavor_estimator_create_sderf(clfavor_estimator **out, const clfavor_sderf_desc *desc);
/** Gives an estimator back; weights that were made of it are copies. NULL is fine. */
CLFAVOR_API void clfavor_estimator_destroy(clfavor_estimator *estimator);

/** The shape of an estimator. */
typedef struct clfavor_estimator_info {
    size_t struct_size; /**< set by the caller before the call */
    clfavor_map map;    /**< EXPONENTIAL for those of clfavor_estimator_create_sderf, too */
    uint32_t rows;      /**< m (d for elu) */
    uint32_t features;  /**< F */
    uint32_t dim;       /**< d */
    uint32_t sets;      /**< parameter sets, at least 1 */
    double scale;       /**< as used; 1 for elu */
} clfavor_estimator_info;
/** Fills *info as far as info->struct_size goes. Errors: INVALID_ARGUMENT. */
CLFAVOR_API clfavor_status clfavor_estimator_get_info(const clfavor_estimator *estimator, clfavor_estimator_info *info);

/* ------------------------------------------------------------------------------------------------------------ fit */

/** What an estimator of clfavor_sderf_desc should hold for given queries and keys, one parameter set a K/V head, and
 * which keys are worth treating exactly. Immutable. */
typedef struct clfavor_fit clfavor_fit;

/** How. The first is the one to use; the others are those of the literature, for comparison. Moments of ATTENTION are
 * over pairs (i, j) weighted by p_ij |v_j - o_i| (p the softmax row, o the exact output; p_ij where there is no V),
 * those of the others over all pairs alike. */
typedef enum clfavor_fit_method {
    CLFAVOR_FIT_ATTENTION = 0, /**< centres, full balancing and A, attention-weighted, exact keys left out */
    CLFAVOR_FIT_PLAIN = 1,     /**< FAVOR+: nothing to fit */
    CLFAVOR_FIT_OPRF = 2,      /**< one A for the mean of |x + y|^2 */
    CLFAVOR_FIT_SHIFT = 3,     /**< the centres alone */
    CLFAVOR_FIT_DIAGONAL = 4,  /**< SADERF: T = diag((sum y^2 / sum x^2)^(1/4)), one A */
    CLFAVOR_FIT_FULL = 5,      /**< ADERF: full balancing of the second moments, one A */
    CLFAVOR_FIT_SDERF = 6      /**< A for the principal axes of x + y */
} clfavor_fit_method;

/** What clfavor_fit_create fits to. */
typedef struct clfavor_fit_desc {
    size_t struct_size;
    clfavor_fit_method method;               /**< 0: ATTENTION */
    uint32_t dim, value_dim;                 /**< value_dim 0: dim */
    uint64_t batch, heads, heads_kv, n, n_k; /**< 0: 1, 1, heads, -, n */
    double scale;                            /**< 0: 1/sqrt(d) */
    const float *q, *k, *v;  /**< dense [B, H, n, d], [B, H_kv, n_k, d], [B, H_kv, n_k, dv]; read, not kept; v may be
                                  NULL */
    uint32_t exact_keys;     /**< T: how many keys of each (batch, K/V head) to choose: those of the largest sum_i p_ij
                                  |v_j - o_i|, at most n_k */
    uint32_t sample_queries; /**< queries a (batch, K/V head), spread evenly at random; 0: max(256, 4 d) */
    uint32_t sample_keys;    /**< keys at most, likewise; 0: 16384. Where exact keys are chosen among more, some that a
                                 few queries weigh most are among them */
    uint32_t threads;        /**< that the call may use for its heads; 0: 1 */
    uint64_t seed;           /**< of the samples */
    clfavor_log_fn log;      /**< says why a call failed, and where a head leaves nothing to fit; NULL: silent */
    void *log_user;          /**< what log gets as `user` */
} clfavor_fit_desc;

/** Runs on the host in double: time O(sample_queries sample_keys (d + dv) + d^3) for each (batch, K/V head). The result
 *  depends on the values and the seed alone, not on threads. Degenerate inputs give finite parameters: what a direction
 *  has no variance for is left as in FAVOR+. Causal use on the sequence that was fitted leaks its future through the
 *  parameters: fit other data. Errors: INVALID_ARGUMENT, INVALID_SHAPE, NOT_FINITE (NaN or infinity in a sampled token,
 * a scale that is not), OUT_OF_MEMORY. */
CLFAVOR_API clfavor_status clfavor_fit_create(clfavor_fit **out, const clfavor_fit_desc *desc);
/** Gives a fit back, and with it all that it owns. NULL is fine. */
CLFAVOR_API void clfavor_fit_destroy(clfavor_fit *fit);
/** The parameters, owned by the fit; the caller adds a projection and makes an estimator:
 * clfavor_estimator_create_sderf. desc->struct_size is set by the caller before the call; desc->projection is left
 * NULL. */
CLFAVOR_API clfavor_status clfavor_fit_get_sderf(const clfavor_fit *fit, clfavor_sderf_desc *desc);
/** The same of all pairs, those of exact keys too: for attention without exact keys. */
CLFAVOR_API clfavor_status clfavor_fit_get_sderf_all(const clfavor_fit *fit, clfavor_sderf_desc *desc);

/** What a fit found. */
typedef struct clfavor_fit_info {
    size_t struct_size;  /**< set by the caller before the call */
    uint32_t sets;       /**< H_kv */
    uint32_t exact_keys; /**< T */
    const uint32_t
        *keys;                    /**< [B, sets, T], each row ascending, UINT32_MAX behind the last one; what
                                       clfavor_attention_args.exact_keys takes; NULL for T = 0. Owned by the fit, as the others */
    const double *mean_s_plain;   /**< [sets] weighted mean of |x + y|^2: e^s - 1 is FAVOR+'s relative variance */
    const double *mean_s;         /**< [sets] the same after centres and balancing */
    const double *effective_keys; /**< [sets] mean over queries of exp(-sum_j p_ij ln p_ij): how many keys count */
} clfavor_fit_info;
/** Fills *info as far as info->struct_size goes. Errors: INVALID_ARGUMENT. */
CLFAVOR_API clfavor_status clfavor_fit_get_info(const clfavor_fit *fit, clfavor_fit_info *info);

/** Corrections of the values, which turn attention into one that is BIASED towards the exact outputs of sampled
 * queries: with w_ir the share of row r in the answer to query i (they sum to 1 over the F features and T exact keys)
 * and V_r the row's mean value, O_i = sum_r w_ir V_r becomes sum_r w_ir (V_r + B_r). B solves a ridge regression of
 * what the sampled queries lack, with the ridge chosen by leaving one out. The error falls to about a half at small m
 * and nothing is added to the time per token; lse, and so the estimate of the kernel, stays what it is. Belongs to
 * these keys and values and to this draw of W, and is good for queries like those of the sample.
 *
 *  desc: as for clfavor_fit_create; method is ignored, v is needed, exact_keys is the T of `keys`, and at most 256
 * queries are sampled. estimator: positive, hyperbolic or exponential. keys [B, S, T], S = max(H_kv, sets); NULL for T
 * = 0. corrections [B, S, F + T, dv], written: what clfavor_attention_args.corrections takes. Errors: as
 * clfavor_fit_create, and MISMATCH (another d or number of heads), UNSUPPORTED (another map). */
CLFAVOR_API clfavor_status clfavor_fit_values(const clfavor_fit_desc *desc, const clfavor_estimator *estimator,
                                              const uint32_t *keys, float *corrections);

/* -------------------------------------------------------------------------------------------------------- weights */

/** An estimator packed for one device. Shared by any number of plans of the same map, m and d. */
typedef struct clfavor_weights clfavor_weights;

/** Copies the estimator to the device; builds nothing. Errors: INVALID_ARGUMENT, OUT_OF_MEMORY, DEVICE_MEMORY, OPENCL.
 */
CLFAVOR_API clfavor_status clfavor_weights_create(clfavor_weights **out, clfavor_context *context,
                                                  const clfavor_estimator *estimator);
/** Replaces the values by those of another estimator of the same map, m, d and sets (a new draw). Enqueues one write
 *  after the wait list and waits for it; the caller sees to it that nothing enqueued elsewhere still reads the weights.
 *  Errors: INVALID_ARGUMENT, MISMATCH, OUT_OF_MEMORY, OPENCL. */
CLFAVOR_API clfavor_status clfavor_weights_update(clfavor_weights *weights, const clfavor_estimator *estimator,
                                                  cl_command_queue queue, cl_uint num_events,
                                                  const cl_event *wait_list);
/** Gives weights back. NULL is fine. */
CLFAVOR_API void clfavor_weights_destroy(clfavor_weights *weights);

/* --------------------------------------------------------------------------------------------------------- tensor */

/** Type of a tensor's elements. */
typedef enum clfavor_dtype {
    CLFAVOR_F32 = 0, /**< float */
    CLFAVOR_F16 = 1, /**< reserved: UNSUPPORTED until built */
    CLFAVOR_BF16 = 2 /**< reserved: UNSUPPORTED until built */
} clfavor_dtype;

/** A strided view [batch, head, token, last axis] of a buffer. The last axis is contiguous. Strides count elements and
 *  may be 0 for inputs (broadcast). lse and sign have no last axis. */
typedef struct clfavor_tensor {
    cl_mem buffer;                                    /**< or a sub-buffer; NULL: not given */
    size_t offset;                                    /**< bytes; a multiple of the element size */
    clfavor_dtype dtype;                              /**< F32 only so far */
    uint64_t stride_batch, stride_head, stride_token; /**< elements */
} clfavor_tensor;

/** The dense float32 tensor [batch, heads, n, last] at the start of buffer; last = 1 for lse and sign. */
CLFAVOR_API clfavor_tensor clfavor_tensor_dense(cl_mem buffer, uint64_t heads, uint64_t n, uint64_t last);

/* ----------------------------------------------------------------------------------------------------------- plan */

/** The kernels for one device and kind of work, ready to be enqueued, any number of times and from any thread. */
typedef struct clfavor_plan clfavor_plan;

/** What a plan does. */
typedef enum clfavor_operation {
    CLFAVOR_OP_ATTENTION = 0,      /**< linear attention with random features */
    CLFAVOR_OP_EXACT = 1,          /**< softmax attention, exact, O(n n_k) */
    CLFAVOR_OP_FEATURES_QUERY = 2, /**< the feature matrix of queries */
    CLFAVOR_OP_FEATURES_KEY = 3    /**< the feature matrix of keys */
} clfavor_operation;

/** What clfavor_plan_create makes a plan for. */
typedef struct clfavor_plan_desc {
    size_t struct_size;
    clfavor_operation operation; /**< 0: ATTENTION */
    clfavor_map map;             /**< ignored by EXACT */
    uint32_t features;           /**< m (rows of the projection; d or 0 for elu); ignored by EXACT */
    uint32_t dim;                /**< d, 1..256 */
    uint32_t value_dim;          /**< dv, 1..256; 0: d; ignored by FEATURES_* */
    clfavor_dtype dtype;         /**< of all tensors; F32 only so far */
    uint32_t causal;             /**< 1: row i sees keys 0..i only; ATTENTION and EXACT */
    uint32_t chunk;              /**< tokens a chunk; 0: chosen; rounded up to what the kernels need (see the info),
                                      except causal and fused, where it is the tuning row's `rows` */
    uint32_t pieces;             /**< parts a head is split into: key ranges, or features when causal; 0: chosen */
    uint64_t max_batch;          /**< 0: 1 */
    uint64_t max_heads;          /**< query heads; 0: 1 */
    uint64_t max_n;              /**< tokens (n and n_k); 0: 2^40 */
    size_t workspace_limit;      /**< bytes; 0: 64 MiB */
    uint32_t exact_keys;  /**< T: keys of each state that are treated exactly, 0..65536; ATTENTION that is not causal
                               (which keys are heavy depends on later queries) with positive, hyperbolic or exponential
                               features. Costs what T more features would, or less */
    uint32_t corrections; /**< 1: calls bring corrections of the values (clfavor_fit_values); where exact_keys may be */
    clfavor_backend backend; /**< ATTENTION of the gpu class; what is asked for and cannot be had is UNSUPPORTED */
} clfavor_plan_desc;

/** Builds (or finds in the context) the programs and makes the kernels. Holds no values of a projection.
 *  Errors: INVALID_ARGUMENT, INVALID_SHAPE, UNSUPPORTED (dtype), WORKSPACE (limit too low), BUILD_FAILED, SOURCE,
 *  OUT_OF_MEMORY, OPENCL. */
CLFAVOR_API clfavor_status clfavor_plan_create(clfavor_plan **out, clfavor_context *context,
                                               const clfavor_plan_desc *desc);
/** Gives a plan back. NULL is fine. */
CLFAVOR_API void clfavor_plan_destroy(clfavor_plan *plan);

/** What a plan needs and chose. */
typedef struct clfavor_plan_info {
    size_t struct_size;      /**< set by the caller before the call */
    size_t workspace_size;   /**< bytes that an enqueue needs at most; does not grow with n */
    uint32_t chunk;          /**< tokens, as used */
    uint32_t pieces;         /**< as used */
    uint32_t features;       /**< F: columns of the feature matrix */
    uint32_t programs_built; /**< by this plan; 0 when all were in the context's cache */
    double build_seconds;    /**< spent in the OpenCL compiler for this plan */
    clfavor_backend backend; /**< as used; AUTO for what has one way only */
} clfavor_plan_info;
/** Fills *info as far as info->struct_size goes. Errors: INVALID_ARGUMENT. */
CLFAVOR_API clfavor_status clfavor_plan_get_info(const clfavor_plan *plan, clfavor_plan_info *info);

/* -------------------------------------------------------------------------------------------------------- enqueue */

/** The tensors and sizes of one call. */
typedef struct clfavor_attention_args {
    size_t struct_size;
    const clfavor_weights *weights; /**< NULL for EXACT */
    uint64_t batch, heads;          /**< B, H; 0: 1 */
    uint64_t heads_kv;              /**< H_kv, divides H; 0: H */
    uint64_t n, n_k;                /**< tokens, at least 1; n_k 0: n; equal when causal (EXACT: see query_step) */
    clfavor_tensor q;               /**< [B, H, n, d] */
    clfavor_tensor k;               /**< [B, H_kv, n_k, d] */
    clfavor_tensor v;               /**< [B, H_kv, n_k, dv] */
    clfavor_tensor o;               /**< [B, H, n, dv], written */
    clfavor_tensor lse;             /**< [B, H, n] log |sum_j A_ij|, natural, -inf for a zero sum; optional */
    clfavor_tensor sign;            /**< [B, H, n] +1, 0 or -1: the sign of sum_j A_ij; optional */
    double scale;                   /**< EXACT only: softmax scale; 0: 1/sqrt(d) */
    uint64_t query_start;           /**< EXACT causal only: row i sees keys 0 .. query_start + i query_step */
    uint64_t query_step;            /**< 0: 1 */
    cl_mem workspace;               /**< of the plan's workspace_size; may be NULL when that is 0 */
    size_t workspace_offset;        /**< bytes, a multiple of 128 */
    cl_mem key_lengths, cu_seqlens, state_in, state_out; /**< reserved: UNSUPPORTED unless NULL */
    clfavor_tensor
        exact_keys; /**< for a plan with exact_keys T: the keys j for which A_ij = exp(q_i.k_j scale) exactly
                         in place of the estimate. uint32 (dtype stays 0), [B, S, T] with S = max(H_kv, sets
                         of the weights) and one element a token, as clfavor_tensor_dense(buffer, S, T, 1);
                         an index >= n_k (UINT32_MAX) stands for none, and one that is repeated counts once */
    clfavor_tensor corrections; /**< for a plan with corrections: [B, S, F + T, dv], added to the mean value of each
                                   row: clfavor_fit_values */
} clfavor_attention_args;

/** Enqueues attention: O = D^-1 phi(Q) (phi(K)' V), or exact attention for a plan of EXACT. Never blocks, allocates or
 *  builds. The wait list gates the first launches; event (may be NULL) completes after the last one; out-of-order
 *  queues work. Parameter sets: weights with 1, H_kv or H sets are accepted. After a failure the event covers what was
 *  enqueued (NULL if nothing was). The workspace must not be used by another call in flight.
 *  Errors: INVALID_ARGUMENT, INVALID_SHAPE, INVALID_TENSOR, OVERLAP, MISMATCH, UNSUPPORTED, WORKSPACE, OPENCL. */
CLFAVOR_API clfavor_status clfavor_enqueue_attention(clfavor_plan *plan, const clfavor_attention_args *args,
                                                     cl_command_queue queue, cl_uint num_events,
                                                     const cl_event *wait_list, cl_event *event);

/** The tensors and sizes of one call. */
typedef struct clfavor_features_args {
    size_t struct_size;
    const clfavor_weights *weights; /**< of the plan's map, m and d */
    uint64_t batch, heads;          /**< of x; 0: 1. The weights have 1 or `heads` sets */
    uint64_t n;                     /**< tokens, at least 1 */
    clfavor_tensor x;               /**< [B, heads, n, d] queries or keys */
    clfavor_tensor features;  /**< [B, heads, n, F], written; includes 1/sqrt(m) (hyperbolic: 1/sqrt(2m); elu: none) */
    clfavor_tensor log_scale; /**< natural log, written: phi = features * exp(log_scale). Queries: [B, heads, n]. Keys:
                                   [B, heads, F] with the feature in the place of the token; [B, heads, 1] for trig,
                                   trig-phase and gaussian. -inf where all features are 0 */
    cl_mem workspace;         /**< of the plan's workspace_size; may be NULL when that is 0 */
    size_t workspace_offset;  /**< bytes, a multiple of 128 */
} clfavor_features_args;

/** Enqueues the feature matrix; a plan of FEATURES_QUERY or FEATURES_KEY. Otherwise as clfavor_enqueue_attention. */
CLFAVOR_API clfavor_status clfavor_enqueue_features(clfavor_plan *plan, const clfavor_features_args *args,
                                                    cl_command_queue queue, cl_uint num_events,
                                                    const cl_event *wait_list, cl_event *event);

/* ------------------------------------------------------------------------------------------------------ reference */

/** The same in double on the host, plainly written, one token at a time: what the kernels are tested against. All
 *  arrays are dense and owned by the caller. */
typedef struct clfavor_reference_args {
    size_t struct_size;
    uint64_t batch, heads, heads_kv, n, n_k; /**< 0: 1, 1, heads, -, n */
    uint32_t dim, value_dim;                 /**< value_dim 0: dim */
    uint32_t causal;                         /**< 1: row i sees keys 0..i only */
    double scale;                            /**< exact only; 0: 1/sqrt(d) */
    const double *q, *k, *v;                 /**< [B, H, n, d], [B, H_kv, n_k, d], [B, H_kv, n_k, dv] */
    double *o;                               /**< [B, H, n, dv]; may be NULL */
    double *lse, *sign;                      /**< [B, H, n]; may be NULL */
    double *abs_sum;            /**< [B, H, n] log of sum_j sum_r |phi_r(x_i) phi_r(y_j)|: with lse it gives the
                                     cancellation of signed maps; may be NULL; exact: equals lse */
    const uint32_t *exact_keys; /**< [B, max(H_kv, sets), exact_count] as in clfavor_attention_args; may be NULL */
    uint32_t exact_count;       /**< T */
    const float *corrections;   /**< [B, max(H_kv, sets), F + exact_count, dv]; may be NULL; not causal */
} clfavor_reference_args;

/** Attention of an estimator. Errors: INVALID_ARGUMENT, INVALID_SHAPE, MISMATCH, UNSUPPORTED (exact keys or corrections
 *  where they cannot be), OUT_OF_MEMORY. */
CLFAVOR_API clfavor_status clfavor_reference_attention(const clfavor_estimator *estimator,
                                                       const clfavor_reference_args *args);
/** Softmax attention. Errors: as above. */
CLFAVOR_API clfavor_status clfavor_reference_exact(const clfavor_reference_args *args);
/** log |phi| and sign of the features of one token, F of each, for parameter set `set`; key != 0: the key's. x [d] is
 *  q or k, unscaled. 1/sqrt(m) is included. */
CLFAVOR_API clfavor_status clfavor_reference_features(const clfavor_estimator *estimator, uint32_t set, int key,
                                                      const double *x, double *log_abs, double *sign);

#ifdef __cplusplus
}
#endif
#endif
