#!/usr/bin/env bash
# Checks the types of the package for Python with mypy, and runs its tests beside PyTorch, Keras, Captum, Zennit, Dask, pandas and matplotlib, in a virtual environment
# (build/peers unless PEERS says where), which is made once. The package must be built: ninja -C build.
set -euo pipefail
cd "$(dirname "$0")/.."

peers=${PEERS:-build/peers}
if [ ! -x "$peers/bin/python" ]; then
  "${PYTHON:-/usr/bin/python3}" -m venv "$peers"
  "$peers/bin/pip" install -q torch onnx onnxscript numpy keras captum zennit "dask[array,distributed]" matplotlib pandas tqdm h5py zarr nbformat nbclient ipykernel mypy
fi
export PYTHONPATH=$PWD/build/python OMP_WAIT_POLICY=passive KERAS_BACKEND=torch RULEGRAD_COMMAND=$PWD/build/src/cli/rulegrad
if "$peers/bin/python" -c "import mypy" 2>/dev/null; then "$peers/bin/python" -m mypy; fi
exec "$peers/bin/python" -W ignore tests/python/run.py "$@"
