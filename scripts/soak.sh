#!/usr/bin/env bash
# Sixteen threads explain models with methods, load and drop models, cancel runs and give what is wrong, until the time is over
# (tests/soak): fails where memory grows after the first half, an error was not asked for or a result is another one than alone.
#   scripts/soak.sh --minutes N [--threads N] [--seed N]
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=2
[ -d build ] || meson setup build >/dev/null
ninja -C build tests/soak >/dev/null
exec build/tests/soak "$@"
