"""Models of PyTorch, through torch's own exporter."""

from __future__ import annotations

import ast
import os
import warnings
from typing import Any, Sequence

import numpy as np

from ._arrays import as_numpy
from ._onnx import load_onnx
from ._temporary import kept_folder
from .errors import ArgumentError, ModelError, needs


def scope_names(nodes: Sequence[tuple[str, str]]) -> list[str]:
    """Names for nodes in the order of the graph, from (module path, operator) of each: the path for what a module gives,
    `path/operator` for what it computes on the way; a module that is used again gets `#2`, `#3`.

        [("conv1", "Conv"), ("", "Relu"), ("fc", "Gemm")]  ->  ["conv1", "relu", "fc"]
    """
    last: dict[str, int] = {}
    for position, (path, _) in enumerate(nodes):
        parts = path.split(".") if path else []
        for depth in range(1, len(parts) + 1):
            last[".".join(parts[:depth])] = position
    # A module used twice ends twice: where its run of nodes is interrupted by others.
    ends = set(last.values())
    for position in range(len(nodes) - 1):
        path, following = nodes[position][0], nodes[position + 1][0]
        if path and following != path and not following.startswith(path + "."):
            ends.add(position)
    used: dict[str, int] = {}
    names = []
    for position, (path, operator) in enumerate(nodes):
        own_end = bool(path) and position in ends and (position == last[path] or nodes[position + 1][0] != path)
        name = path if own_end else (f"{path}/{operator.lower()}" if path else operator.lower())
        used[name] = used.get(name, 0) + 1
        names.append(name if used[name] == 1 else f"{name}#{used[name]}")
    return names


def rename(model: Any) -> None:
    """Gives the nodes of a model that torch exported, and the values they give, the names of their modules."""
    graph = model.graph
    nodes = list(graph)
    described = []
    for node in nodes:
        scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]")
        try:
            # The innermost module; the last scope is the operation itself.
            path = ([""] + [scope for scope in ast.literal_eval(scopes)[:-1]])[-1]
        except (ValueError, SyntaxError):
            path = ""
        described.append((str(path), node.op_type))
    name_nodes(model, scope_names(described))
    # A module whose last operation is another module's gives what that gives.
    import onnx_ir as ir

    ends: dict[str, int] = {}
    for position, (path, _) in enumerate(described):
        parts = path.split(".") if path else []
        for depth in range(1, len(parts)):
            ends[".".join(parts[:depth])] = position
    taken = {node.name for node in nodes}
    for path, position in ends.items():
        if path not in taken and nodes[position].outputs:
            graph.append(ir.Node("", "Identity", [nodes[position].outputs[0]], name=path, outputs=[ir.Value(name=path)]))


def name_nodes(model: Any, names: Sequence[str]) -> None:
    """Names for the nodes in the order of the graph, and for the values they give, outputs of the model among them."""
    graph = model.graph
    fixed = {value.name for value in graph.inputs} | set(graph.initializers)
    for node, name in zip(list(graph), names):
        node.name = name
        for position, value in enumerate(node.outputs):
            if not value.name:
                continue
            wanted = name if position == 0 else f"{name}.{position}"
            if wanted not in fixed:
                value.name = wanted


def _export(module: Any, example: tuple, dynamic_batch: bool, path: str, opset: int | None, optimize: bool) -> str:
    import torch

    shapes = tuple({0: torch.export.Dim.DYNAMIC} if getattr(value, "ndim", 0) else None for value in example) if dynamic_batch else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, example, dynamo=True, dynamic_shapes=shapes, opset_version=opset, verbose=False, optimize=optimize)
    assert program is not None  # by dynamo=True
    rename(program.model)
    program.save(path)
    return path


def from_torch(module: Any, example_inputs: Any, dynamic_batch: bool = True, *, name: str | None = None, tolerance: float = 1e-3, opset: int | None = None,
               **options: Any):
    """A torch.nn.Module as a Model.

    module          in the state in which it is to be explained; it is exported in eval mode and put back
    example_inputs  a tensor, or a tuple of tensors, batch first, as the module takes them
    dynamic_batch   any number of samples may be given at once; where torch cannot export that, the number of the example,
                    which a note says
    tolerance       the outputs on the example may differ from the module's by so much of their largest value; ModelError beyond
    options         what `load` takes: dtype, rules, labels, preprocess

    Exports by torch's own exporter (torch.onnx.export, which needs the package onnxscript). Nodes are named after modules:
    `conv2` is what module.conv2 gives, and `at=`, `--at` and rules select by it. `model.notes` says by how much the outputs
    differ from the module's.
    """
    try:
        import torch
    except ImportError:
        raise needs("torch", "from_torch") from None
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise needs("onnxscript", "torch.onnx.export, which from_torch exports by,") from None

    if not isinstance(module, torch.nn.Module):
        raise ArgumentError(f"from_torch takes a torch.nn.Module; {type(module).__name__} is none")
    example = tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    example = tuple(value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value)) for value in example)
    training = {child: child.training for child in module.modules()}
    module.eval()
    title = name or type(module).__name__
    path = os.path.join(kept_folder(), f"{title}.onnx")
    notes = []
    try:
        exported = False
        if dynamic_batch:
            # torch takes extents of 1 for constants, so the example is doubled.
            doubled = tuple(torch.cat([value, value]) if value.ndim and value.shape[0] == 1 else value for value in example)
            try:
                _export(module, doubled, True, path, opset, False)
                exported = True
            except Exception as problem:  # whatever torch's exporter throws, of many kinds
                notes.append(f"torch could not export a free batch ({str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__}); it is that of the example")
        if not exported:
            _export(module, example, False, path, opset, False)
        with torch.no_grad():
            expected = module(*example)
    except Exception as problem:
        if isinstance(problem, (ImportError, MemoryError)):
            raise
        raise ModelError(f"torch could not export {title}: {problem}") from problem
    finally:
        for child, state in training.items():
            child.training = state
    try:
        # As the module is written: torch's optimiser would merge normalisations into what stands before them.
        model = load_onnx(path, **options)
    except ModelError:
        _export(module, doubled if exported else example, exported, path, opset, True)
        model = load_onnx(path, **options)
    model._source.update(temporary=True, name=title)
    _compare(model, example, expected, tolerance, notes)
    model._source["notes"] = notes
    return model


def _flat(value: Any) -> list:
    if isinstance(value, dict) or hasattr(value, "keys"):
        return [item for key in value.keys() for item in _flat(value[key])]
    if isinstance(value, (tuple, list)):
        return [item for part in value for item in _flat(part)]
    return [] if value is None else [value]


def _compare(model: Any, example: tuple, expected: Any, tolerance: float, notes: list[str]) -> None:
    found = list(model.predict(tuple(as_numpy(value) for value in example), check_finite=False).values())
    for row, ours, theirs in zip(model.outputs, found, _flat(expected)):
        theirs = as_numpy(theirs).astype(np.float64).reshape(ours.shape)
        difference = float(np.abs(ours - theirs).max(initial=0.0))
        largest = float(np.abs(theirs).max(initial=0.0))
        notes.append(f"output '{row['name']}' differs from the module's by {difference:.3g} on the example, where it is as large as {largest:.3g}")
        if not difference <= tolerance * max(largest, 1e-30):
            raise ModelError(f"the exported model's {notes[-1]}; more than {tolerance:g} of it. Is the module deterministic in eval mode?")
