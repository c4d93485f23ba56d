#!/usr/bin/python3
"""Measures the figures of docs/errata.md and docs/numerics.md with the program, beside what the wrong forms give.

Usage: sh scripts/setup.sh python3-numpy && /usr/bin/python3 scripts/errata.py [build/bin/clfavor]
"""
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/bin/clfavor")
WORK = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(WORK.name, name + ".npy")


def clfavor(*words):
    subprocess.run([PROGRAM, *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def data(name):
    return os.path.join(ROOT, "data", name + ".npy")


def run(*words):
    """O of `clfavor run` on data/minilm-layer5."""
    files = [word for x in "qkv" for word in ("--" + x, data("minilm-layer5-" + x))]
    clfavor("run", *files, "--out", path("o"), *words)
    return np.load(path("o")).astype(float)


def features(x, role, *words):
    """phi in double, [n, F], by `clfavor features`."""
    np.save(path("x"), x.astype(np.float32))
    clfavor("features", "--x", path("x"), "--role", role, "--out", path("phi"), *words)
    scale = np.load(path("phi.logscale")).astype(float)
    return np.load(path("phi")).astype(float) * np.exp(scale[:, None] if role == "query" else scale[None, :])


def estimate(q, k, *words):
    """The estimate of the kernel for one pair, with 65,536 rows, and its standard error."""
    phi_q, phi_k = (features(x[None], role, "--features", 65536, *words)[0] for x, role in ((q, "query"), (k, "key")))
    terms = (phi_q * phi_k).reshape(-1, 65536).sum(0) * 65536  # one a row; trig and gaussian have cos and sin
    return terms.mean(), terms.std() / 256


def distance(a, b):
    """|a - b| of each head."""
    return np.linalg.norm(a - b, axis=(1, 2))


def relative(a, b):
    """|a - b| / |b|, the median over heads."""
    return np.median(distance(a, b) / distance(b, 0))


def attend(logits, v):
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p @ v / p.sum(-1, keepdims=True)


Q, K, V = (np.load(data("minilm-layer5-" + x)).astype(float) for x in "qkv")
D = Q.shape[-1]
X, Y = Q / D**0.25, K / D**0.25
EXACT = attend(X @ Y.transpose(0, 2, 1), V)
MEAN = np.broadcast_to(V.mean(1, keepdims=True), V.shape)

# One pair at d = 6, for the means of single estimates.
q6, k6 = np.array([0.9, -0.5, 0.3, 0.7, -0.2, 0.4]), np.array([0.5, 0.6, -0.4, 0.8, 0.3, -0.6])
x6, y6 = q6 / 6**0.25, k6 / 6**0.25
kernel, norms = math.exp(x6 @ y6), x6 @ x6 + y6 @ y6

print("== phases")
for what in ("gaussian", "trig-phase"):
    words = ("--projection", "iid", "--map", what)
    mean, error = estimate(q6, k6, *words, "--projection-out", path("w"))
    np.save(path("w.phase"), 0 * np.load(path("w.phase")))
    bare, bare_error = estimate(q6, k6, "--map", what, "--projection-in", path("w"))
    print(f"{what}: estimate / K = {mean / kernel:.4f} +- {error / kernel:.4f}, without phases {bare / kernel:.4f} +- "
          f"{bare_error / kernel:.4f}, relative difference {abs(bare / mean - 1):.0e}")
print(f"1 + exp(-2 x.y) = {1 + math.exp(-2 * x6 @ y6):.4f}")

print("== scaling and prefactor")
for what, words, expected in (("trig", ("--map", "trig"), kernel),
                              ("trig without d^(-1/4)", ("--map", "trig", "--scale", 1), math.exp(q6 @ k6)),
                              ("gaussian, no prefactor", ("--map", "gaussian"), kernel * math.exp(-norms / 2))):
    mean, error = estimate(q6, k6, "--projection", "iid", *words)
    print(f"{what}: estimate / K = {mean / kernel:.4f} +- {error / kernel:.4f}, expected {expected / kernel:.4f}")
print(f"softmax without d^(-1/4) against softmax: {relative(attend(Q @ K.transpose(0, 2, 1), V), EXACT):.2f}")
squares = (Y**2).sum(-1)[:, None, :]
print(f"the Gaussian kernel's attention against softmax: "
      f"{relative(attend(X @ Y.transpose(0, 2, 1) - squares / 2, V), EXACT):.2f}, mean(V): {relative(MEAN, EXACT):.2f}")

print("== QR without the sign fix")
BLOCKS = 10922  # of 6 rows: 65,532
rng = np.random.default_rng(0)
normal = rng.standard_normal((BLOCKS, 6, 6))
lengths = np.linalg.norm(rng.standard_normal((BLOCKS, 6, 6)), axis=2, keepdims=True)
unit, r = np.linalg.qr(normal)
signs = np.sign(np.diagonal(r, axis1=1, axis2=2))[:, :, None]
unit = unit.transpose(0, 2, 1)  # rows are the columns of Q
np.save(path("x"), k6[None].astype(np.float32))
clfavor("features", "--x", path("x"), "--role", "key", "--out", path("phi"), "--features", 6 * BLOCKS,
        "--projection-out", path("w"))
for what, w in (("LAPACK's Q", lengths * unit), ("with its signs", lengths * signs * unit),
                ("clfavor", np.load(path("w")).reshape(-1, 6, 6))):
    ratios = [np.exp(w @ np.full(6, z) - 0.75).mean(1) for z in (0.5, -0.5)]
    print(f"{what}: mean w_ii {np.diagonal(w, axis1=1, axis2=2).mean(0).round(2)}; estimate / K at z = +-(1, .., 1)/2: "
          + ", ".join(f"{x.mean():.3f} +- {x.std() / math.sqrt(BLOCKS):.3f}" for x in ratios))

print("== rows of length sqrt(d)")
clfavor("features", "--x", path("x"), "--role", "key", "--out", path("phi"), "--features", 6 * BLOCKS, "--projection",
        "orthogonal-fixed-norm", "--projection-out", path("w"))
w = np.load(path("w")).reshape(-1, 6, 6)
for s in (1, 2, 4):
    ratio = np.exp(w @ np.full(6, math.sqrt(s / 6)) - s / 2).mean(1)
    term, series = 1.0, 1.0
    for i in range(1, 60):
        term *= 6 * s / 4 / (i * (3 + i - 1))
        series += term
    print(f"s = {s}: estimate / K = {ratio.mean():.4f} +- {ratio.std() / math.sqrt(BLOCKS):.4f}, "
          f"0F1(; d/2; d s/4) e^(-s/2) = {series * math.exp(-s / 2):.4f}")

print("== eps")
M, SEEDS, SHOWN = 256, 5, (0.0, 1e-6, 1e-4)


def eps_outputs(x, y, w):
    """O with each eps, and the share of key features that are below it."""
    log_q, log_k = x @ w.T, y @ w.T - (y**2).sum(-1, keepdims=True) / 2
    # eps is added where performer-pytorch does: relative to the largest feature of a query, and to that of all keys
    phi_q, phi_k = (np.exp(t - t.max(axis, keepdims=True)) for t, axis in ((log_q, -1), (log_k, (1, 2))))
    outputs = []
    for eps in SHOWN:
        q, k = phi_q + eps, phi_k + eps
        outputs.append(q @ (k.transpose(0, 2, 1) @ V) / (q @ k.sum(1)[:, :, None]))
    return outputs, [np.mean(phi_k < eps) for eps in SHOWN]


for factor in (1, 1.5, 2):
    x, y = factor * X, factor * Y
    exact = attend(x @ y.transpose(0, 2, 1), V)
    figures = []
    for seed in range(SEEDS):
        own = run("--features", M, "--seed", seed, "--projection-out", path("w"))
        outputs, below = eps_outputs(x, y, np.load(path("w")))
        if factor == 1:
            print(f"seed {seed}: the program against eps = 0 in double: {relative(own, outputs[0]):.1e}")
        figures.append([(distance(o, exact) / distance(exact, 0), distance(o, outputs[0]) / distance(outputs[0], 0),
                         distance(o, MEAN) / distance(outputs[0], MEAN), np.full(len(V), share))
                        for o, share in zip(outputs, below)])
    # of each head the mean over seeds, then the median over heads
    for eps, (error, moved, left, share) in zip(SHOWN, np.median(np.mean(figures, axis=0), axis=2)):
        print(f"q, k x {factor}, eps = {eps:g}: {100 * share:.0f} % of the key features below, O moved by {moved:.3f}, "
              f"distance from mean(V) x {left:.3f}, error {error:.3f}")
