#!/usr/bin/env bash
# From `pip install` to a page of explanations in ten lines, for a model of PyTorch and one of Keras and the folder of pictures that ships: makes
# a virtual environment, installs a wheel of the package (WHEEL, or one that scripts/wheel.sh builds) and the two frameworks, trains a small model of
# each on drawn shapes, and runs the ten lines, which are printed, with what they say and how long they take.
# Usage: scripts/ten_lines.sh [FOLDER], where pages and arrays go; a temporary one unless given.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath -m "${1:-$(mktemp -d)}")
mkdir -p "$out"
environment=${ENVIRONMENT:-$out/environment}
wheel=${WHEEL:-}
if [ -z "$wheel" ]; then
  scripts/wheel.sh "$out/dist"
  wheel=$(ls "$out"/dist/*.whl)
fi
cp -r examples/demo/pictures "$out/pictures"
cp examples/demo/labels.txt "$out/"
cd "$out"

if [ ! -x "$environment/bin/python" ]; then
  "${PYTHON:-/usr/bin/python3}" -m venv "$environment"
  "$environment/bin/pip" install -q torch onnx onnxscript keras
fi
export OMP_WAIT_POLICY=passive KERAS_BACKEND=torch

# Somebody's models: ten classes from 28 x 28 pixels, trained for a moment on pictures with a bright patch at one of ten places.
cat >make.py <<'END'
import keras
import numpy as np
import torch

rng = np.random.default_rng(0)
classes = rng.integers(0, 10, 2000)
x = rng.random((2000, 1, 28, 28), dtype=np.float32) * 0.3
for picture, k in zip(x, classes):
    picture[0, 2 + 12 * (k // 5):12 + 12 * (k // 5), 5 * (k % 5):5 * (k % 5) + 6] += 0.7

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(4), torch.nn.Flatten(), torch.nn.Linear(392, 10))
optimizer = torch.optim.Adam(net.parameters(), 3e-3)
for _ in range(60):
    loss = torch.nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(classes))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(net, "net.pt")
print(f"PyTorch: {(net(torch.from_numpy(x)).argmax(1).numpy() == classes).mean():.0%} right")

keras.utils.set_random_seed(0)
net = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(8, 3, padding="same", activation="relu"), keras.layers.MaxPooling2D(4), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")])
net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
net.fit(x.transpose(0, 2, 3, 1), classes, epochs=8, batch_size=64, verbose=0)
net.save("net.keras")
print(f"Keras: {net.evaluate(x.transpose(0, 2, 3, 1), classes, verbose=0)[1]:.0%} right")
END
"$environment/bin/python" -W ignore make.py

cat >from_torch.py <<'END'
import torch
import rulegrad as rg

net = torch.load("net.pt", weights_only=False)
model = rg.from_torch(net, torch.zeros(1, 1, 28, 28), preprocess="unit", labels="labels.txt")
explainer = model.explainer(["gradient", "lrp.epsilon_plus_flat"])
done = explainer.map("pictures", "maps_torch")
explainer(rg.pictures([f"pictures/{row['name']}" for row in done], model)).report("torch.html")
END
cat >from_keras.py <<'END'
import rulegrad as rg

model = rg.load("net.keras", preprocess={"name": "unit", "layout": "nhwc"}, labels="labels.txt")
explainer = model.explainer(["gradient", "lrp.epsilon_plus_flat"])
done = explainer.map("pictures", "maps_keras")
explainer(rg.pictures([f"pictures/{row['name']}" for row in done], model)).report("keras.html")
END

for name in torch keras; do
  rm -rf "maps_$name"
  lines="pip install $(basename "$wheel")
$(grep -v '^$' "from_$name.py")"
  printf -- '--- %s: %s lines\n%s\n---\n' "$name" "$(wc -l <<<"$lines")" "$lines"
  begin=$(date +%s.%N)
  "$environment/bin/pip" install -q --force-reinstall --no-deps "$wheel"
  "$environment/bin/python" -W ignore "from_$name.py"
  printf '%s.html: %s bytes, %s arrays, %.1f s with the installation of the wheel\n' "$name" "$(stat -c %s "$name.html")" "$(find "maps_$name" -name '*.npy' | wc -l)" "$(echo "$(date +%s.%N) - $begin" | bc)"
done
echo "$out/torch.html $out/keras.html"
