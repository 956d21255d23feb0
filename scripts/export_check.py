#!/usr/bin/env python3
"""Exports every method for every model, runs the files on onnxruntime and holds the results against rulegrad's own.

Usage: export_check.py [MODEL.onnx...] [--method NAME]... [--dim NAME=EXTENT]... [--opset N] [--most-samples N] [--seconds S] [--quiet]
                       [--table FILE.md]

Needs the package rulegrad (PYTHONPATH=build/python), onnx, onnxruntime and numpy. Without models: the demo networks. Random batches of 1
and 3 samples, float32. A row says
  exported        equal to within 1e-5 of the largest value; the error beside it
  rounding        further apart, but rulegrad in float32 is as far from its own float64 as onnxruntime is, or the question is that delicate
                  (inputs off by 2^-24, half a unit of float32's last place, move the answer in float64 an eighth as far), or the file is
                  right when onnx's reference evaluator computes it in float64
  differs         neither, or the checker of ONNX or onnxruntime refuses the file
  says why        what rulegrad answered
Also counted: nodes whose results nobody reads. With --seconds no further method of a model is begun once so many are over; what is left out is told.
The exit status is 1 where something differs.
"""
import argparse
import collections
import os
import pathlib
import re
import sys
import tempfile
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy
import onnx
import onnxruntime
import rulegrad as rg
from onnx.reference import ReferenceEvaluator

root = pathlib.Path(__file__).resolve().parent.parent
bound = 1e-5
words = {"low": -3, "high": 3, "rule": "z"}  # what methods cannot do without, where a word of general use can be named


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--dim", action="append", default=[])
    parser.add_argument("--opset", type=int)
    parser.add_argument("--most-samples", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--quiet", action="store_true", help="print only what is not exported, and the sums")
    parser.add_argument("--table", type=pathlib.Path, help="where the sums go as a table")
    return parser.parse_intermixed_args()


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


def unread(graph):
    """Nodes none of whose results is read."""
    def names(graph):
        for node in graph.node:
            yield from node.input
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield from names(attribute.g)
        yield from (o.name for o in graph.output)

    read = set(names(graph))
    return [node.name for node in graph.node if not read.intersection(node.output)]


def in_float64(proto, outputs, inputs):
    """What the file gives with all of its float32 numbers as float64; its constants have the digits of float32."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    single, double = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE

    def widen(graph):
        del graph.value_info[:]
        for tensor in graph.initializer:
            if tensor.data_type == single:
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(numpy.float64), tensor.name))
        for value in list(graph.input) + list(graph.output):
            if value.type.tensor_type.elem_type == single:
                value.type.tensor_type.elem_type = double
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to":
                    attribute.i = double if attribute.i == single else attribute.i
                if attribute.HasField("g"):
                    widen(attribute.g)

    widen(proto.graph)
    wide = {name: value.astype(numpy.float64) if value.dtype == numpy.float32 else value for name, value in inputs.items()}
    return ReferenceEvaluator(proto).run(outputs, wide)


class Subject:
    """A model in both precisions."""

    def __init__(self, path, dims):
        self.path, self.wide = path, None
        self.extents = {key: int(value) for key, value in (dim.split("=") for dim in dims)}
        while True:
            try:
                self.model = rg.load(path, extents=self.extents)
                break
            except rg.Error as error:
                # Axes that a model leaves free get some extent.
                free = re.search(r"--dim (\S+)=128", str(error))
                if not free or free.group(1) in self.extents:
                    raise
                self.extents[free.group(1)] = 9

    def double(self):
        if self.wide is None:
            self.wide = rg.load(self.path, extents=self.extents, dtype="float64")
        return self.wide


def method_of(name, subject, random):
    """The method with arguments for parameters that have no default."""
    arguments = {}
    for parameter in [] if ":" in name else subject.model.rules.method(name)["parameters"]:
        if parameter["default"] is None:
            if parameter["name"] == "baselines":
                first = subject.model.inputs[0]
                dims = [4] + [d if isinstance(d, int) else 4 for d in first["shape"][1:]]
                arguments["baselines"] = random.standard_normal(dims).astype(first["dtype"])
            elif parameter["name"] in words:
                arguments[parameter["name"]] = words[parameter["name"]]
    return rg.Method(name, **arguments) if arguments else name


def explained(model, method, inputs):
    arrays = {row["name"]: inputs[row["name"]] for row in model.inputs}
    if any(row["dtype"] == "float64" for row in model.inputs):
        arrays = {name: value.astype(numpy.float64) if value.dtype == numpy.float32 else value for name, value in arrays.items()}
    found = model.explain(arrays, method)
    label = found.methods[0]
    return [found[label, node] for node in found.nodes]


def sensitivity(model, method, inputs, index, exact):
    """How far the answer moves in float64 when inputs are off by what float32 rounds away."""
    random, worst = numpy.random.default_rng(1), 0.0
    for _ in range(8):
        moved = {key: value * (1 + 2.0**-24 * random.standard_normal(value.shape)) if value.dtype.kind == "f" else value
                 for key, value in inputs.items()}
        worst = max(worst, distance(explained(model, method, moved)[index], exact))
    return worst


def check(args, subject, name, place):
    """The outcome, and what is said of it."""
    file, random = place / "heat.onnx", numpy.random.default_rng(7)
    try:
        method = method_of(name, subject, random)
        subject.model.export(file, method, target="largest", opset=args.opset, most_samples=args.most_samples)
    except rg.Error as error:
        return "says why", " ".join(str(error).split())
    proto = onnx.load(file)
    try:
        onnx.checker.check_model(proto, full_check=True)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # every kind of refusal is one outcome
        return "differs", f"refused: {str(error).splitlines()[0]}"
    if dead := unread(proto.graph):
        return "differs", f"nobody reads {', '.join(dead[:3])}"
    version, worst = proto.opset_import[0].version, 0.0
    outputs = [o.name for o in session.get_outputs()][1:]
    for batch in (1, 3):
        inputs = {info.name: values_of(info, batch, random) for info in session.get_inputs()}
        needed = {row["name"] for row in subject.model.inputs}
        given = dict(inputs)
        for row in subject.model.inputs:  # what the explanation does not need is not in the file
            if row["name"] not in given:
                dims = [batch if not isinstance(d, int) else d for d in row["shape"]]
                given[row["name"]] = numpy.ones(dims, row["dtype"])
        try:
            own = explained(subject.model, method, {key: value for key, value in given.items() if key in needed})
        except rg.Error as error:
            return "differs", f"rulegrad explains: {' '.join(str(error).split())}"
        try:
            theirs = session.run(outputs, inputs)
        except Exception as error:
            return "differs", f"onnxruntime: {str(error).splitlines()[0]}"
        if len(own) != len(theirs):
            return "differs", f"{len(theirs)} attributions, not {len(own)}"
        for index, (found, wanted) in enumerate(zip(theirs, own)):
            if found.size != wanted.size:
                return "differs", f"output {index + 1} is {found.shape}, not {wanted.shape}"
            error = distance(found.reshape(wanted.shape), wanted)
            worst = max(worst, error)
            if error <= bound:
                continue
            exact = explained(subject.double(), method, given)[index]
            ours, other = distance(wanted, exact), distance(found.reshape(wanted.shape), exact)
            said = f"batch {batch}: {error:.1e}, from float64 {other:.1e}, rulegrad {ours:.1e}"
            # Where float64 says 0, all that float32 gives is rounding.
            if not other <= 4 * ours + bound and not ours > 1e3:
                moved = sensitivity(subject.double(), method, given, index, exact)
                said += f", inputs off by 2^-24 {moved:.1e}"
                if other <= 8 * moved:
                    return "rounding", said
                try:
                    wide = distance(in_float64(proto, [outputs[index]], inputs)[0].reshape(wanted.shape), exact)
                except Exception as failure:
                    return "differs", f"{said}; reference: {str(failure)[:200]}"
                said += f", reference in float64 {wide:.1e}"
                if not wide <= 4 * ours + bound:
                    return "differs", said
            return "rounding", said
    return "exported", f"{worst:.1e}, operator set {version}"


def main():
    args = options()
    models = args.models or sorted((root / "examples/demo").glob("*.onnx"))
    methods = args.method or rg.methods().column("name")
    sums, rows = collections.Counter(), []
    for path in models:
        label = f"{path.parent.name}/{path.name}"
        try:
            subject = Subject(path, args.dim)
        except rg.Error as error:
            print(f"{label:32} is not read: {' '.join(str(error).split())[:200]}", flush=True)
            rows.append((label, collections.Counter(), 0, 0, "not read"))
            continue
        here, start, left = collections.Counter(), time.perf_counter(), 0
        for method in methods:
            if time.perf_counter() - start > args.seconds:
                left += 1
                continue
            with tempfile.TemporaryDirectory() as place:
                outcome, text = check(args, subject, method, pathlib.Path(place))
            here[outcome] += 1
            if not args.quiet or outcome not in ("exported", "says why"):
                print(f"{label:32} {str(method).split(':')[0]:44} {outcome:9} {text[:200]}", flush=True)
        sums += here
        rows.append((label, here, left, time.perf_counter() - start, ""))
        print(f"{label:32} {', '.join(f'{count} {outcome}' for outcome, count in sorted(here.items()))}"
              f"{f', {left} left out' if left else ''}  ({time.perf_counter() - start:.0f} s)", flush=True)
    print(f"all: {', '.join(f'{count} {outcome}' for outcome, count in sorted(sums.items()))}")
    if args.table:
        lines = ["| model | exported | rounding | says why | differs | left out |", "|---|---|---|---|---|---|"]
        lines += [f"| {label} | {here['exported']} | {here['rounding']} | {here['says why']} | {here['differs']} | {said or left} |"
                  for label, here, left, _, said in rows]
        args.table.write_text("\n".join(lines) + "\n")
    return 1 if sums["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
