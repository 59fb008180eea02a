#!/bin/sh
# What proves the C library beyond its tests, each by one command. Needs, of Debian: cmake clang
# spin musl-tools gcc-aarch64-linux-gnu gcc-arm-linux-gnueabihf qemu-user-static.
#
#   check.sh compilers     gcc, clang and musl-gcc, warnings are errors; all tests under each
#   check.sh sanitizers    all tests under ASan + UBSan, and under TSan
#   check.sh cross         aarch64 and armhf, all tests under qemu (which proves code generation and
#                          layout, not memory ordering: qemu on x86-64 reorders as x86-64 does)
#   check.sh spin          the models, and that they notice each weakened ordering site
#   check.sh mutants       each ordering site weakened: a test or a model has to notice
#   check.sh fuzz [S]      each fuzzer for S seconds (default 20), from its corpus
#   check.sh soak          the tests with their full counts
#   check.sh all           everything but soak
#
# BUILD is where to build (default native/build-check); TESTS limits ctest (a regular expression).
set -eu
native=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$native/build-check}
clang=${CLANG:-$(command -v clang || command -v clang-14)}

# NAME OPTION...: builds, then runs the tests.
tested() {
    name=$1
    shift
    cmake -S "$native" -B "$build/$name" "$@" >/dev/null
    cmake --build "$build/$name" --parallel "$(nproc)" | grep -iE 'warning|error' || true
    cmake --build "$build/$name" >/dev/null
    echo "== $name"
    (cd "$build/$name" && ctest --output-on-failure -R "${TESTS:-.}" | tail -n 25)
    (cd "$build/$name" && ctest -N -R "${TESTS:-.}" | grep -q 'Total Tests: [1-9]')
    ! grep -q . "$build/$name/Testing/Temporary/LastTestsFailed.log" 2>/dev/null
}

compilers() {
    tested gcc -DCMAKE_C_COMPILER=gcc
    tested clang -DCMAKE_C_COMPILER="$clang"
    tested musl -DCMAKE_C_COMPILER=musl-gcc
}

sanitizers() {
    tested asan -DEDGE_SANITIZE=address,undefined
    tested tsan -DEDGE_SANITIZE=thread
}

cross() {
    for machine in aarch64 armhf; do
        tested "$machine" -DCMAKE_TOOLCHAIN_FILE="$native/cmake/$machine-linux.cmake"
    done
}

fuzz() {
    seconds=${1:-20}
    cmake -S "$native" -B "$build/fuzz" -DCMAKE_C_COMPILER="$clang" -DEDGE_BUILD_FUZZ=ON \
        -DEDGE_BUILD_TESTS=OFF >/dev/null
    cmake --build "$build/fuzz" --parallel "$(nproc)" >/dev/null
    for target in "$native"/fuzz/*_fuzz.c; do
        name=$(basename "$target" _fuzz.c)
        echo "== fuzz $name"
        # New finds go to the build folder; the corpus in the repository is read.
        mkdir -p "$build/fuzz/corpus/$name"
        if ! "$build/fuzz/fuzz/${name}_fuzz" -max_total_time="$seconds" -print_final_stats=1 \
            -artifact_prefix="$build/fuzz/$name-" "$build/fuzz/corpus/$name" \
            "$native/fuzz/${name}_corpus" >"$build/fuzz/$name.log" 2>&1; then
            tail -n 40 "$build/fuzz/$name.log"
            exit 1
        fi
        grep -E 'number_of_executed_units|^Done' "$build/fuzz/$name.log"
    done
}

what=${1:-all}
[ $# -eq 0 ] || shift
case $what in
compilers | sanitizers | cross) "$what" ;;
spin) "$native/model/run.sh" ;;
mutants) python3 "$native/tests/mutants.py" "$@" ;;
fuzz) fuzz "$@" ;;
soak) EDGE_SOAK=1 tested soak -DCMAKE_BUILD_TYPE=RelWithDebInfo ;;
all)
    compilers
    sanitizers
    cross
    "$native/model/run.sh"
    python3 "$native/tests/mutants.py"
    fuzz
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
