#!/usr/bin/env python3
"""A zoo of models with random weights: how many of what people export can be loaded, and are answers and gradients right?

    zoo.py --out DIR [--only GLOB,GLOB] [--variant GLOB,GLOB] [--table docs/models.md]
    zoo.py --out DIR --only own/einsum --variant dynamo_float32 --keep tests/zoo
    zoo.py --operators docs/models.md

Makes small models of many architectures (transformers, timm, torchvision, Keras, scikit-learn, files inside Python packages and networks
written out here), exports each by both exporters of PyTorch, as float32 as people do and as float64, loads the files with rulegrad in
float64 and compares answers and gradients with torch's own (scikit-learn's, and differences of them), computed in float64 from the same
weights. What is right: answers to 1e-9 and gradients to 1e-7 of the largest value where a file holds float64 numbers alone, 1e-5 where
it holds others. Trees have no gradient: occlusion and Shapley values are compared instead.
Everything is kept in DIR but large files that were right; what is there is not made again. Needs torch, onnx, numpy, and transformers,
timm, torchvision, keras, scikit-learn and skl2onnx for the models of each.
"""

import argparse
import contextlib
import copy
import fnmatch
import inspect
import io
import json
import pathlib
import shutil
import signal
import subprocess
import traceback
import warnings

import numpy as np
import torch

from zoo_converted import attempt_converted, attempt_file, holds_float32
from zoo_models import MODELS, load_torchvision
from zoo_page import refused_operators, table, verdict
from zoo_registry import TORCH_EXPORTERS

warnings.filterwarnings("ignore")


def gradients(net, arrays, names):
    """Of <seed, answer> by the float inputs, and by what looks up integer ones, in float64."""
    net = copy.deepcopy(net).double()
    inputs = [a.double().requires_grad_() if a.is_floating_point() else a for a in arrays]
    looked_up = []

    plain = torch.nn.functional.embedding

    def noted(ids, *rest, **named):
        result = plain(ids, *rest, **named)
        of = [name for name, a in zip(names, inputs) if ids.data_ptr() == a.data_ptr() and ids.shape == a.shape]
        if of and result.requires_grad:
            result.retain_grad()
            looked_up.append((f"grad_{of[0]}.{sum(key.startswith('grad_' + of[0] + '.') for key, _ in looked_up)}", result))
        return result

    torch.nn.functional.embedding = noted
    try:
        y = net(*inputs)
    finally:
        torch.nn.functional.embedding = plain
    found = {"output": y.detach().numpy()}
    seed = torch.randn(y.shape, dtype=torch.float64)
    y.backward(seed.to(y.dtype))
    for name, a in zip(names, inputs):
        if a.is_floating_point():
            found["grad_" + name] = (a.grad if a.grad is not None else torch.zeros_like(a)).numpy()
    for key, e in looked_up:
        if e.grad is not None:
            found[key] = e.grad.numpy()
    return found, seed.numpy()


def export(net, arrays, names, path, exporter, free, opset):
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), torch.no_grad():
        if exporter == "dynamo":
            shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in arrays) if free else None
            several = any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(net.forward).parameters.values())
            program = torch.onnx.export(net, tuple(arrays), input_names=names, output_names=["output"], dynamo=True, dynamic_shapes=(shapes,) if free and several else shapes, opset_version=opset, verbose=False)
            program.save(str(path))
        else:
            axes = {name: {0: "batch"} for name in names + ["output"]} if free else None
            torch.onnx.export(net, tuple(arrays), str(path), input_names=names, output_names=["output"], dynamo=False, dynamic_axes=axes, opset_version=opset)


def relative(actual, expected):
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual - expected).max() / max(1e-12, np.abs(expected).max())) if expected.size else 0.0


def run_case(options, file, folder, expected):
    done = subprocess.run([options.case, str(file), str(folder)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        said = subprocess.run([options.command, "inspect", "--json", str(file)], capture_output=True, text=True, timeout=300)
        look = json.loads(said.stdout) if said.returncode == 0 else {"refused": said.stderr}
        return {"loads": False, "why": done.stderr.strip()[-1500:], "told": bool(look["refused"] or look.get("unmapped"))}
    got = np.load(folder / "out.npz")
    result = {"loads": True, "notes": done.stderr.strip()[:500], "forward": relative(got["output"], expected["output"])}
    errors = [relative(got[k], expected[k]) for k in expected if k.startswith("grad_") and k in got]
    result["gradient"] = max(errors) if errors else None
    return result


def make_file(name, exporter, dtype, folder, patience):
    """Exports the model and notes what torch answers."""
    torch.manual_seed(0)
    state = {"exported": False}
    try:
        signal.alarm(patience)
        net, arrays, names = MODELS[name].make()
        net = net.eval()
        expected, seed = gradients(net, arrays, names)
        if dtype == "float64":
            net, arrays = net.double(), [a.double() if a.is_floating_point() else a for a in arrays]
        for free, opset in ((True, 20), (False, 20)) if exporter == "dynamo" else ((True, 17), (True, 20), (False, 17)):
            try:
                export(net, arrays, names, folder / "model.onnx", exporter, free, opset)
                state = {"exported": True, "free": free, "opset": opset}
                break
            except TimeoutError:
                raise
            except Exception as error:
                state.setdefault("why", f"{type(error).__name__}: {error}"[:600])
        np.savez(folder / "in.npz", seed=seed, **{n: a.numpy() for n, a in zip(names, arrays)})
        np.savez(folder / "expected.npz", **expected)
    except BaseException as error:
        state = {"exported": False, "why": f"{type(error).__name__}: {error}"[:600]}
        if isinstance(error, KeyboardInterrupt):
            raise
    finally:
        signal.alarm(0)
    return state


def matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns.split(","))


def variants(name):
    return [(exporter, dtype) for exporter in MODELS[name].exporters for dtype in (("float32",) if exporter == "file" else ("float32", "float64"))]


def attempt(name, exporter, dtype, folder, options):
    record, kept = folder / "result.json", folder / "export.json"
    if record.exists() and not options.again:
        return json.loads(record.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    if exporter not in TORCH_EXPORTERS:
        state = attempt_file(MODELS[name], folder, options) if exporter == "file" else attempt_converted(MODELS[name], dtype, folder, options)
    else:
        if kept.exists() and json.loads(kept.read_text())["exported"] and not (folder / "model.onnx").exists():
            kept.unlink()
        if not kept.exists():
            kept.write_text(json.dumps(make_file(name, exporter, dtype, folder, options.patience)))
        state = json.loads(kept.read_text())
        if options.files:
            return state
        if state["exported"]:
            state["float32"] = dtype == "float32" or holds_float32(folder / "model.onnx")
            try:
                state.update(run_case(options, folder / "model.onnx", folder, dict(np.load(folder / "expected.npz"))))
            except Exception as error:
                state.update({"loads": False, "why": f"{type(error).__name__}: {error}"[:300]})
    record.write_text(json.dumps(state))
    if verdict(state) == "right" and sum(f.stat().st_size for f in folder.iterdir()) > options.largest * 1e6:
        for file in folder.glob("model.onnx*"):
            file.unlink()
    return state


def keep_model(source, target):
    """Without what the exporters note of the machine: lines of source and where they stand."""
    import onnx

    net = onnx.load(str(source))
    for node in net.graph.node:
        node.doc_string = ""
        kept = [(p.key, p.value) for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
    for values in (net.graph.value_info, net.graph.input, net.graph.output, net.graph.initializer):
        for value in values:
            value.doc_string = ""
            if hasattr(value, "metadata_props"):
                del value.metadata_props[:]
    del net.metadata_props[:], net.graph.metadata_props[:]
    net.doc_string = net.graph.doc_string = ""
    onnx.save(net, str(target))


def keep(name, exporter, dtype, options):
    source = options.out / name.replace("/", "_") / f"{exporter}_{dtype}"
    target = options.keep / "_".join([name.replace("/", "_"), exporter] + ([dtype] if dtype == "float64" else []))
    target.mkdir(parents=True, exist_ok=True)
    for file in ("in.npz", "expected.npz"):
        shutil.copy(source / file, target / file)
    keep_model(source / "model.onnx", target / "model.onnx")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="build/benchmarks/model_case", help="the program that loads one model and writes what it computes")
    parser.add_argument("--command", default="build/src/cli/rulegrad", help="the command")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("zoo"))
    parser.add_argument("--only", default="*", help="names, with * and ?, separated by commas")
    parser.add_argument("--variant", default="*", help="exporters and element types, as dynamo_float64,torchscript_*")
    parser.add_argument("--patience", type=int, default=240, help="seconds for one export")
    parser.add_argument("--largest", type=float, default=30, help="MB of files to keep of a model that was right")
    parser.add_argument("--again", action="store_true", help="load files again that were tried before")
    parser.add_argument("--files", action="store_true", help="make files of torch's models and load none")
    parser.add_argument("--known", action="store_true", help="make no new files")
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2: every second model, for two processes")
    parser.add_argument("--table", help="writes this page")
    parser.add_argument("--operators", metavar="PAGE", help="writes only which operators are refused into this page")
    parser.add_argument("--keep", type=pathlib.Path, help="copies files and torch's answers there, for tests")
    return parser.parse_args()


def main():
    options = arguments()
    if options.operators:
        page = pathlib.Path(options.operators)
        lines = refused_operators(options.command)
        page.write_text(page.read_text().partition(lines[0])[0].rstrip() + "\n\n" + "\n".join(lines) + "\n")
        return

    def late(*_):
        raise TimeoutError("it took too long")

    signal.signal(signal.SIGALRM, late)
    torch.set_num_threads(1)
    library = load_torchvision()
    results = {}
    part, parts = map(int, options.part.split("/"))
    chosen = [n for n in MODELS if matches(n, options.only)]
    for name in chosen[part::parts]:
        for exporter, dtype in variants(name):
            folder = options.out / name.replace("/", "_") / f"{exporter}_{dtype}"
            if not matches(folder.name, options.variant) or (options.known and not ((folder / "result.json").exists() or (folder / "export.json").exists())) or (options.files and exporter not in TORCH_EXPORTERS):
                continue
            state = attempt(name, exporter, dtype, folder, options)
            results[name, exporter, dtype] = state
            said = verdict(state) if not options.files else "written" if state["exported"] else "not exported"
            why = state.get("why") if said not in ("right", "written") else ""
            print(f"{name:44} {exporter:12} {dtype} {said}  {(why or ' ').splitlines()[-1][:150]}", flush=True)
    del library
    for name, exporter, dtype in results if options.keep else ():
        if results[name, exporter, dtype]["exported"]:
            keep(name, exporter, dtype, options)
    if options.table:
        table(results, options.table, options.command)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        traceback.print_exc()
