#!/bin/sh
# Fuzzes the model reader, the planner and the kernels, and the readers of what people write for the simulator, under ASan and UBSan.
#
#     native/fuzz/run.sh [seconds] [build folder]
#
# Three programs read models: with the checksum as it ships, without it, which gets deeper, and without it the reader alone, which
# is many times quicker. Their objects differ in exec/ alone, so kernels and core are compiled once. All that is built runs side
# by side, each for that long. The corpus is made of our own files.
set -eu
seconds=${1:-120}
here=$(cd "$(dirname "$0")" && pwd)
build=${2:-$here/../../build/fuzz}
native=$here/..
python=${PYTHON:-python3}
mkdir -p "$build/corpus" "$build/crashes" "$build/faults"
for kind in small operators more kept; do
    "$python" "$here/../../tests/native/make_model.py" "$kind" "$build/corpus/$kind.cambricon"
done
"$python" "$here/../../tests/native/make_model.py" operators "$build/corpus/operators1.cambricon" --seed 1
"$python" "$here/../../tests/native/make_model.py" more "$build/corpus/more1.cambricon" --seed 1
"$python" "$here/../../tests/native/make_model.py" random "$build/corpus" --count 40
cp "$here"/../sim/faults.example.toml "$here"/../sim/profiles/*.toml "$build/faults"

build_objects() { # build_objects VARIANT DEFINE TARGET...
    variant=$1 define=$2
    shift 2
    cmake -S "$native" -B "$build/objects-$variant" -DSIM_TESTS=OFF -DSIM_WERROR=OFF -DCMAKE_C_COMPILER=clang \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS_RELWITHDEBINFO="-g -O1 -DNDEBUG" -DCMAKE_C_FLAGS="$define" \
        -DSIM_SANITIZE=fuzzer-no-link,address,undefined >/dev/null
    cmake --build "$build/objects-$variant" --target "$@" --parallel "$(getconf _NPROCESSORS_ONLN)" >/dev/null
}
objects() { # objects VARIANT FOLDER: those of a floor
    find "$build/objects-$1" -name '*.c.o' -path "*$2*"
}
link() { # link NAME ARGUMENT...
    name=$1
    shift
    clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined "$@" -lm -lpthread -o "$build/fuzz-$name"
}
pids="" names=""
# Whoever ends this ends all of them.
trap 'test -z "$pids" || kill $pids 2>/dev/null || :' EXIT
trap 'exit 143' HUP INT TERM
start() { # start NAME FOLDER OPTION...
    name=$1 folder=$2
    shift 2
    "$build/fuzz-$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -artifact_prefix="$build/crashes/" \
        -print_final_stats=1 "$@" "$folder" >"$build/$name.log" 2>&1 &
    pids="$pids $!" names="$names $name"
}

build_objects checked "" sim_exec sim_kernels sim_core
build_objects unchecked "-DSIM_FUZZ_WITHOUT_CRC" sim_exec
includes="-I$native/sim/exec -I$native/sim/kernels"
# shellcheck disable=SC2046,SC2086
{
    link checked $includes "$here/fuzz_model.c" $(objects checked sim_exec) $(objects checked sim_kernels)
    link unchecked $includes "$here/fuzz_model.c" $(objects unchecked sim_exec) $(objects checked sim_kernels)
    link reader $includes -DSIM_FUZZ_READER_ALONE "$here/fuzz_model.c" $(objects unchecked sim_exec) \
        $(objects checked sim_kernels)
    link faults "-I$native/sim" "-I$native/include" "$here/fuzz_faults.c" $(objects checked "")
}
start checked "$build/corpus" -max_len=65536
start unchecked "$build/corpus" -max_len=65536
start reader "$build/corpus" -max_len=8192
start faults "$build/faults" -max_len=4096 -dict="$here/toml.dict" # what people write
status=0
for pid in $pids; do
    wait "$pid" || status=$?
done
pids=""
for name in $names; do
    cat "$build/$name.log"
done
exit "$status"
