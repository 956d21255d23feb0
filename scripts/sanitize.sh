#!/usr/bin/env bash
# Builds with the address and undefined-behaviour sanitizers (or, with "thread", the thread sanitizer) in a folder of its
# own and runs the tests under them.
#   scripts/sanitize.sh [thread]
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
if command -v ccache >/dev/null && [ -z "${CXX:-}" ]; then export CC="ccache gcc" CXX="ccache g++"; fi
case "${1:-address}" in
  address) folder=build-asan sanitize=address,undefined ;;
  thread) folder=build-tsan sanitize=thread ;;
  *) echo "usage: scripts/sanitize.sh [address|thread]" >&2; exit 2 ;;
esac
[ -d "$folder" ] || meson setup "$folder" -Dbuildtype=debugoptimized -Doptimization=1 -Db_sanitize="$sanitize" -Db_lundef=false -Dwerror=false -Dpython=disabled >/dev/null
[ "$sanitize" = thread ] && tests=tests/sharing_tests || tests="tests/unit_tests tests/command_tests"
# shellcheck disable=SC2086
ninja -C "$folder" $tests

# What lives in one-time tables until the end is no leak of ours; libgomp does not tell the thread sanitizer about its
# barriers, so only the tests where our own threads meet are run under it, with one OpenMP thread each.
if [ "$sanitize" = thread ]; then
  OMP_NUM_THREADS=1 TSAN_OPTIONS=halt_on_error=1 "$folder/tests/sharing_tests" -tc='many threads*,threads that run*,BLAS gets*'
else
  export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  "$folder/tests/unit_tests"
  "$folder/tests/command_tests"
fi
