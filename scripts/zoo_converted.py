"""Models that no exporter of torch wrote: scikit-learn's, and files inside Python packages."""

import itertools
import math
import pathlib
import subprocess

import numpy as np


def holds_float32(path):
    """Whether a file's numbers, or some of its steps, are no float64: one that a float32 rounds, or a conversion to float32."""
    import onnx

    net = onnx.load(str(path))
    rounded = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}

    def coarse(tensor):
        if tensor.data_type == onnx.TensorProto.DOUBLE and not tensor.dims:  # exporters round the numbers of a program to float32
            value = float(onnx.numpy_helper.to_array(tensor))
            return value * 1024 != np.round(value * 1024) and np.float32(value) == value or not np.isfinite(value)
        if tensor.data_type not in rounded:
            return False
        values = onnx.numpy_helper.to_array(tensor, str(pathlib.Path(path).parent)).astype(np.float64) * 1024
        return bool(np.any(values != np.round(values)))

    def nodes(graph):
        for node in graph.node:
            yield node
            for a in node.attribute:
                for inner in [a.g] if a.type == a.GRAPH else a.graphs:
                    yield from nodes(inner)

    every = [n for graph in [net.graph, *net.functions] for n in nodes(graph)]
    def inexact(node, a):
        if a.type == a.TENSOR:
            return coarse(a.t)
        if a.type == a.FLOAT:  # attributes are float32; a slope, not the epsilon of a norm
            return a.name != "epsilon" and a.f * 1024 != round(a.f * 1024)
        if a.type == a.FLOATS:
            return any(f * 1024 != round(f * 1024) for f in a.floats)
        return node.op_type == "Cast" and a.name == "to" and a.i in rounded

    return any(coarse(t) for t in net.graph.initializer) or any(inexact(n, a) for n in every for a in n.attribute)


def differences(function, inputs, seed, step=1e-4):
    """The gradient of <seed, answer> by central differences, extrapolated once (the error is of fourth order)."""
    found = {}
    for name, x in inputs.items():
        grad = np.zeros_like(x)
        for where in np.ndindex(*x.shape):
            def at(delta):
                moved = x.copy()
                moved[where] += delta
                return float((seed * function(**{**inputs, name: moved})).sum())
            grad[where] = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
        found["grad_" + name] = grad
    return found


def relative(actual, expected):
    if actual.size != expected.size:
        return float("inf")
    return float(np.abs(actual.reshape(expected.shape) - expected).max() / max(1e-12, np.abs(expected).max()))


def occlusion(function, x, target):
    """What the score loses when a feature is 0."""
    result = np.zeros_like(x)
    for j in range(x.shape[1]):
        hidden = x.copy()
        hidden[:, j] = 0
        result[:, j] = function(x)[:, target] - function(hidden)[:, target]
    return result


def shapley(function, x, target):
    """Shapley values against 0 by all coalitions."""
    count = x.shape[1]
    result = np.zeros_like(x)
    for j in range(count):
        others = [k for k in range(count) if k != j]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for coalition in itertools.combinations(others, size):
                mask = np.zeros(count)
                mask[list(coalition)] = 1
                with_j = mask.copy()
                with_j[j] = 1
                result[:, j] += weight * (function(x * with_j) - function(x * mask))[:, target]
    return result


def explained(options, file, folder, method, output):
    out = folder / "explained.npy"
    command = [options.command, "analyze", str(file), "--method", method, "--input", str(folder / "x.npy"), "--target", "0", "--head", "probability", "--dtype", "float64", "--output", str(out)]
    done = subprocess.run(command + (["--output-node", output] if output else []), capture_output=True, text=True, timeout=300)
    return (np.load(out), "") if done.returncode == 0 else (None, done.stderr.strip())


def answer_of_runtime(file, case):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    kind = {i.name: np.float64 if "double" in i.type else np.float32 for i in session.get_inputs()}
    outputs = [case.output] if case.output else None
    return np.asarray(session.run(outputs, {n: x.astype(kind[n]) for n, x in case.inputs.items()})[0], dtype=np.float64)


def attempt_converted(entry, dtype, folder, options):
    file = folder / "model.onnx"
    try:
        case = entry.make(dtype)
    except Exception as error:
        return {"exported": False, "why": f"{type(error).__name__}: {error}"[:600]}
    file.write_bytes(case.data)
    state = {"exported": True, "free": True, "float32": dtype == "float32" or holds_float32(file)}
    rng = np.random.default_rng(5)
    expected = {"output": np.asarray(case.function(**case.inputs), dtype=np.float64)}
    seed = rng.normal(size=expected["output"].shape)
    if case.smooth:
        expected.update(differences(case.function, case.inputs, seed))
    np.savez(folder / "expected.npz", **expected)
    np.savez(folder / "in.npz", seed=seed, **case.inputs)
    done = subprocess.run([options.case, str(file), str(folder), case.output] + ([] if case.smooth else ["--forward"]), capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        return {**state, "loads": False, "why": done.stderr.strip()[-1500:]}
    got = np.load(folder / "out.npz")
    state.update({"loads": True, "notes": done.stderr.strip()[:500], "forward": relative(got["output"], expected["output"])})
    if state["forward"] > 1e-5 and relative(got["output"], answer_of_runtime(file, case)) < 1e-5:
        return {**state, "gradient": None, "file_differs": True, "why": "the file does not compute what scikit-learn does; rulegrad's answers are onnxruntime's"}
    if case.smooth:
        state["gradient"] = max(relative(got[k], expected[k]) for k in expected if k.startswith("grad_"))
        return state
    # No gradient: it must be an error that says so, and what needs none must be right.
    refused = subprocess.run([options.case, str(file), str(folder), case.output], capture_output=True, text=True, timeout=300)
    flat = refused.returncode == 0 and not any(np.load(folder / "out.npz")["grad_" + n].any() for n in case.inputs)  # a sum of steps: 0 is its gradient
    state["honest"] = flat or "no derivative" in refused.stderr
    x = case.inputs["x"]
    np.save(folder / "x.npy", x)
    values, why = explained(options, file, folder, "occlusion:window=1", case.output)
    sampled, late = explained(options, file, folder, "shapley:n=1500", case.output)
    if values is None or sampled is None:
        return {**state, "loads": False, "why": why or late}
    exact = shapley(case.function, x, 0)
    state["gradient"] = max(relative(values, occlusion(case.function, x, 0)), relative(sampled.sum(1), exact.sum(1)))
    state["shapley"] = relative(sampled, exact)  # drawn orders: about 1 / sqrt(1500) of what single orders give
    if state["shapley"] > 0.1:
        state["gradient"] = state["shapley"]
    return state


def attempt_file(entry, folder, options):
    """A file against onnxruntime, its gradient against differences of its own answers along three directions."""
    import onnxruntime

    try:
        file, inputs = entry.make()
        session = onnxruntime.InferenceSession(str(file))
        first = session.run(None, {k: v for k, v in inputs.items() if k in {i.name for i in session.get_inputs()}})[0]
    except Exception as error:
        return {"exported": False, "why": f"{type(error).__name__}: {error}"[:600]}
    state = {"exported": True, "float32": True}
    rng = np.random.default_rng(2)
    seed = rng.normal(size=first.shape)

    def case(moved, *more):
        np.savez(folder / "in.npz", seed=seed, **moved)
        return subprocess.run([options.case, str(file), str(folder), *more], capture_output=True, text=True, timeout=300)

    done = case(inputs)
    if done.returncode != 0:
        return {**state, "loads": False, "why": done.stderr.strip()[-1500:]}
    got = dict(np.load(folder / "out.npz"))
    state.update({"loads": True, "notes": done.stderr.strip()[:500], "forward": relative(got["output"], first.astype(np.float64)), "gradient": None})
    errors = []
    for name in [n for n in inputs if "grad_" + n in got]:
        direction, x = rng.normal(size=inputs[name].shape), inputs[name].astype(np.float64)
        sums = []
        for step in (1e-8, -1e-8):
            if case({**inputs, name: x + step * direction}, "--forward").returncode == 0:
                sums.append(float((np.load(folder / "out.npz")["output"] * seed).sum()))
        slope, said = (sums[0] - sums[1]) / 2e-8, float((got["grad_" + name] * direction).sum())
        errors.append(abs(slope - said) / max(1e-12, abs(slope), np.linalg.norm(got["grad_" + name])))
    state["gradient"] = max(errors) if errors else None
    return state
