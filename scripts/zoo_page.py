"""docs/models.md: what the zoo found, and which operators are refused."""

import pathlib
import re
import subprocess
import sys
import tempfile

KINDS = {
    "text": "Language models of transformers", "encoder": "Encoders, towers, speech, video and series of transformers", "vision": "Picture models of transformers", "timm": "timm", "torchvision": "torchvision",
    "keras": "Keras", "sklearn": "scikit-learn", "package": "Files inside Python packages", "own": "Functions and small networks, written out",
}
# What a difference may be: answers and gradients, where a file holds float64 numbers alone, and elsewhere.
STRICT, LOOSE = (1e-9, 1e-7), (1e-5, 1e-5)


def bounds(state):
    return STRICT if state.get("float32") is False else LOOSE


def verdict(state):
    if not state["exported"]:
        return "not exported"
    if not state.get("loads"):
        return "refused"
    forward, gradient = bounds(state)
    if state.get("file_differs"):
        return "as onnxruntime"
    if state.get("honest") is False:
        return "a gradient where there is none"
    if state["forward"] <= forward and (state["gradient"] or 0) <= gradient:
        return "right"
    return f"off by {max(state['forward'], state['gradient'] or 0):.1e}"


def cell(state):
    if state is None:
        return ""
    text = {"not exported": "–", "right": "right"}.get(verdict(state), verdict(state))
    return text + (", float64" if text == "right" and state.get("float32") is False else "")


def plain(words):
    """An exporter's words as text: what looks like a link of Markdown is none."""
    return words.replace("](", "] (").rstrip()


def first_line(state, most=240):
    why = re.sub(r"\x1b\[[0-9;]*m", "", re.sub(r"cannot load '[^']*': ", "", state.get("why") or ""))
    why = re.sub(r"(, scope:[^\n]*| #| \[Caused by[^\n]*)? ?/(tmp|work|usr|home|root|opt)/[^\n]*", "", why)  # nobody else's places
    lines = [line for line in why.splitlines() if line.strip()]
    text = lines[0] if lines else ""
    if "This is step" in text or text.startswith("ConversionError: Failed to convert"):
        causes = [line for line in lines if re.match(r"^<?class|^.*(Error|No ONNX|not supported|No decompositions)", line)]
        text = causes[-1] if causes else text
    if captured := re.match(r"<class '([\w.]+)", text):
        text = captured.group(1).rsplit(".", 1)[-1] + " while PyTorch captured the program"
    return text.replace("|", "\\|")[:most]


def summary(results):
    lines = ["| | models | files | load | right | largest difference of answers | of gradients |", "|---|---|---|---|---|---|---|"]
    groups = [("dynamo", "float32"), ("dynamo", "float64"), ("torchscript", "float32"), ("torchscript", "float64"), ("skl2onnx", "float32"), ("skl2onnx", "float64"), ("file", "float32")]
    for exporter, dtype in groups:
        tried = {n: s for (n, e, d), s in results.items() if (e, d) == (exporter, dtype)}
        for strict in (False, True):
            files = [s for s in tried.values() if s["exported"] and (s.get("float32") is False) == strict]
            if not files:
                continue
            loads = [s for s in files if s.get("loads")]
            right = [s for s in loads if verdict(s) == "right"]
            worst = [max((s[key] or 0 for s in right), default=0) for key in ("forward", "gradient")]
            name = f"{exporter}, {dtype}" + ("" if dtype == "float32" else " numbers alone" if strict else " with float32 numbers or steps inside")
            lines.append(f"| {name} | {len(tried)} | {len(files)} | {len(loads)} ({100 * len(loads) / len(files):.1f} %) | {len(right)} | {worst[0]:.1e} | {worst[1]:.1e} |")
    both = [n for n in {k[0] for k in results} if all(any(results.get((n, e, d), {}).get("exported") for d in ("float32", "float64")) for e in ("dynamo", "torchscript"))]
    whole = [n for n in both if all(s.get("loads") for k, s in results.items() if k[0] == n and s["exported"])]
    return lines + ["", f"Of {len(both)} models of which both exporters of PyTorch wrote a file, {len(whole)} load from every file that was written ({100 * len(whole) / max(1, len(both)):.1f} %)."]


def listed(title, note, states, reasons_by_model=None):
    """One line for each reason, with the models that have it."""
    if not states:
        return []
    reasons = {}
    for (name, exporter, dtype), state in sorted(states.items()):
        reasons.setdefault(first_line(state) if state.get("why") else "no reason was given", {}).setdefault(name, set()).add(exporter)
    lines = ["", f"## {title}", "", note, ""]
    for why, names in reasons.items():
        justified = next((f" — {reasons_by_model[n]}" for n in names if n in (reasons_by_model or {})), None) or next((f" — {text}" for said, text in JUSTIFIED.items() if said in why), "")
        lines.append(f"- {', '.join(f'{n} ({chr(44).join(sorted(e))})' for n, e in names.items())}: {plain(why)}{justified}")
    return lines


def table(results, path, command):
    names = sorted({n for n, _, _ in results})
    lines = ["# Models that were tried", "",
             f"Written by `scripts/zoo.py`: {len(names)} models with random weights (those of scikit-learn are trained), small where they can be. Each is exported by both exporters of",
             "PyTorch (`dynamo`: operator set 20, `torchscript`: 17, 20 where that is too low), as float32, as people do, and as float64; scikit-learn's by skl2onnx. The files are loaded in float64 and compared with what",
             "torch, Keras or scikit-learn answer in float64 from the same weights, and with gradients: torch's own, and for scikit-learn differences of its answers. *Right* means",
             "within 1e-9 (answers) and 1e-7 (gradients) of the largest value where a file holds float64 numbers alone (`right, float64`), and within 1e-5 where it holds numbers or steps in float32.",
             "Trees have no gradient, which asking for one says; there *right* means that occlusion, and the sums of Shapley values, are those of scikit-learn's own answers. Files inside of",
             "packages are compared with onnxruntime, and their gradients with differences. A dash: there is no such file, since the exporter refused; why stands below. An empty cell was not tried.", ""]
    lines += summary(results)
    lines += ["", "Operators were added while models were tried, so the shares say what loads now, not what share of other models would."]
    for kind, title in KINDS.items():
        of = [n for n in names if n.startswith(kind + "/")]
        variants = [(e, d) for e in ("dynamo", "torchscript", "skl2onnx", "file") for d in ("float32", "float64") if any((n, e, d) in results for n in of)]
        if not of:
            continue
        lines += ["", f"## {title}", "", "| model | " + " | ".join(f"{e}, {d}" for e, d in variants) + " |", "|---|" + "---|" * len(variants)]
        lines += [f"| {n.partition('/')[2]} | " + " | ".join(cell(results.get((n, e, d))) for e, d in variants) + " |" for n in of]
    refused = {k: s for k, s in results.items() if s["exported"] and not s.get("loads")}
    later = sorted({k[0] for k, s in refused.items() if s.get("told") is False})
    note = "These files are written and do not load, or do not run. `rulegrad inspect` says so beforehand" + (f", but for {', '.join(later)}, which load: what they come to depends on the values." if later else ".")
    lines += listed("What is refused, and why", note, refused, REASONS)
    off = {k: s for k, s in results.items() if s["exported"] and s.get("loads") and verdict(s) != "right"}
    lines += listed("What differs", "By more than the bounds above.", {k: {**s, "why": OFF.get(k[0], verdict(s))} for k, s in off.items()})
    lines += listed("What the exporters refuse", "There is no file to load; the words are the exporter's or the model's own. Elsewhere such a model loads from the other exporter where that one takes it.",
                    {k: s for k, s in results.items() if not s["exported"]})
    lines += ["", *refused_operators(command)]
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


# Why a file is refused, by what rulegrad says of it, and what to do.
JUSTIFIED = {
    "DynamicQuantizeLSTM": "an LSTM that is quantised while it runs",
    "depends on the model's inputs, and both branches": "which branch runs is the value of an input (here the sampling rate), and the branches differ; silero_vad_16k, which is written for one rate, loads",
    "probabilities of more than two classes": "libsvm couples pairs of classes by an iteration whose length depends on the values; exported with `probability=False` it loads",
    "lies outside of axis 0": "the file was traced for two samples, whatever it declares, and which tokens are global is chosen by their values",
    "what NonZero looks through": "which rows go through an expert or an adapter depends on their values, and with them the shapes; mixtures of experts that weigh all of them load",
    "masked throughout with -inf": "the exporter wrote the smallest float64 as -inf, and a softmax over a row that is padded throughout is then no number, in any runtime; in the float32 file of torchscript it is the smallest float32, and that file is right",
    "holds inf at": "the exporter wrote the largest float64 as infinite; the float32 file of the same model is right, and `--allow-non-finite` loads this one",
    "holds -inf at": "the exporter wrote the smallest float64 as -inf, and adds it up; torchscript's float32 file is right",
    "dim 0 must be 1": "the batch could not be freed, so samples come one at a time",
}

# The same by model, where rulegrad cannot know.
REASONS = {
    "own/graph_attention": "the exporter dropped the 1e-9 that is added to a sum which may be 0, and wrote index_add as a ScatterND that adds nothing up: the file divides 0 by 0",
}

# Why an answer may differ by more than the bounds, by model.
OFF = {
    "sklearn/svc_probability": "libsvm's coupling of two classes stops within 0.0025 of what it would come to, which is what rulegrad gives",
    "sklearn/k_neighbors_regressor": "the file weighs all neighbours alike, which scikit-learn does not; onnxruntime gives rulegrad's answers",
    "package/basic_pitch": "onnxruntime computes in float32; ONNX's reference evaluator in float64 gives rulegrad's answer to 1.7e-13",
    "package/silero_vad_16k": "onnxruntime computes in float32; ONNX's reference evaluator in float64 gives rulegrad's answer to 6.8e-16",
    "package/rapidocr_places": "the largest answer is 1.2e-4, and onnxruntime's float32 is off by 8e-8 of one",
}

# What is refused of ONNX's own operators, and why.
REFUSED = {
    "words and pictures, not numbers": "CastMap CategoryMapper DictVectorizer ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
    "random numbers that the file does not hold: what it computes is different each time": "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
    "how many values there are depends on the values": "NonMaxSuppression Unique",
    "regions that are cut out at places which are themselves outputs": "DeformConv MaxRoiPool RoiAlign",
    "values that may be missing, and functions over sequences": "Optional OptionalGetElement OptionalHasElement SequenceMap",
    "losses, which training adds; export the model for inference": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    "bits of numbers, in which no differentiable network computes": "BitCast BitwiseAnd BitwiseNot BitwiseOr BitwiseXor",
    "not met in a model yet": "CausalConvWithState CumProd LinearAttention MaxUnpool MelWeightMatrix SwiGLU TreeEnsemble",
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
