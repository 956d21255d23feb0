#!/usr/bin/env bash
# Asks Captum, Zennit, LXT and rulegrad the questions of conformance/ in a virtual environment (build/conformance unless PEERS says where), which
# is made once, and writes the tables of docs/conformance.md. The package must be built: ninja -C build.
set -euo pipefail
cd "$(dirname "$0")/.."

peers=${PEERS:-build/conformance}
if [ ! -x "$peers/bin/python" ]; then
  "${PYTHON:-/usr/bin/python3}" -m venv "$peers"
  "$peers/bin/pip" install -q torch onnx onnxscript numpy captum zennit jsonschema
  # LXT's composite needs a part of transformers that its fifth version has no more, and little else of what it asks for.
  "$peers/bin/pip" install -q "transformers<5" tabulate setuptools wheel
  "$peers/bin/pip" install -q --no-deps --no-build-isolation lxt
fi
export PYTHONPATH=$PWD/build/python OMP_WAIT_POLICY=passive OMP_NUM_THREADS=2
adapter() { echo "$peers/bin/python -W default conformance/adapters/$1.py"; }
"$peers/bin/python" conformance/run.py --tool "$(adapter rulegrad_onnx)" --tool "$(adapter rulegrad_torch)" --tool "$(adapter captum_)" \
  --tool "$(adapter zennit_)" --tool "$(adapter lxt_)" --results conformance/results.json --page docs/conformance.md "$@"
