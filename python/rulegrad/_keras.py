"""Models of Keras 3, through its own export."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any

import numpy as np

from ._onnx import load_onnx
from ._temporary import kept_folder
from ._torch import _compare, name_nodes
from .errors import ArgumentError, ModelError, needs


def from_keras(model: Any, *, name: str | None = None, tolerance: float = 1e-3, **options: Any):
    """A Keras 3 model as a Model, through `model.export(path, format="onnx")`.

    Keras exports ONNX with the backends torch (needs onnxscript) and tensorflow (needs tf2onnx); nodes are named
    after layers where onnx_ir is installed, which onnxscript brings. What `load` takes (dtype, rules, labels, preprocess) may be given. Pictures stay as Keras has them, usually
    [N, H, W, C]; `model.preprocessing["layout"]` says "nhwc" then. The outputs are compared with Keras' on zeros and on
    normal numbers, and `model.notes` says the difference; ModelError beyond `tolerance` of the largest.
    """
    try:
        import keras
    except ImportError:
        raise needs("keras", "from_keras") from None

    if not hasattr(model, "export") or not hasattr(model, "layers"):
        raise ArgumentError(f"from_keras takes a Keras 3 model; {type(model).__name__} is none")
    title = name or model.name
    path = os.path.join(kept_folder(), f"{title}.onnx")
    shapes = [tuple(1 if extent is None else extent for extent in value.shape) for value in model.inputs]
    rng = np.random.default_rng(0)
    example = tuple(np.zeros(shape, "int32") if "int" in str(value.dtype) else rng.standard_normal(shape).astype("float32") for shape, value in zip(shapes, model.inputs))
    expected = model(example[0] if len(example) == 1 else list(example), training=False)  # functional models must be called before they are exported
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")  # torch's tracer speaks of Keras' own branches, and prints the graph where it fails
            model.export(path, format="onnx", verbose=False)
    except ImportError:
        raise
    except Exception as problem:  # whatever exporters throw, of many kinds
        try:
            _export_by_torch(model, example, path)
        except Exception:
            raise ModelError(f"Keras could not export {title}: {problem}") from problem
    _name_layers(model, example, path)
    made = load_onnx(path, **options)
    if any(len(shape) == 4 for shape in shapes) and keras.config.image_data_format() == "channels_last" and options.get("preprocess") is None:
        made.preprocessing["layout"] = "nhwc"
    notes: list[str] = []
    made._source.update(temporary=True, name=title, notes=notes)
    expected = [keras.ops.convert_to_numpy(value) for value in (expected if isinstance(expected, (list, tuple)) else expected.values() if isinstance(expected, dict) else [expected])]
    _compare(made, example, expected, tolerance, notes)
    return made


@contextlib.contextmanager
def _quiet():
    """Nothing is written to standard output and error meanwhile: torch prints whole graphs from C++ where its tracer fails."""
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream, _ in kept:
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, copy in kept:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


def _export_by_torch(model: Any, example: tuple, path: str) -> None:
    """What Keras exports with a free batch its tracer may not follow: torch's other exporter, for one sample at a time. The
    library frees the batch itself where it can."""
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, *values: Any) -> Any:
            return self.inner(values[0] if len(values) == 1 else list(values), training=False)

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(Wrapped().eval(), tuple(torch.as_tensor(value) for value in example), dynamo=True, verbose=False)
    assert program is not None  # by dynamo=True
    program.save(path)


def _name_layers(model: Any, example: tuple, path: str) -> None:
    """Names in the file: a layer's name for what it gives, `layer/operator` for what it computes on the way.

    Exporters forget layers, so they are found by what they give on the example: the first value that equals it.
    """
    try:
        import keras
        import onnx_ir as ir

        layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
        probe = keras.Model(model.inputs, [layer.output for layer in layers])
        given = probe(example[0] if len(example) == 1 else list(example), training=False)
        wanted = [np.asarray(keras.ops.convert_to_numpy(value)) for value in (given if isinstance(given, (list, tuple)) else [given])]
    except (ImportError, AttributeError, ValueError, RuntimeError):  # a subclassed model, a layer with several outputs: names stay as exported
        return
    made = ir.load(path)
    nodes = list(made.graph)
    loaded = load_onnx(path)
    known = {name for row in loaded.nodes for name in row["names"]}
    asked = [str(node.outputs[0].name) for node in nodes if node.outputs and node.outputs[0].name in known]
    values = loaded.predict(tuple(example), asked, check_finite=False) if asked else {}
    def same(candidate: int, layer: int) -> bool:
        found = values.get(str(nodes[candidate].outputs[0].name)) if nodes[candidate].outputs else None
        if found is None or found.shape != wanted[layer].shape:
            return False
        limit = 1e-4 * max(float(np.abs(wanted[layer]).max(initial=0.0)), 1e-6)
        return float(np.abs(found - wanted[layer]).max(initial=0.0)) <= limit

    firsts: list[int | None] = []
    start = 0
    for layer in range(len(layers)):
        found = next((k for k in range(start, len(nodes)) if same(k, layer)), None)
        firsts.append(found)
        start = start if found is None else found
    # The last value that equals what the layer gives, before the next layer has given its own.
    ends: list[tuple[int, str]] = []
    for place, begin in enumerate(firsts):
        if begin is not None:
            stop = min([k for k in firsts[place + 1:] if k is not None and k > begin], default=len(nodes))
            ends.append((max(k for k in range(begin, stop) if same(k, place)), layers[place].name))
    names = [node.name or node.op_type.lower() for node in nodes]
    used: dict[str, int] = {}
    first = 0
    for end, title in ends:
        for k in range(first, end):
            name = f"{title}/{nodes[k].op_type.lower()}"
            used[name] = used.get(name, 0) + 1
            names[k] = name if used[name] == 1 else f"{name}#{used[name]}"
        if end >= first:
            names[end] = title
        first = max(first, end + 1)
    name_nodes(made, names)
    ir.save(made, path)
