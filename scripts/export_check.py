#!/usr/bin/env python3
"""Exports every method for every model, runs the files on onnxruntime and holds the results against rulegrad's own.

Usage: export_check.py RULEGRAD [MODEL.onnx...] [--method NAME]... [--dim NAME=EXTENT]... [--opset N] [--quiet]

RULEGRAD is the command. Without models: the demo networks. Random batches of 1 and 3 samples, float32. A row says
  exported        equal to within 1e-5 of the largest value; the error beside it
  rounding        further apart, but rulegrad in float32 is as far from its own float64 as onnxruntime is, or the file is right when
                  onnx's reference evaluator computes it in float64
  differs         neither
  says why        what the command answered
The exit status is 1 where something differs or the checker refuses a file. Needs onnx, onnxruntime and numpy.
"""
import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

root = pathlib.Path(__file__).resolve().parent.parent
bound = 1e-5
arrays = {  # what methods cannot do without, where an array or word of general use can be named
    "baselines": "baselines={baselines}",
    "low, high": "low=-3,high=3",
    "rule": "rule=z",
}


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("rulegrad")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--dim", action="append", default=[])
    parser.add_argument("--opset", type=int)
    parser.add_argument("--quiet", action="store_true", help="print only what is not exported, and the sums")
    return parser.parse_intermixed_args()


def run(command):
    return subprocess.run([str(word) for word in command], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def shipped(rulegrad):
    """Names of the methods, with arguments for parameters that have no default."""
    found = []
    for line in run([rulegrad, "methods"]).stdout.splitlines():
        if not line or line.startswith(" "):
            continue
        name, _, parameters = line.partition("  (")
        missing = ", ".join(p for p in parameters.rstrip(")").split(", ") if p and "=" not in p)
        found.append(name + (":" + arrays[missing] if missing in arrays else ""))
    return found


def values_of(info, batch, random):
    dims = [batch if isinstance(d, str) or d is None else d for d in info.shape]
    if info.type == "tensor(float)":
        return random.standard_normal(dims).astype(numpy.float32)
    dtype = {"tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32, "tensor(bool)": bool, "tensor(double)": numpy.float64}[info.type]
    if "mask" in info.name:
        return numpy.ones(dims, dtype)
    return random.integers(0, 2 if dtype is bool else 3, dims).astype(dtype)


def distance(a, b):
    size = numpy.abs(b).max(initial=0)
    return 0.0 if a.size == 0 else float(numpy.abs(a.astype(numpy.float64) - b).max() / (size if size > 0 else 1))


def analysed(args, model, method, inputs, place, dtype):
    command = [args.rulegrad, "analyze", model, "--method", method, "--dtype", dtype, "--output", place / "own.npz"]
    for name, value in inputs.items():
        file = place / f"input{len(command)}.npy"
        numpy.save(file, value)
        command += ["--input", f"{name}={file}"]
    for dim in args.dim:
        command += ["--dim", dim]
    done = run(command)
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1]
    with numpy.load(place / "own.npz") as own:
        return {name: own[name] for name in own.files if name != "scores"}, None


def in_float64(proto, outputs, inputs):
    """What the file gives with all of its float32 numbers as float64; its constants have the digits of float32."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    single, double = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    for tensor in proto.graph.initializer:
        if tensor.data_type == single:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(numpy.float64), tensor.name))
    for value in list(proto.graph.input) + list(proto.graph.output):
        if value.type.tensor_type.elem_type == single:
            value.type.tensor_type.elem_type = double
    for node in proto.graph.node:
        for attribute in node.attribute if node.op_type == "Cast" else []:
            attribute.i = double if attribute.i == single else attribute.i
    wide = {name: value.astype(numpy.float64) if value.dtype == numpy.float32 else value for name, value in inputs.items()}
    return ReferenceEvaluator(proto).run(outputs, wide)


def check(args, model, method, place):
    """The outcome, and what is said of it."""
    file = place / "heat.onnx"
    random = numpy.random.default_rng(7)
    if "{baselines}" in method:
        info = onnxruntime.InferenceSession(str(model)).get_inputs()[0]
        numpy.save(place / "baselines.npy", values_of(info, 4, random))
        method = method.replace("{baselines}", str(place / "baselines.npy"))
    command = [args.rulegrad, "export", model, "--method", method, "--output", file]
    for dim in args.dim:
        command += ["--dim", dim]
    if args.opset:
        command += ["--opset", args.opset]
    done = run(command)
    # Axes that a model leaves free get some extent.
    while (free := re.search(r"as in --dim (\S+)=128", done.stderr)) and free.group(1) not in [d.split("=")[0] for d in args.dim]:
        args.dim.append(f"{free.group(1)}=9")
        command += ["--dim", args.dim[-1]]
        done = run(command)
    if done.returncode != 0:
        return "says why", " ".join(done.stderr.partition("rulegrad: error: ")[2].split())
    proto = onnx.load(file)
    try:
        onnx.checker.check_model(proto, full_check=True)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # every kind of refusal is one outcome
        return "differs", f"refused: {str(error).splitlines()[0]}"
    version, worst = proto.opset_import[0].version, 0.0
    outputs = [o.name for o in session.get_outputs()][1:]
    for batch in (1, 3):
        inputs = {info.name: values_of(info, batch, random) for info in session.get_inputs()}
        own, why = analysed(args, model, method, inputs, place, "float32")
        if own is None:
            return "differs", f"rulegrad analyze: {why}"
        try:
            theirs = session.run(outputs, inputs)
        except Exception as error:
            return "differs", f"onnxruntime: {str(error).splitlines()[0]}"
        if len(own) != len(theirs):
            return "differs", f"{len(theirs)} attributions, not {len(own)}"
        for index, (found, (name, wanted)) in enumerate(zip(theirs, own.items())):
            if found.size != wanted.size:
                return "differs", f"{name} is {found.shape}, not {wanted.shape}"
            error = distance(found.reshape(wanted.shape), wanted)
            worst = max(worst, error)
            if not error <= bound:
                exact, why = analysed(args, model, method, inputs, place, "float64")
                if exact is None:
                    return "differs", f"{error:.1e}; in float64: {why}"
                ours, other = distance(wanted, exact[name]), distance(found.reshape(wanted.shape), exact[name])
                # Where float64 says 0, all that float32 gives is rounding.
                if not other <= 4 * ours + bound and not ours > 1e3:
                    try:
                        wide = distance(in_float64(proto, [outputs[index]], inputs)[0].reshape(wanted.shape), exact[name])
                    except Exception as failure:
                        return "differs", f"batch {batch}: {error:.1e}, from float64 {other:.1e}, rulegrad {ours:.1e}; reference: {failure}"
                    if not wide <= 4 * ours + bound:
                        return "differs", f"batch {batch}: {error:.1e}, from float64 {other:.1e}, rulegrad {ours:.1e}, reference {wide:.1e}"
                    return "rounding", f"batch {batch}: {error:.1e}, from float64 {other:.1e}, rulegrad {ours:.1e}, reference in float64 {wide:.1e}"
                return "rounding", f"batch {batch}: {error:.1e}, from float64 {other:.1e}, rulegrad {ours:.1e}"
    return "exported", f"{worst:.1e}, operator set {version}"


def main():
    args = options()
    models = [pathlib.Path(m) for m in args.models] or sorted((root / "examples/demo").glob("*.onnx"))
    methods = args.method or shipped(args.rulegrad)
    sums = collections.Counter()
    given = list(args.dim)
    for model in models:
        args.dim = list(given)
        label = f"{model.parent.name}/{model.name}"
        here = collections.Counter()
        for method in methods:
            with tempfile.TemporaryDirectory() as place:
                outcome, text = check(args, model, method, pathlib.Path(place))
            here[outcome] += 1
            if not args.quiet or outcome != "exported":
                print(f"{label:32} {method.split(':')[0]:44} {outcome:9} {text[:200]}", flush=True)
        sums += here
        print(f"{label:32} {', '.join(f'{count} {outcome}' for outcome, count in sorted(here.items()))}", flush=True)
    print(f"all: {', '.join(f'{count} {outcome}' for outcome, count in sorted(sums.items()))}")
    return 1 if sums["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
