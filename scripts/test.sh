#!/usr/bin/env bash
# Installs what is missing, builds, runs every test and the programs that link the library, and closes with "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."

# Several test programs share the cores: threads that wait must not spin.
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=2
# What tests draw hangs on the state of the sources: each state is tried with draws of its own, and again with the same.
if [ -z "${RULEGRAD_TEST_SEED:-}" ] && tree=$(git rev-parse --short=7 'HEAD^{tree}' 2>/dev/null); then
  export RULEGRAD_TEST_SEED=$((16#$tree))
fi
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

# The end of a long output is what is read: what failed says why there.
[ $status -eq 0 ] || python3 - build/meson-logs/testlog.json <<'PYTHON'
import json, sys

for line in open(sys.argv[1]):
    test = json.loads(line)
    if test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
        said = (test.get("stdout", "") + test.get("stderr", "")).splitlines()
        print(f"--- {test['name']}: {test['result']}", *said[-30:], sep="\n")
PYTHON

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
