#!/bin/sh
# Fuzzes the model reader, the planner and the kernels, and the readers of what people write for the simulator, under ASan and UBSan.
#
#     native/fuzz/run.sh [seconds] [build folder]
#
# Two builds: one with the checksum as it ships, one without it, which gets deeper; they differ in exec/ alone, so kernels and
# core are compiled once. The corpus is made of our own files.
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
for variant in checked unchecked; do
    define="" targets="sim_exec sim_kernels sim_core"
    [ "$variant" = checked ] || define="-DSIM_FUZZ_WITHOUT_CRC" targets="sim_exec"
    objects="$build/objects-$variant"
    cmake -S "$native" -B "$objects" -DSIM_TESTS=OFF -DSIM_WERROR=OFF -DCMAKE_C_COMPILER=clang \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS="-g $define" \
        -DSIM_SANITIZE=fuzzer-no-link,address,undefined >/dev/null
    # shellcheck disable=SC2086
    cmake --build "$objects" --target $targets --parallel >/dev/null
    # shellcheck disable=SC2046
    clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -I"$native/sim/exec" -I"$native/sim/kernels" \
        "$here/fuzz_model.c" $(find "$objects" -name '*.c.o' -path '*sim_exec*') \
        $(find "$build/objects-checked" -name '*.c.o' -path '*sim_kernels*') -lm -lpthread -o "$build/fuzz-$variant"
    "$build/fuzz-$variant" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=4096 \
        -artifact_prefix="$build/crashes/" -print_final_stats=1 "$build/corpus"
done
# What people write: a smaller grammar, so a smaller share of the time. The first objects do.
# shellcheck disable=SC2046
clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -I"$native/sim" -I"$native/include" \
    "$here/fuzz_faults.c" $(find "$build/objects-checked" -name '*.c.o') -lm -lpthread -ldl -o "$build/fuzz-faults"
"$build/fuzz-faults" -max_total_time="$((seconds / 3 + 1))" -max_len=4096 -timeout=20 -dict="$here/toml.dict" \
    -artifact_prefix="$build/crashes/" -print_final_stats=1 "$build/faults"
