#!/usr/bin/env python3
"""A zoo of models with random weights: how many of what people export can be loaded, and are answers and gradients right?

    zoo.py --case build/benchmarks/model_case --out DIR [--only GLOB] [--exporter dynamo,torchscript] [--table docs/models.md]
    zoo.py --case build/benchmarks/model_case --out DIR --only own/einsum --keep tests/zoo
    zoo.py --operators docs/models.md

Makes small models of many architectures (transformers, timm, torchvision, scikit-learn and written out here), exports each by both
exporters of PyTorch, loads the files with rulegrad in float64 and compares answers and gradients with torch's own, computed in float64
from the same weights. Files hold float32 numbers, so what counts as right is 1e-5 of the largest value.
Everything is kept in DIR; what is there is not made again. Needs torch, onnx, numpy, and transformers, timm, torchvision, scikit-learn
and skl2onnx for the models of each.
"""

import argparse
import contextlib
import copy
import fnmatch
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings

import numpy as np
import torch

from zoo_models import MODELS, Attention, Logits, Tokens, load_torchvision

warnings.filterwarnings("ignore")


def gradients(net, arrays, names, seed):
    """Of <seed, answer> by the float inputs, and by what looks up integer ones, in float64."""
    net = copy.deepcopy(net).double()
    inputs = [a.double().requires_grad_() if a.is_floating_point() else a for a in arrays]
    looked_up = []

    plain = torch.nn.functional.embedding

    def noted(ids, *rest, **named):
        result = plain(ids, *rest, **named)
        if any(ids.data_ptr() == a.data_ptr() and ids.shape == a.shape for a in inputs) and result.requires_grad:
            result.retain_grad()
            looked_up.append(result)
        return result

    torch.nn.functional.embedding = noted
    try:
        y = net(*inputs)
    finally:
        torch.nn.functional.embedding = plain
    found = {"output": y.detach().numpy()}
    if seed is None:
        seed = torch.randn(y.shape, dtype=torch.float64)
    y.backward(seed)
    for name, a in zip(names, inputs):
        if a.is_floating_point():
            found["grad_" + name] = (a.grad if a.grad is not None else torch.zeros_like(a)).numpy()
    for i, e in enumerate(looked_up):
        if e.grad is not None:
            found[f"grad_lookup{i}"] = e.grad.numpy()
    return found, seed.numpy()


def export(net, arrays, names, path, exporter, free):
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), torch.no_grad():
        if exporter == "dynamo":
            shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in arrays) if free else None
            if isinstance(net, (Tokens, Attention, Logits)):
                shapes = None if not free else shapes
            program = torch.onnx.export(net, tuple(arrays), input_names=names, output_names=["output"], dynamo=True, dynamic_shapes=shapes, opset_version=20, verbose=False)
            program.save(str(path))
        else:
            axes = {name: {0: "batch"} for name in names + ["output"]} if free else None
            torch.onnx.export(net, tuple(arrays), str(path), input_names=names, output_names=["output"], dynamo=False, dynamic_axes=axes, opset_version=17)


def relative(actual, expected):
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual - expected).max() / max(1e-12, np.abs(expected).max())) if expected.size else 0.0


def run_case(case, file, folder, expected):
    done = subprocess.run([case, str(file), str(folder)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        return {"loads": False, "why": done.stderr.strip()[-1500:]}
    got = np.load(folder / "out.npz")
    result = {"loads": True, "notes": done.stderr.strip()[:500], "forward": relative(got["output_0"], expected["output"])}
    errors = [relative(got[k], expected[k]) for k in expected if k.startswith("grad_") and k in got]
    result["gradient"] = max(errors) if errors else None
    return result


def attempt(name, exporter, options):
    folder = options.out / name / exporter
    record = folder / "result.json"
    file = folder / "model.onnx"
    if record.exists() and not options.again:
        return json.loads(record.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "export.json"
    if not kept.exists():
        torch.manual_seed(0)
        state = {"exported": False}
        try:
            signal.alarm(options.patience)
            net, arrays, names = MODELS[name][0]()
            net = net.eval()
            expected, seed = gradients(net, arrays, names, None)
            for free in (True, False):
                try:
                    export(net, arrays, names, file, exporter, free)
                    state = {"exported": True, "free": free}
                    break
                except TimeoutError:
                    raise
                except Exception as error:
                    state["why"] = f"{type(error).__name__}: {error}"[:300]
            np.savez(folder / "in.npz", seed=seed, **{n: a.numpy() for n, a in zip(names, arrays)})
            np.savez(folder / "expected.npz", **expected)
        except BaseException as error:
            state = {"exported": False, "why": f"{type(error).__name__}: {error}"[:300]}
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            signal.alarm(0)
        kept.write_text(json.dumps(state))
    state = json.loads(kept.read_text())
    if state["exported"]:
        try:
            state.update(run_case(options.case, file, folder, dict(np.load(folder / "expected.npz"))))
        except Exception as error:
            state.update({"loads": False, "why": f"{type(error).__name__}: {error}"[:300]})
    record.write_text(json.dumps(state))
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


def verdict(state):
    if not state["exported"]:
        return "not exported"
    if not state.get("loads"):
        return "refused"
    worst = max(state["forward"], state["gradient"] or 0)
    return "right" if worst < 1e-5 else f"off by {worst:.1e}"


def table(results, path):
    exporters = sorted({exporter for _, exporter in results})
    lines = ["# Models that were tried", "", "Written by `scripts/zoo.py` from models with random weights, exported by both exporters of PyTorch (`dynamo`: operator set 20,",
             "`torchscript`: 17) and compared in float64 with torch's answers and gradients: right to 1e-5 of the largest value, as the files hold float32", "numbers.", ""]
    for exporter in exporters:
        of = [s for (n, e), s in results.items() if e == exporter and s["exported"]]
        loaded = [s for s in of if s.get("loads")]
        right = [s for s in loaded if verdict(s) == "right"]
        lines.append(f"- {exporter}: {len(of)} exported, {len(loaded)} load ({100 * len(loaded) / max(1, len(of)):.1f} %), {len(right)} of these are right.")
    lines += ["", "Operators were added while these models were tried, so the shares say what loads now, not what share of other models would."]
    lines += ["", "| model | " + " | ".join(exporters) + " |", "|---|" + "---|" * len(exporters)]
    for name in sorted({n for n, _ in results}):
        lines.append(f"| {name} | " + " | ".join(verdict(results[name, e]) if (name, e) in results else "" for e in exporters) + " |")
    refused = {k: s for k, s in results.items() if s["exported"] and not s.get("loads")}
    if refused:
        lines += ["", "## What is refused, and why", ""]
        for (name, exporter), state in sorted(refused.items()):
            why = re.sub(r"cannot load '[^']*': ", "", state.get("why", "")).replace("|", "\\|").split("\n")[0]
            lines.append(f"- {name} ({exporter}): {why[:300]}")
    missing = {k: s for k, s in results.items() if not s["exported"]}
    if missing:
        lines += ["", "## What PyTorch does not export", ""]
        for (name, exporter), state in sorted(missing.items()):
            lines.append(f"- {name} ({exporter}): {state.get('why', '').splitlines()[0][:160] if state.get('why') else ''}")
    lines += ["", *refused_operators("build/src/cli/rulegrad")]
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


# What is refused of ONNX's own operators, and why.
REFUSED = {
    "words and pictures, not numbers": "CastMap CategoryMapper DictVectorizer ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
    "random numbers that the file does not hold: what it computes is different each time": "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
    "how many values there are depends on the values": "NonMaxSuppression Unique",
    "regions that are cut out at places which are themselves outputs": "DeformConv MaxRoiPool RoiAlign",
    "values that may be missing, and functions over sequences": "Optional OptionalGetElement OptionalHasElement SequenceMap",
    "losses, which training adds; export the model for inference": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    "bits of numbers, in which no differentiable network computes": "BitCast BitwiseAnd BitwiseNot BitwiseOr BitwiseXor",
    "not met in a model yet": "CausalConvWithState Col2Im CumProd LinearAttention MaxUnpool MelWeightMatrix SwiGLU TreeEnsemble",
}


def refused_operators(command, start="## Operators that are refused, and why"):
    """The operators of ONNX and of ai.onnx.ml that `rulegrad inspect` does not map, each with its reason."""
    import onnx
    from onnx import TensorProto, helper
    known = {name: why for why, names in REFUSED.items() for name in names.split()}
    found = set()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "one.onnx"
        for schema in {(s.domain, s.name): s for s in onnx.defs.get_all_schemas() if s.domain in ("", "ai.onnx.ml")}.values():
            node = helper.make_node(schema.name, ["x"] * max(1, schema.min_input), ["y"], domain=schema.domain)
            graph = helper.make_graph([node], "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
                                      [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
            operators = [helper.make_opsetid("", 22), helper.make_opsetid("ai.onnx.ml", 3)]
            path.write_bytes(helper.make_model(graph, opset_imports=operators).SerializeToString())
            said = subprocess.run([command, "inspect", path], capture_output=True, text=True, check=False).stdout
            if schema.name in said.partition("not mapped")[2]:
                found.add(schema.name)
    unexplained, mapped = sorted(found - set(known)), sorted(set(known) - found)
    if unexplained or mapped:
        sys.exit(f"zoo.py: no reason is given for {unexplained}, and {mapped} are mapped or unknown")
    lines = [start, "", f"Of the {len(onnx.defs.get_all_schemas())} operators of onnx {onnx.__version__}'s own sets and of ai.onnx.ml, old ones among them, these are "
             "refused by name; all others are mapped, some with limits that [formats.md](formats.md) tells.", ""]
    return lines + [f"- {', '.join(names.split())}: {why}." for why, names in REFUSED.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="build/benchmarks/model_case", help="the program that loads one model and writes what it computes")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("zoo"))
    parser.add_argument("--only", default="*")
    parser.add_argument("--exporter", default="dynamo,torchscript")
    parser.add_argument("--patience", type=int, default=240, help="seconds for one export")
    parser.add_argument("--again", action="store_true", help="load files again that were tried before")
    parser.add_argument("--known", action="store_true", help="make no new files")
    parser.add_argument("--table", help="writes this page")
    parser.add_argument("--operators", metavar="PAGE", help="writes only which operators are refused into this page")
    parser.add_argument("--command", default="build/src/cli/rulegrad", help="the command, for --operators")
    parser.add_argument("--keep", type=pathlib.Path, help="copies files and torch's answers there, for tests")
    options = parser.parse_args()
    if options.operators:
        page = pathlib.Path(options.operators)
        lines = refused_operators(options.command)
        page.write_text(page.read_text().partition(lines[0])[0].rstrip() + "\n\n" + "\n".join(lines) + "\n")
        return

    def late(*_):
        raise TimeoutError("it took too long")

    signal.signal(signal.SIGALRM, late)
    torch.set_num_threads(1)
    keep = load_torchvision()
    results = {}
    for name in MODELS:
        if not fnmatch.fnmatch(name, options.only):
            continue
        for exporter in options.exporter.split(","):
            if options.known and not (options.out / name / exporter / "export.json").exists():
                continue
            state = attempt(name, exporter, options)
            results[name, exporter] = state
            print(f"{name:44} {exporter:12} {verdict(state)}  {(state.get('why') or '').splitlines()[-1][:150] if verdict(state) != 'right' and state.get('why') else ''}", flush=True)
    del keep
    for name, exporter in results if options.keep else ():
        source, target = options.out / name / exporter, options.keep / f"{name.replace('/', '_')}_{exporter}"
        if not results[name, exporter]["exported"]:
            continue
        target.mkdir(parents=True, exist_ok=True)
        for file in ("in.npz", "expected.npz"):
            shutil.copy(source / file, target / file)
        keep_model(source / "model.onnx", target / "model.onnx")
    if options.table:
        table(results, options.table)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        traceback.print_exc()
