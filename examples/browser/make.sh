#!/usr/bin/env bash
# Puts the page together: what it takes is static files, which any web server gives out.
#   examples/browser/make.sh [FOLDER]           (build/browser)
#   python3 -m http.server --directory build/browser 8000
# Needs the command (build/src/cli/rulegrad, or RULEGRAD) and npm, for onnxruntime-web.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-build/browser}
rulegrad=${RULEGRAD:-build/src/cli/rulegrad}

mkdir -p "$folder/ort" "$folder/pictures"
"$rulegrad" export examples/demo/fashion.onnx --target given --output "$folder/heat.onnx" \
  --method gradient --method deeplift.rescale --method lrp.epsilon_plus_flat
cp examples/browser/index.html examples/browser/page.js "$folder"
cp examples/demo/pictures/*.png "$folder/pictures"
python3 - "$folder" <<'END'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
about = {"labels": pathlib.Path("examples/demo/labels.txt").read_text().split("\n")[:10],
         "pictures": sorted(file.name for file in (folder / "pictures").iterdir())}
(folder / "about.json").write_text(json.dumps(about))
END
if [ ! -d "$folder/packages/node_modules/onnxruntime-web" ]; then
  mkdir -p "$folder/packages"
  cp examples/browser/package.json "$folder/packages"
  npm install --prefix "$folder/packages" --omit=dev --no-audit --no-fund --loglevel=error
fi
web=$folder/packages/node_modules/onnxruntime-web/dist
cp "$web/ort.wasm.min.js" "$web"/ort-wasm-simd-threaded.mjs "$web"/ort-wasm-simd-threaded.wasm "$folder/ort"
echo "made $folder; python3 -m http.server --directory $folder 8000"
