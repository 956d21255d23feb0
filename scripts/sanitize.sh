#!/usr/bin/env bash
# Builds everything with the address and undefined-behaviour sanitizers of g++ or clang in a folder of its own and runs the tests of the
# library and of the command under them; with "thread" the tests where our own threads meet, under the thread sanitizer; with
# "valgrind" the demo of an ordinary build under valgrind.
#   scripts/sanitize.sh [address|thread|valgrind] [--compiler g++|clang] [--cases PATTERN]
set -euo pipefail
cd "$(dirname "$0")/.."

what=address compiler=g++ cases=()
while [ $# -gt 0 ]; do
  case "$1" in
    address | thread | valgrind) what=$1; shift ;;
    --compiler) compiler=$2; shift 2 ;;
    --cases) cases=("-tc=$2"); shift 2 ;;
    *) echo "usage: scripts/sanitize.sh [address|thread|valgrind] [--compiler g++|clang] [--cases PATTERN]" >&2; exit 2 ;;
  esac
done
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1

if [ "$what" = valgrind ]; then
  [ -d build ] || meson setup build >/dev/null
  ninja -C build src/cli/rulegrad >/dev/null
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  demo=examples/demo
  # What lives in one-time tables until the end is no leak; one thread, so that libgomp's own waits are not told as ours.
  grind() { OMP_NUM_THREADS=1 valgrind --quiet --error-exitcode=9 --leak-check=no --undef-value-errors=yes build/src/cli/rulegrad "$@" >"$folder/out"; }
  grind predict $demo/mlp.onnx --input $demo/features.npy --labels $demo/labels.txt || [ $? = 2 ]
  for method in gradient lrp.epsilon_plus_flat deeplift.rescale integrated_gradients:steps=4; do
    grind analyze $demo/mlp.onnx --input $demo/features.npy --method $method --output "$folder/maps.npy"
  done
  grind analyze $demo/fashion.onnx --input $demo/pictures/sneaker_9.png --preprocess unit --method lrp.epsilon_plus_flat --output "$folder/heat.png"
  grind inspect $demo/fashion.onnx
  echo "valgrind: no errors"
  exit 0
fi

case "$compiler" in
  g++) export CC=gcc CXX=g++ ;;
  clang) export CC=clang CXX=clang++ ;;
  *) echo "--compiler g++ or clang" >&2; exit 2 ;;
esac
if command -v ccache >/dev/null; then export CC="ccache $CC" CXX="ccache $CXX"; fi
case "$what" in
  address) folder=build-asan sanitize=address,undefined ;;
  thread) folder=build-tsan sanitize=thread ;;
esac
[ "$compiler" = clang ] && folder=$folder-clang
[ -d "$folder" ] || meson setup "$folder" -Dbuildtype=debugoptimized -Doptimization=1 -Db_sanitize="$sanitize" -Db_lundef=false -Dwerror=false -Dpython=disabled >/dev/null
# And what those tests run: the command, the examples that train, plugins.
[ "$what" = thread ] && tests=tests/sharing_tests ||
  tests="tests/unit_tests tests/command_tests src/cli/rulegrad examples/train examples/train_lstm tests/squash.so tests/faulty.so"
# shellcheck disable=SC2086
ninja -C "$folder" $tests

# What lives in one-time tables until the end is no leak of ours; libgomp does not tell the thread sanitizer about its
# barriers, so only the tests where our own threads meet are run under it, and no team has more than one thread, whatever a test asks for.
if [ "$what" = thread ]; then
  OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 TSAN_OPTIONS=halt_on_error=1 "$folder/tests/sharing_tests" -tc='many threads*,threads that run*,BLAS gets*,64 threads*'
else
  export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  "$folder/tests/unit_tests" "${cases[@]}"
  "$folder/tests/command_tests" "${cases[@]}"
fi
