#!/bin/sh
# Compiles the kernels for GPUs, without one, with the compilers of their vendors as far as they can be had, and prints a
# table of what became of them: registers, spills, memory, occupancy, and the hot loop's instructions. Fails if a
# compiler rejects a kernel, or if one spills or uses private memory beyond what scripts/vendors/known.txt allows, or
# does not keep to scripts/vendors/bounds.txt.
# Usage: vendors.sh [--quick] [TABLE.md]
#   --quick     one variant a kernel, tuning row and target
#   TABLE.md    also writes the table there, with an explanation
# CLFAVOR_VENDORS is the folder for compilers (build/vendors), CLFAVOR_LLVM the version of LLVM (16).
# shellcheck disable=SC2317 # functions are called by names that are put together
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
kernels=$root/kernels
scripts=$root/scripts
tools=${CLFAVOR_VENDORS:-$root/build/vendors}
llvm=${CLFAVOR_LLVM:-16}
group=64 # work-items a group that occupancy is computed for, unless a kernel requires others
ptxas_wheel=nvidia-cuda-nvcc-cu12==12.9.86   # later ones do not know sm_70
nvdisasm_wheel=nvidia-cuda-nvdisasm==13.5.37 # does not know sm_70

quick=0 table=''
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    -*)
        sed -n 's/^# \(Usage.*\)/\1/p' "$0" >&2
        exit 2
        ;;
    *) table=$1 ;;
    esac
    shift
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
log=$work/log
: >"$log"
: >"$work/records"
: >"$work/skipped"
: >"$work/cpu"
: >"$work/failed"

say() { echo "vendors: $*" >&2; }
quietly() { "$@" >>"$log" 2>&1; }
setup() { quietly sh "$scripts/setup.sh" "$@"; }

# The sizes of the shipped tuning rows that count for a vendor's devices, GROUP ROWS FEATURES COLUMNS STEP: its own, or
# the default; and those for devices that are too small for it.
tuning_rows() {
    rows=$root/src/tuning_rows.c
    grep -i "ROW(\"$1\"" "$rows" || grep 'ROW(NULL, NULL, NULL' "$rows"
    sed -n '/clfavor_tuning_small/,$p' "$rows"
}

# The variants, one a line: the kernel file, then the options that src/plan.c and the backends give it; the first of a
# file (and KEY) is what --quick compiles and whose hot loop is counted. Argument: the vendor. Families: 0 exponential, 1 trig, 2 trig-phase,
# 3 relu, 4 elu; GENERAL, EXACT and CORRECT go with the exponential alone, the last two not with causal.
variants() {
    options() { echo "FAMILY=$1 GENERAL=$2 EXACT=$3 CORRECT=$4 DIM=$5 VALUE_DIM=64 VL=1 PANEL=16"; }
    staged() { echo "gpu_staged.cl $(options "$@")"; }
    fused() {
        step=$steps
        while [ "$step" -gt 4 ] && [ "$step" -ge "$5" ]; do step=$((step / 2)); done # as step_of of src/gpu_fused.c
        for part in keys queries causal; do
            [ "$part" = causal ] && [ "$3$4" != 00 ] || echo "gpu_fused_$part.cl $(options "$@") VECTOR=$(($5 % 4 == 0)) $tiles STEP=$step"
        done
    }
    exact() { echo "gpu_exact.cl DIM=$1 VALUE_DIM=64 VL=1 KEYS=16 COLUMNS=32"; }
    features() { echo "features.cl KEY=$1 FAMILY=$2 GENERAL=$3 DIM=$4 VL=1 PANEL=16 TOKENS=1 GROUP=1"; }
    tuning_rows "$1" | sed -n 's/.*SIZES(\([0-9][0-9, ]*\)).*/\1/p' | tr -d , | awk '!seen[$0]++' >"$work/rows"
    first=1
    while read -r items tokens features columns steps; do
        tiles="GROUP=$items ROWS=$tokens FEATURES=$features COLUMNS=$columns"
        fused 0 0 0 0 64
        [ $quick = 0 ] || continue
        fused 0 1 1 1 64
        for family in 1 2 3 4; do fused $family 0 0 0 64; done
        [ "$first" = 1 ] || continue # the small tiles of the last resort: no more than that
        first=0
        for flags in '0 1 0' '1 0 0'; do
            # shellcheck disable=SC2086 # three words
            fused 0 $flags 64
        done
        for dim in 13 128; do fused 0 0 0 0 $dim; done
    done <"$work/rows"
    staged 0 0 0 0 64
    exact 64
    features 0 0 0 64
    features 1 0 0 64
    [ $quick = 0 ] || return 0
    staged 0 1 1 1 64
    for family in 1 2 3 4; do
        staged $family 0 0 0 64
        features 0 $family 0 64
        features 1 $family 0 64
    done
    features 0 0 1 64
    features 1 0 1 64
    for dim in 13 128; do
        staged 0 0 0 0 $dim
        exact $dim
        features 0 0 0 $dim
        features 1 0 1 $dim
    done
}

# The cpu class only has to be accepted: file, then options.
cpu_variants() {
    for shape in 'VL=8 PANEL=16 CHUNK=48' 'VL=4 PANEL=8 CHUNK=24' 'VL=16 PANEL=32 CHUNK=64'; do
        echo "cpu_attention.cl FAMILY=0 GENERAL=1 EXACT=1 CORRECT=1 DIM=64 VALUE_DIM=64 $shape CAUSAL=0"
        echo "cpu_exact.cl DIM=64 VALUE_DIM=64 KEYS=72 ${shape%% *}"
        [ $quick = 0 ] || return 0
        for family in 0 1 2 3 4; do
            echo "cpu_attention.cl FAMILY=$family GENERAL=0 EXACT=0 CORRECT=0 DIM=13 VALUE_DIM=64 $shape CAUSAL=1"
        done
    done
}

# --- Compilers. have_VENDOR gets them, or says why not; compile_VENDOR TARGET FILE OUT OPTION... compiles, with what the
# --- compiler says in OUT.log; records_VENDOR TARGET FILE VARIANT OUT prints records; accept_VENDOR FILE OPTION... is
# --- the front end alone. Functions in parentheses keep their variables to themselves.

# Debian's and Ubuntu's LLVM. Its clang is the front end of two vendors.
have_llvm() {
    command -v "clang-$llvm" >/dev/null && command -v "llvm-link-$llvm" >/dev/null && return 0
    setup "clang-$llvm" "llvm-$llvm" && command -v "clang-$llvm" >/dev/null && command -v "llvm-link-$llvm" >/dev/null
}

clang() {
    "clang-$llvm" -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -D__OPENCL_VERSION__=120 -O3 -I "$kernels" "$@"
}

# wheel FOLDER PACKAGE PROGRAM: prints the program's path, from the cache, the package or PATH.
wheel() {
    path=$(find "$tools/$1" -name "$3" -path '*/bin/*' -type f 2>/dev/null | head -n 1)
    if [ -z "$path" ]; then
        python3 -m pip --version >/dev/null 2>&1 || setup python3 python3-pip || :
        quietly python3 -m pip install --disable-pip-version-check --root-user-action ignore --no-deps \
            --target "$tools/$1" "$2" || :
        path=$(find "$tools/$1" -name "$3" -path '*/bin/*' -type f 2>/dev/null | head -n 1)
    fi
    [ -n "$path" ] || path=$(command -v "$3") || return 1
    [ -x "$path" ] || chmod +x "$path"
    echo "$path"
}

have_nvidia() {
    have_llvm || { missing="clang-$llvm and llvm-$llvm" && return 1; }
    libclc() { find /usr/lib/clc /usr/share/clc /usr/lib/llvm-"$llvm" -name 'nvptx64--nvidiacl.bc' 2>/dev/null | head -n 1; }
    [ -n "$(libclc)" ] || setup "libclc-$llvm" || :
    builtins=$(libclc)
    [ -n "$builtins" ] || { missing=libclc && return 1; }
    ptxas=$(wheel ptxas "$ptxas_wheel" ptxas) || { missing=ptxas && return 1; }
    nvdisasm=$(wheel nvdisasm "$nvdisasm_wheel" nvdisasm) || { nvdisasm='' && say "no nvdisasm: no hot loops for NVIDIA"; }
}

# The PTX does not depend on the target; ptxas does the rest. FP_FAST_FMAF: every one of these GPUs multiplies and adds
# at once.
compile_nvidia() (
    target=$1 file=$2 out=$3
    shift 3
    ptx=$work/ptx.$(echo "$file" "$@" | cksum | cut -d ' ' -f 1)
    limit= # as src/gpu_fused.c asks for
    case $target:$file in
    sm_[89]*:*gpu_fused_*) limit=-maxrregcount=$((32768 / $(echo "$@" | sed 's/.*-DGROUP=\([0-9]*\).*/\1/'))) ;;
    esac
    [ "$limit" != -maxrregcount=512 ] || limit=
    [ -s "$ptx" ] || {
        clang -target nvptx64-nvidia-nvcl -DFP_FAST_FMAF=1 "$@" -emit-llvm -c -o "$out.bc" "$file" &&
            "llvm-link-$llvm" --only-needed --suppress-warnings "$out.bc" "$builtins" -o "$out.linked.bc" &&
            "opt-$llvm" -O3 "$out.linked.bc" -o "$out.opt.bc" &&
            "llc-$llvm" -O3 -mcpu=sm_70 -mattr=+ptx70 "$out.opt.bc" -o "$ptx"
    } >"$out.log" 2>&1 || return 1
    # shellcheck disable=SC2086 # one word or none
    ln -sf "$ptx" "$out.ptx" && "$ptxas" -v $limit -arch="$target" "$ptx" -o "$out.cubin" >>"$out.log" 2>&1
)

records_nvidia() (
    : >"$4.sass"
    [ -z "$nvdisasm" ] || "$nvdisasm" -c "$4.cubin" >"$4.sass" 2>/dev/null || : >"$4.sass"
    awk -f "$scripts/vendors/loops.awk" -f "$scripts/vendors/nvidia.awk" -v target="$1" -v file="$2" -v variant="$3" \
        -v group="$group" stage=ptx "$4.ptx" stage=log "$4.log" stage=sass "$4.sass"
)

accept_nvidia() (
    file=$1
    shift
    clang -target nvptx64-nvidia-nvcl -DFP_FAST_FMAF=1 "$@" -emit-llvm -c -o "$work/accepted" "$file"
)

have_amd() {
    have_llvm || { missing="clang-$llvm and llvm-$llvm" && return 1; }
    device_libs() {
        find /usr/lib "${ROCM_PATH:-/opt/rocm}" -path '*/bitcode/ocml.bc' 2>/dev/null | head -n 1 | sed 's,/[^/]*$,,'
    }
    [ -n "$(device_libs)" ] || setup rocm-device-libs || :
    bitcode=$(device_libs)
    [ -n "$bitcode" ] || { missing=rocm-device-libs && return 1; }
}

compile_amd() (
    target=$1 file=$2 out=$3
    shift 3
    case $target in
    gfx1*) wave64=off isa=1030 ;;
    *) wave64=on isa=${target#gfx} ;;
    esac
    for name in opencl ocml ockl oclc_correctly_rounded_sqrt_off oclc_daz_opt_off oclc_finite_only_off \
        oclc_unsafe_math_off oclc_wavefrontsize64_$wave64 oclc_abi_version_400 "oclc_isa_version_$isa"; do
        [ ! -e "$bitcode/$name.bc" ] || set -- "$@" -Xclang -mlink-builtin-bitcode -Xclang "$bitcode/$name.bc"
    done
    clang -target amdgcn-amd-amdhsa -mcpu="$target" -nogpulib "$@" -S -o "$out.s" "$file" >"$out.log" 2>&1
)

records_amd() (
    awk -f "$scripts/vendors/loops.awk" -f "$scripts/vendors/amd.awk" -v target="$1" -v file="$2" -v variant="$3" \
        -v group="$group" "$4.s"
)

accept_amd() (
    file=$1
    shift
    clang -target amdgcn-amd-amdhsa -mcpu=gfx906 -nogpulib "$@" -emit-llvm -c -o "$work/accepted" "$file"
)

# ocloc is in the package of Intel's OpenCL driver. That is unpacked, not installed: the driver would be one more
# platform of the tests. What it needs is installed; ocloc looks for the disassembler by a name of its own.
have_intel() {
    ocloc=$(command -v ocloc) && return 0
    missing="intel-opencl-icd (ocloc)"
    intel=$tools/intel
    if [ ! -x "$intel/usr/bin/ocloc" ]; then
        mkdir -p "$work/deb"
        command -v apt-get >/dev/null || return 1
        get() { (cd "$work/deb" && quietly apt-get -q download intel-opencl-icd); }
        get || { quietly apt-get -q update && get; } || return 1
        quietly dpkg -x "$work"/deb/*.deb "$intel" || return 1
    fi
    needs=$(apt-cache depends intel-opencl-icd 2>/dev/null | sed -n 's/^ *Depends: \(libig[a-z0-9.-]*\)$/\1/p' | sort -u)
    # shellcheck disable=SC2086 # a list of names
    setup $needs || return 1
    libraries=$(find "$intel/usr/lib" -name 'libocloc.so*' | head -n 1 | sed 's,/[^/]*$,,')
    iga=$(find /usr/lib -name 'libiga64.so.1' | head -n 1)
    [ -z "$iga" ] || ln -sf "$iga" "$libraries/libiga64.so"
    # shellcheck disable=SC2016 # for the other script
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "%s" "$@"\n' "$libraries" \
        "$intel/usr/bin/ocloc" >"$intel/ocloc"
    chmod +x "$intel/ocloc"
    ocloc=$intel/ocloc
    "$ocloc" --help >>"$log" 2>&1
}

compile_intel() (
    target=$1 file=$2 out=$3
    shift 3
    mkdir -p "$out.dump"
    # The smallest sub-group that the device has, as the library asks for.
    case $target in
    pvc) set -- "$@" -DSUB_GROUP=16 ;;
    *) set -- "$@" -DSUB_GROUP=8 ;;
    esac
    "$ocloc" compile -file "$file" -device "$target" -output "${out##*/}" -out_dir "${out%/*}" -output_no_suffix \
        --format zebin -options "-cl-std=CL1.2 -I$kernels $*" >"$out.log" 2>&1 || return 1
    quietly "$ocloc" disasm -file "$out" -device "$target" -dump "$out.dump"
    [ -s "$out.dump/.ze_info" ]
)

records_intel() (
    set -- "$1" "$2" "$3" "$4" stage=log "$4.log"
    for asm in "$4.dump"/.text.*.asm; do
        kernel=${asm##*/.text.}
        [ ! -e "$asm" ] || set -- "$@" stage=asm kernel="${kernel%.asm}" "$asm"
    done
    target=$1 file=$2 variant=$3 out=$4
    shift 4
    awk -f "$scripts/vendors/loops.awk" -f "$scripts/vendors/intel.awk" -v target="$target" -v file="$file" \
        -v variant="$variant" "$@" stage=info "$out.dump/.ze_info"
)

accept_intel() (
    file=$1
    shift
    "$ocloc" compile -file "$file" -device pvc -spv_only -output accepted -out_dir "$work" -output_no_suffix \
        -options "-cl-std=CL1.2 -I$kernels $*"
)

# --- The work.

fail() {
    say "$1"
    head -n 20 "$2" >&2
    echo "$1" >>"$work/failed"
}

# rejected FILE TARGET OPTIONS LOG
rejected() {
    if awk -v file="$1" -v target="$2" '$1 == file && $2 == target && $3 == "rejected" { found = 1 } END { exit !found }' \
        "$scripts/vendors/known.txt"; then
        grep -qx "$2 $1 is rejected, as known" "$work/skipped" && return 0
        say "$1 is rejected for $2, as known"
        echo "$2 $1 is rejected, as known" >>"$work/skipped"
    else
        fail "$1 is rejected for $2 ($3)" "$4"
    fi
}

# vendor NAME TARGET...
vendor() {
    name=$1
    shift
    if ! "have_$name"; then
        say "$name: $missing could not be had; its targets are left out"
        for target in "$@"; do echo "$target $missing could not be had" >>"$work/skipped"; done
        return 0
    fi
    echo '__kernel void probe(__global float *x) { x[get_global_id(0)] = 1.0f; }' >"$work/probe.cl"
    known=
    for target in "$@"; do
        mkdir -p "$work/$target"
        if "compile_$name" "$target" "$work/probe.cl" "$work/$target/probe"; then
            known="$known $target"
        else
            say "$target: this compiler does not know it; left out"
            echo "$target the compiler does not know it" >>"$work/skipped"
        fi
    done
    start=$(date +%s)
    variants "$name" >"$work/variants"
    number=0
    while read -r file options; do
        number=$((number + 1))
        defines=$(echo "$options" | sed 's/[^ ]*=/-D&/g')
        for target in $known; do
            out=$work/$target/$number
            # shellcheck disable=SC2086 # a list of options
            if "compile_$name" "$target" "$kernels/$file" "$out" $defines; then
                "records_$name" "$target" "$file" "$options" "$out" >>"$work/$target/records"
            else
                rejected "$file" "$target" "$options" "$out.log"
            fi
            rm -rf "$out" "$out".*
        done
    done <"$work/variants"
    for target in $known; do
        [ ! -e "$work/$target/records" ] || cat "$work/$target/records" >>"$work/records"
    done
    cpu_variants >"$work/variants"
    while read -r file options; do
        defines=$(echo "$options" | sed 's/[^ ]*=/-D&/g')
        # shellcheck disable=SC2086 # a list of options
        if "accept_$name" "$kernels/$file" $defines >"$work/accept.log" 2>&1; then
            echo "$name" >>"$work/cpu"
        else
            rejected "$file" "$name" "$options" "$work/accept.log"
        fi
    done <"$work/variants"
    say "$name:$known: $number variants in $(($(date +%s) - start)) s"
}

for path in "$kernels"/gpu_*.cl "$kernels"/features.cl; do
    variants nvidia | grep -q "^${path##*/} " || fail "${path##*/} has no variants in scripts/vendors.sh" /dev/null
done

vendor nvidia sm_70 sm_80 sm_90
vendor amd gfx906 gfx90a gfx1030 gfx1100
vendor intel tgllp dg2 pvc

all=1
[ $quick = 0 ] && ! grep -q ' could not be had$' "$work/skipped" || all=0
result=0
awk -v all="$all" -f "$scripts/vendors/table.awk" stage=bounds "$scripts/vendors/bounds.txt" \
    stage=known "$scripts/vendors/known.txt" \
    stage=skipped "$work/skipped" stage=records FS='\t' "$work/records" >"$work/table" || result=1
cat "$work/table"
[ ! -s "$work/skipped" ] || say "not everything could be compiled; see the table's last lines"

if [ -n "$table" ]; then
    how="$(variants nvidia | wc -l) variants a target"
    [ $quick = 0 ] || how="$how, --quick"
    {
        cat <<TEXT
# The kernels on GPUs, as their compilers see them

Made by \`sh scripts/vendors.sh docs/vendors.md\` ($how), which needs no GPU: do not edit. The kernels of the
gpu class are compiled with the options that the library gives them, for NVIDIA by clang $llvm and libclc to PTX and by
ptxas to machine code, for AMD by clang $llvm with ROCm's device libraries, for Intel by ocloc. The drivers' own front
ends may differ, but their back ends are these or close relatives, so this shows what to expect and, above all, whether
a change of a kernel makes it better or worse. A compiler that rejects a kernel makes the script fail, as do spilled
registers and private memory beyond what [known.txt](../scripts/vendors/known.txt) allows,
and a kernel that does not keep to [bounds.txt](../scripts/vendors/bounds.txt); the kernels of the cpu class
must pass the front ends ($(sort "$work/cpu" | uniq -c | awk '{ printf "%s%s: %d", n++ ? ", " : "", $2, $1 }') variants).

A row shows the worst of a kernel's variants (feature maps, options, d = 13 to 128). **Registers** are those of a
work-item on NVIDIA and AMD (vector registers; s: scalar ones, of a wave) and of a hardware thread on Intel. Spilled vector
registers go to memory, scalar ones (s) to lanes of vector registers, which costs time but no memory. **Private bytes**
are memory that a work-item (Intel: a hardware thread) uses for what has no place in registers. Local bytes are those a
kernel declares, not those it gets as an argument. **Occupancy** is computed for groups of $group work-items from
registers and local bytes: warps of a multiprocessor (NVIDIA), waves of a SIMD (AMD), threads of an execution unit
(Intel). The **hot loop** is, in the first variant (positive features, d = 64), the innermost loop with most multiply-adds
(FMA): its instructions without branches and waits, its FMA and its loads. An FMA share near 1 means that the loop
computes; few FMA a load mean that it waits for memory. A load may be as wide as 16 bytes, and counts once. "No loop":
the figures are those of the whole kernel. A dash: there is no disassembler for that target, or nothing to divide by.

TEXT
        cat "$work/table"
    } >"$work/file"
    mv "$work/file" "$table"
fi
[ ! -s "$work/failed" ] || result=1
exit $result
