#!/usr/bin/env bash
# Compares programs on networks drawn anew with the plain float64 path until the time is over: every optimisation and each alone, one
# thread and two, batches of 1 to 40 (tests/differential). Prints the seed, each difference, and how many programs were compared.
#   scripts/differential.sh --minutes N [--seed N]
#   scripts/differential.sh --only KIND:SEED        one network again, as a difference names it
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
[ -d build ] || meson setup build >/dev/null
ninja -C build tests/differential >/dev/null
exec build/tests/differential "$@"
