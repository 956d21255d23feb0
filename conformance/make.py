#!/usr/bin/env python3
"""Writes the cases: conformance/cases/NAME.json, and NAME.onnx where the package onnx is installed.

Usage: make.py [FOLDER] [--no-onnx]

References come from loops.py alone. Each case is drawn anew until no value comes near a kink and no denominator near 0, so that tools
need not agree on what happens there; `margin` in the file says how near the closest is.
"""
import argparse
import json
import pathlib

import loops
import questions  # noqa: F401, its cases are kept by being read
import transformer_questions  # noqa: F401
from constructs import CASES, PLUS

SAMPLES, TARGETS = 2, [0, 2]


def answered(name):
    """The case that has enough margin, as the file's dictionary, and its network."""
    construct, text, questions, accepts, only, least, function = CASES[name]
    # Any numbers would do, and those of two cases that share a network should differ.
    start = 1 if name in ("shared_weight", "clamped_relu6") else sum(map(ord, construct))
    for seed in range(start, start + 5000):
        net = function(seed)
        # z+ is told apart for inputs of one sign, on which all of its forms agree, and of both.
        low = 1 if PLUS[0] in questions and name != "signed_input" else -24
        xs = [net.sample(low) for _ in range(SAMPLES)]
        scores = [loops.values_of(net.steps, x)[-1] for x in xs]
        margin, written = float("inf") if min(abs(s[t]) for s, t in zip(scores, TARGETS)) > 0.1 else 0.0, []
        for method, parameters in questions:
            if margin <= least and least > 0:
                break
            expected = []
            for convention in accepts if method in only else accepts[:1]:
                values = []
                for x, target in zip(xs, TARGETS):
                    run = loops.Run(method, parameters, convention)
                    values += loops.attribution(net.steps, x, target, run, "value" if method.startswith("lrp") else "one")
                    margin = min(margin, run.margin)
                expected.append({"convention": convention, "attribution": array((SAMPLES, *net.input_shape), values)} if convention and method in only
                                else {"attribution": array((SAMPLES, *net.input_shape), values)})
            # A denominator of 0.02 and the fixed epsilon of 1e-6 of some tools: half a part in 10,000 a layer.
            tolerance = 3e-4 if method.startswith("lrp") else 1e-6
            written.append({"method": method, "parameters": parameters, "seed": "value" if method.startswith("lrp") else "one",
                            "tolerance": tolerance, "expected": expected})
        # A map without size compares nothing.
        sizes = [max(map(abs, e["attribution"]["data"])) for q in written for e in q["expected"]]
        if margin > least - 1e-12 and min(sizes) > 0.05:
            break
    else:
        raise SystemExit(f"{name}: no draw has enough margin")
    return {"format": 1, "name": name, "place": list(CASES).index(name), "construct": construct, "text": " ".join(text.split()), "margin": round(margin, 4),
            "network": {"onnx": f"{name}.onnx", "torch": name, "weights": {key: array(*value) for key, value in net.weights.items()}},
            "input": array((SAMPLES, *net.input_shape), sum(xs, [])), "scores": array((SAMPLES, len(scores[0])), sum(scores, [])),
            "targets": TARGETS, "questions": written}, net


def array(shape, data):
    return {"shape": list(shape), "data": list(data)}


def write_onnx(net, name, path):
    import numpy
    import onnx
    from onnx import helper, numpy_helper

    tensors = [numpy_helper.from_array(numpy.array(data, numpy.float32).reshape(shape), key) for key, (shape, data) in net.weights.items()
               if any(key in inputs for _, inputs, _, _ in net.nodes)]
    tensors += [numpy_helper.from_array(numpy.array(data, dtype).reshape(shape), key) for key, (shape, data, dtype) in net.constants.items()]
    nodes = [helper.make_node(op, inputs, ["y" if output == net.names[-1] else output], name=output, **attributes)
             for op, inputs, output, attributes in net.nodes]
    info = [helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, ["N", *shape]) for value, shape in (("x", net.input_shape), ("y", net.shapes[-1]))]
    graph = helper.make_graph(nodes, name, info[:1], info[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="rulegrad conformance")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def text_of(found):
    """JSON, arrays of numbers on one line."""
    def short(value, indent):
        pad = " " * indent
        if isinstance(value, dict) and set(value) == {"shape", "data"}:
            return json.dumps(value)
        if isinstance(value, dict) and value:
            return "{\n" + ",\n".join(f"{pad} {json.dumps(key)}: {short(inner, indent + 1)}" for key, inner in value.items()) + f"\n{pad}}}"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join(f"{pad} {short(inner, indent + 1)}" for inner in value) + f"\n{pad}]"
        return json.dumps(value)
    return short(found, 0) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "cases")
    parser.add_argument("--no-onnx", action="store_true", help="only the JSON files, with the standard library alone")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in CASES:
        found, net = answered(name)
        (options.folder / f"{name}.json").write_text(text_of(found))
        if not options.no_onnx:
            write_onnx(net, name, options.folder / f"{name}.onnx")
    print(f"{len(CASES)} cases")


if __name__ == "__main__":
    main()
