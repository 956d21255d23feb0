#!/usr/bin/env python3
"""Writes the graphs that run.py times, with reference numbers, into a folder that can be carried to a machine with a GPU.

usage: prepare.py RULEGRAD FOLDER [--network NAME]... [--batch N]...

RULEGRAD is the command. Needs torch (CPU), onnx and numpy. Weights are random and depend on the seed alone (compare/networks.py), so they are
not carried: what of a graph's weights is a parameter of the network, or a parameter's positive or negative part or square, is noted as
such and made again by run.py, which checks a digest of every one. A folder for all networks takes some ten megabytes.
"""
import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import numpy_helper

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent / "compare"), str(here)]

import networks  # noqa: E402
from cases import INPUTS  # noqa: E402

METHODS = {  # the name of the file: method, and which contenders have it
    "gradient": "gradient",
    "epsilon_plus_flat": "zennit.epsilon_plus_flat",
    "input_x_gradient": "captum.input_x_gradient",
    "integrated_gradients": "captum.integrated_gradients:n_steps=20",
}
FORMS = {"itself": lambda a: a, "positive": lambda a: numpy.maximum(a, 0), "negative": lambda a: numpy.minimum(a, 0), "square": lambda a: a * a}


def digest(array):
    return hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest()[:32]


def recipes(parameters):
    """By digest of the values: how they are made."""
    return {digest(form(value)): (name, word) for name, value in parameters.items() for word, form in FORMS.items() if value.size >= 256}


def slim(model, known):
    """Takes weights out of the graph that `known` can make; gives what was left out."""
    left_out = {}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        found = known.get(digest(value))
        if found is not None:
            left_out[tensor.name] = {"parameter": found[0], "form": found[1], "digest": digest(value)}
            tensor.ClearField("raw_data")
    return left_out


def run(command):
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rulegrad")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--network", action="append", default=[])
    parser.add_argument("--batch", action="append", type=int, default=[])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for network in options.network or ["lenet", "mobilenetv2", "squeezenet", "resnet50", "vgg16"]:
        parameters = {name: value.numpy() for name, value in networks.make(network).named_parameters()}
        known = recipes(parameters)
        with tempfile.TemporaryDirectory() as scratch:
            source = pathlib.Path(scratch) / f"{network}.onnx"
            networks.export(network, str(source))
            inputs = {}
            for batch in options.batch or [1, 8, 32]:
                x = numpy.random.default_rng(7).standard_normal((batch, *INPUTS[network])).astype(numpy.float32)
                inputs[batch] = x
            for name, method in METHODS.items():
                heat = pathlib.Path(scratch) / "heat.onnx"
                run([options.rulegrad, "export", source, "--method", method, "--output", heat])
                model = onnx.load(heat)
                left_out = slim(model, known)
                file = f"{network}.{name}.onnx"
                onnx.save(model, options.folder / file)
                # Errors are measured on the first sample, which every batch has.
                numpy.save(pathlib.Path(scratch) / "x.npy", inputs[min(inputs)][:1])
                run([options.rulegrad, "analyze", source, "--method", method, "--input", pathlib.Path(scratch) / "x.npy", "--dtype", "float64",
                     "--output", pathlib.Path(scratch) / "own.npy"])
                expected = f"{network}.{name}.npy"
                numpy.save(options.folder / expected, numpy.load(pathlib.Path(scratch) / "own.npy").astype(numpy.float32))
                listed.append({"network": network, "method": name, "file": file, "expected": expected, "batches": sorted(inputs),
                               "output": model.graph.output[1].name, "left_out": left_out})
                print(f"{file}: {(options.folder / file).stat().st_size / 1e6:.2f} MB, {len(left_out)} weights left out", flush=True)
    (options.folder / "cases.json").write_text(json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main()
