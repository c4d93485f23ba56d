"""The peers of the benchmark that live in Python: one process that runs them all on the same inputs.

Usage: peers.py FOLDER. The folder holds inputs.json (heads, n, dim, features, causal, threads), q.f32, k.f32 and v.f32
([heads][n][dim]) and w.f64 ([features][dim]), all raw and in the machine's byte order.

Standard input takes one command a line, standard output gives one line of JSON for each:
    list         {"peers": [{"name": ..., "computes": "exact" or "linear"}], "missing": [line for a person, ...]}
    run NAME     {"seconds": ...}, of the computation alone
    result NAME  {"written": true} once the output of its last run is in FOLDER/result.f32
    quit         {} and the end
Whatever fails answers {"error": ...}. The folder is removed at the end of the input, also when the parent died.
"""
import gc
import json
import os
import shutil
import sys
import time

# The time that idle OpenMP threads go on spinning, with a margin: they would disturb whatever is measured next.
REST = 0.02


class Inputs:
    def __init__(self, folder):
        import torch
        with open(os.path.join(folder, "inputs.json"), encoding="ascii") as file:
            shape = json.load(file)
        self.causal = shape["causal"]
        torch.set_num_threads(shape["threads"])
        heads, n, dim, features = (shape[key] for key in ("heads", "n", "dim", "features"))

        def load(name, dtype, *sizes):
            count = 1
            for size in sizes:
                count *= size
            path = os.path.join(folder, name)
            values = torch.from_file(path, shared=False, size=count, dtype=dtype).clone()
            os.remove(path)
            return values.reshape(sizes)

        self.q, self.k, self.v = (load(name + ".f32", torch.float32, 1, heads, n, dim) for name in "qkv")
        self.w = load("w.f64", torch.float64, features, dim).float()


def torch_sdpa(i):
    from torch.nn.functional import scaled_dot_product_attention
    return lambda: scaled_dot_product_attention(i.q, i.k, i.v, is_causal=i.causal)


# eps is 0 in the three that follow, in place of the package's 1e-4 and 1e-6: with those the output is near the mean of
# the values at usual shapes, and no longer comparable. The time is the same.

def features(i):
    from performer_pytorch.performer_pytorch import softmax_kernel

    def both():
        return (softmax_kernel(i.q, projection_matrix=i.w, is_query=True, eps=0.0),
                softmax_kernel(i.k, projection_matrix=i.w, is_query=False, eps=0.0))
    return both


def performer(i):
    from performer_pytorch.performer_pytorch import linear_attention
    both = features(i)
    return lambda: linear_attention(*both(), i.v)


def performer_causal(i):
    from performer_pytorch.performer_pytorch import causal_linear_attention_noncuda
    both = features(i)
    return lambda: causal_linear_attention_noncuda(*both(), i.v, eps=0.0)


def fast_transformers(i):
    import fast_transformers.causal_product  # here, so that a missing one is found before it is run
    from performer_pytorch.performer_pytorch import causal_linear_attention
    assert fast_transformers.causal_product.causal_dot_product
    both = features(i)
    return lambda: causal_linear_attention(*both(), i.v, eps=0.0)


BOTH_WAYS = (False, True)
PEERS = (  # name, computes, causal or not, packages, how to make it
    ("torch-sdpa", "exact", BOTH_WAYS, "torch", torch_sdpa),
    ("performer-pytorch", "linear", (False,), "torch performer-pytorch", performer),
    ("performer-pytorch-causal", "linear", (True,), "torch performer-pytorch", performer_causal),
    ("fast-transformers", "linear", (True,), "torch performer-pytorch pytorch-fast-transformers", fast_transformers),
)


class Server:
    def __init__(self, folder):
        self.folder = folder
        self.runs = {}
        self.outputs = {}  # of each one's last run
        self.found, self.missing = [], []
        with open(os.path.join(folder, "inputs.json"), encoding="ascii") as file:
            causal = json.load(file)["causal"]
        inputs = None
        for name, computes, ways, packages, make in PEERS:
            if causal not in ways:
                continue
            try:
                inputs = inputs or Inputs(folder)
                self.runs[name] = make(inputs)
                self.found.append({"name": name, "computes": computes})
            except Exception as error:  # a package that is broken is not there either
                self.missing.append(f"{name}: pip install {packages} ({type(error).__name__}: {error})")

    def list(self):
        return {"peers": self.found, "missing": self.missing}

    def run(self, name):
        import torch
        self.outputs.pop(name, None)
        gc.collect()
        gc.disable()
        try:
            with torch.no_grad():
                start = time.perf_counter()
                output = self.runs[name]()
                seconds = time.perf_counter() - start
        finally:
            gc.enable()
        self.outputs[name] = output
        time.sleep(REST)
        return {"seconds": seconds}

    def result(self, name):
        import torch
        output = self.outputs[name]
        path = os.path.join(self.folder, "result.f32")
        if os.path.exists(path):
            os.remove(path)
        torch.from_file(path, shared=True, size=output.numel(), dtype=torch.float32).copy_(output.flatten())
        return {"written": True}


def serve(folder, answers):
    server = Server(folder)
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            if command == "quit":
                answer = {}
            else:
                answer = {"list": server.list, "run": server.run, "result": server.result}[command](*arguments)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(answer), file=answers, flush=True)
        if command == "quit":
            break


def main():
    folder = sys.argv[1]
    # Packages may print what they like, but not between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    try:
        serve(folder, answers)
    except BrokenPipeError:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
