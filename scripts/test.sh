#!/usr/bin/env bash
# Installs what is missing, builds, runs every test and the programs that link the library, and closes with "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."

# Several test programs share the cores: threads that wait must not spin.
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=2
start=$SECONDS
scripts/install_dependencies.sh
if command -v ccache >/dev/null && [ -z "${CXX:-}" ]; then export CC="ccache gcc" CXX="ccache g++"; fi
[ -d build ] || meson setup build -Dwerror=true >/dev/null
ninja -C build
echo "built in $((SECONDS - start)) s"

status=0
meson test -C build --no-rebuild --print-errorlogs || status=$?
echo "tested in $((SECONDS - start)) s"

scripts/consumers.sh | tee build/consumers.txt || { status=1; echo "failed: the consumers" | tee -a build/consumers.txt; }
echo "linked by other programs in $((SECONDS - start)) s"

# doctest binaries report their cases; every other test, and every program that links the library, counts as one.
awk '
  function count() { if (seen && !cases) { if (good) ++passed; else ++failed } }
  FILENAME ~ /consumers/ { if (/^ok: /) ++linked; if (/^failed: /) ++unlinked; next }
  /^test:/    { count(); seen = 1; good = cases = 0 }
  /^result:/  { good = /exit status 0/ }
  /^\[doctest\] test cases:/ { for (i = 1; i < NF; ++i) { if ($(i + 1) ~ /^passed/) passed += $i; if ($(i + 1) ~ /^failed/) { failed += $i; cases += $i } } if (good) cases = 1 }
  END         { count(); printf "%d passed, %d failed\n", passed + linked, failed + unlinked }
' build/meson-logs/testlog.txt build/consumers.txt
exit $status
