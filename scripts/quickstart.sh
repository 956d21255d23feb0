#!/usr/bin/env bash
# Installs what is missing, builds, explains the shipped pictures with several methods and prints the picture's path.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_dependencies.sh
if command -v ccache >/dev/null && [ -z "${CXX:-}" ]; then export CC="ccache gcc" CXX="ccache g++"; fi
[ -d build ] || meson setup build >/dev/null
ninja -C build src/cli/rulegrad

mkdir -p out
inputs=()
for picture in examples/demo/pictures/*.png; do inputs+=(--input "$picture"); done
build/src/cli/rulegrad analyze examples/demo/fashion.onnx "${inputs[@]}" --preprocess unit --labels examples/demo/labels.txt \
  --method gradient --method input_times_gradient --method guided_backprop --method deconvnet \
  --method lrp.epsilon --method lrp.gamma --method lrp.epsilon_plus_flat --output out/fashion.png
echo "$PWD/out/fashion.png"
