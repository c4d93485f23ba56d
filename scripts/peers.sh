#!/bin/sh
# Makes a virtual environment with the benchmark's peers in Python (bench/peers/README.md) and prints the line that uses
# it. What is there already is left alone. Usage: peers.sh [FOLDER], build/peers by default. Needs python3 with venv,
# a C++ compiler and the network; PIP_FIND_LINKS may name a folder of wheels. PYTHON chooses the python3 to start from.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/build/peers}
torch=2.15.0
# Later versions of local-attention ask for further packages. setuptools brings distutils, which performer-pytorch imports
# and Python has no more from 3.12 on.
packages="numpy==2.4.6 filelock typing-extensions setuptools==80.9.0 wheel sympy networkx jinja2 MarkupSafe mpmath fsspec
    packaging einops==0.8.2 local-attention==1.9.0 axial-positional-embedding==0.2.1 performer-pytorch==1.1.4"
fast_transformers=0.4.0

say() { echo "peers: $*" >&2; }
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=$folder/bin/python
log=$folder/peers.log

# Quiet where it works; the log's end where it does not.
quietly() {
    "$@" >>"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        say "failed: $* (all of it is in $log)"
        exit 1
    }
}
pip() { "$python" -m pip --disable-pip-version-check "$@"; }
has() { "$python" -W ignore -c "$1" >>"$log" 2>&1; }

# The package on PyPI with what the dynamic linker or the last lines of an import named, as torch $torch wants it.
cuda_package() {
    case $1 in
    *nvshmem*) echo nvidia-nvshmem-cu13==3.7.2 ;;
    *nccl*) echo nvidia-nccl-cu13==2.30.7 ;;
    *libcudnn*) echo nvidia-cudnn-cu13==9.26.0.51 ;;
    *libcusparseLt*) echo nvidia-cusparselt-cu13==0.8.1 ;;
    *libcusparse*) echo 'cuda-toolkit[cusparse]==13.2.2' ;;
    *libcusolver*) echo 'cuda-toolkit[cusolver]==13.2.2' ;;
    *libcublas*) echo 'cuda-toolkit[cublas]==13.2.2' ;;
    *libcudart*) echo 'cuda-toolkit[cudart]==13.2.2' ;;
    *libcupti*) echo 'cuda-toolkit[cupti]==13.2.2' ;;
    *libcufft*) echo 'cuda-toolkit[cufft]==13.2.2' ;;
    *libcufile*) echo 'cuda-toolkit[cufile]==13.2.2' ;;
    *libnvrtc*) echo 'cuda-toolkit[nvrtc]==13.2.2' ;;
    *libnvJitLink*) echo 'cuda-toolkit[nvjitlink]==13.2.2' ;;
    esac
}

# The CPU build where its index can be reached. PyPI's build for Linux is one for CUDA, which does not even load without
# CUDA's libraries: only those that this machine lacks are installed.
install_torch() {
    say "installing torch $torch (200 to 600 MB)"
    pip install --no-deps --retries 0 --timeout 10 --index-url https://download.pytorch.org/whl/cpu "torch==$torch" \
        >>"$log" 2>&1 || quietly pip install --no-deps "torch==$torch"
    tries=0
    until has 'import torch'; do
        tries=$((tries + 1))
        package=$(cuda_package "$(tail -n 1 "$log")")
        if [ -z "$package" ] || [ $tries -gt 20 ]; then
            tail -n 5 "$log" >&2
            say "torch $torch does not load; see $log"
            exit 1
        fi
        say "torch asks for $package"
        quietly pip install "$package"
    done
}

# Its setup.py compiles for CUDA wherever it finds nvcc, for an architecture that no recent one knows, and six extensions
# that no peer uses.
install_fast_transformers() {
    say "compiling the causal product of pytorch-fast-transformers $fast_transformers (a minute)"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    quietly pip download --no-deps --no-binary :all: --no-build-isolation -d "$work" \
        "pytorch-fast-transformers==$fast_transformers"
    quietly tar -xzf "$work/pytorch-fast-transformers-$fast_transformers.tar.gz" -C "$work"
    source=$work/pytorch-fast-transformers-$fast_transformers
    sed -e 's/if cuda_toolkit_available():/if False:/' \
        -e 's/ext_modules=get_extensions()/ext_modules=[e for e in get_extensions() if "causal_product" in e.name]/' \
        "$source/setup.py" >"$work/setup.py"
    mv "$work/setup.py" "$source/setup.py"
    quietly pip install --no-deps --no-build-isolation "$source"
}

: >"$log"
[ -x "$python" ] || quietly "${PYTHON:-python3}" -m venv "$folder"
# shellcheck disable=SC2086 # a list of names
quietly pip install --no-deps $packages
has "import torch; assert torch.__version__.split('+')[0] == '$torch'" || install_torch
quietly "$python" -W ignore -c 'from performer_pytorch.performer_pytorch import softmax_kernel'
if ! has 'from fast_transformers.causal_product import causal_dot_product'; then
    install_fast_transformers
    quietly "$python" -W ignore -c 'from fast_transformers.causal_product import causal_dot_product'
fi
say "ready; use it with"
echo "CLFAVOR_BENCH_PYTHON=$python"
