#!/bin/sh
# Fuzzes the model reader, the planner and the kernels under ASan and UBSan.
#
#     native/fuzz/run.sh [seconds] [build folder]
#
# Two builds: one with the checksum as it ships, one without it, which gets deeper. The corpus is made of our own files.
set -eu
seconds=${1:-120}
here=$(cd "$(dirname "$0")" && pwd)
build=${2:-$here/../../build/fuzz}
native=$here/..
python=${PYTHON:-python3}
mkdir -p "$build/corpus" "$build/crashes"
for kind in small operators more; do
    "$python" "$here/../../tests/native/make_model.py" "$kind" "$build/corpus/$kind.cambricon"
done
"$python" "$here/../../tests/native/make_model.py" operators "$build/corpus/operators1.cambricon" --seed 1
"$python" "$here/../../tests/native/make_model.py" more "$build/corpus/more1.cambricon" --seed 1
"$python" "$here/../../tests/native/make_model.py" random "$build/corpus" --count 40
flags="-std=gnu11 -g -O1 -ffp-contract=off -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
for variant in checked unchecked; do
    define=""
    [ "$variant" = checked ] || define="-DSIM_FUZZ_WITHOUT_CRC"
    objects=""
    for source in "$native"/sim/exec/*.c "$native"/sim/kernels/*.c "$here/fuzz_model.c"; do
        name=$(basename "$source" .c)
        extra=""
        case $name in
            neon) [ "$(uname -m)" = aarch64 ] || continue ;;
            avx2 | avx2_dot) [ "$(uname -m)" = x86_64 ] || continue; extra="-mavx2 -mf16c -mno-fma" ;;
        esac
        # shellcheck disable=SC2086
        clang $flags $extra $define -I"$native/sim/exec" -I"$native/sim/kernels" -c "$source" -o "$build/$variant-$name.o"
        objects="$objects $build/$variant-$name.o"
    done
    # shellcheck disable=SC2086
    clang -fsanitize=fuzzer,address,undefined $objects -lm -lpthread -o "$build/fuzz-$variant"
    "$build/fuzz-$variant" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=4096 \
        -artifact_prefix="$build/crashes/" -print_final_stats=1 "$build/corpus"
done
