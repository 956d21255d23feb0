#!/usr/bin/env python3
"""Times the input gradient of VGG-16 at batch 1 in rulegrad and in PyTorch, in turns within one run.

usage: compare_pytorch.py BUILD_DIRECTORY [ROUNDS]

PyTorch is a peer to measure against, not a dependency: install it apart. Prints the median of each and their ratio.
"""

import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

build = sys.argv[1]
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
runs = 7

torch.manual_seed(0)
layers, channels = [], 3
for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
    if width == 0:
        layers.append(None)
        continue
    layers.append((torch.randn(width, channels, 3, 3) * (2 / (9 * channels)) ** 0.5, torch.randn(width) * 0.1))
    channels = width
dense = [
    (torch.randn(out, size) * (2 / size) ** 0.5, torch.randn(out) * 0.1)
    for out, size in ((4096, 25088), (4096, 4096), (1000, 4096))
]


def gradient():
    x = torch.randn(1, 3, 224, 224, requires_grad=True)
    start = time.perf_counter()
    y = x
    for layer in layers:
        y = F.max_pool2d(y, 2) if layer is None else F.relu(F.conv2d(y, *layer, padding=1))
    y = y.flatten(1)
    for index, layer in enumerate(dense):
        y = F.linear(y, *layer)
        if index < 2:
            y = F.relu(y)
    y[0, y.argmax()].backward()
    assert x.grad is not None
    return (time.perf_counter() - start) * 1000


ours, theirs = [], []
for _ in range(rounds):
    out = subprocess.run([f"{build}/benchmarks/vgg16", "gradient", "1", str(runs)], check=True, capture_output=True, text=True)
    ours += [float(value) for value in out.stdout.split()]
    gradient(), gradient()
    theirs += [gradient() for _ in range(runs)]

ratios = statistics.median(ours) / statistics.median(theirs)
print(f"VGG-16 gradient, batch 1, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, {rounds} x {runs} runs each")
print(f"  rulegrad  median {statistics.median(ours):8.1f} ms   minimum {min(ours):8.1f} ms")
print(f"  PyTorch   median {statistics.median(theirs):8.1f} ms   minimum {min(theirs):8.1f} ms")
print(f"  ratio of medians {ratios:.2f}")
