"""Which score of each sample is explained, in the ways people write it down."""

from __future__ import annotations

import numbers
from typing import Any, Sequence

import numpy as np

from ._arrays import as_numpy, shape_text
from .errors import ArgumentError, ShapeError, UnknownNameError

LARGEST = ("argmax", "largest")


def _label_index(label: str, labels: Sequence[str]) -> int:
    if label in labels:
        return list(labels).index(label)
    if not labels:
        raise UnknownNameError(f"target '{label}': the model has no labels; give an index, or names by rulegrad.load(..., labels=[...])")
    import difflib

    near = difflib.get_close_matches(label, labels, 1)
    raise UnknownNameError(f"target '{label}' is no label of the model" + (f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(list(labels)[:8])}"))


def _is_index(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))


def flat_targets(target: Any, rest: Sequence[int], samples: int, labels: Sequence[str]) -> list[int] | None:
    """Indices into the flattened output of each sample, or None for each sample's largest score.

    `rest` is the output's shape without the samples' axis. `target` is None, an index, a tuple with an index for each axis of
    `rest`, a label, or a sequence or array with one of these for each sample.
    """
    if target is None or isinstance(target, str) and target in LARGEST:
        return None
    rank = len(rest)
    if isinstance(target, str):
        target = _label_index(target, labels)
    if isinstance(target, (list, tuple)) and target and all(isinstance(item, str) for item in target):
        target = np.array([_label_index(item, labels) for item in target])
        if rank > 1:
            raise ArgumentError(f"labels name scores of an output [N, classes]; this one is {shape_text(['N', *rest])}")
    if _is_index(target):
        if rank > 1:
            raise ArgumentError(f"target {target}: the output is {shape_text(['N', *rest])}; give a tuple with an index for each of its last {rank} axes")
        indices = np.full((samples, 1), int(target))
    elif isinstance(target, tuple) and rank > 1 and len(target) == rank and all(_is_index(item) for item in target):
        indices = np.tile(np.array([int(item) for item in target]), (samples, 1))
    else:
        array = as_numpy(target, "the target")
        if array.dtype.kind not in "iu":
            raise ArgumentError(f"the target holds {array.dtype} values; indices are integers")
        if array.ndim == 1 and rank <= 1:
            array = array[:, None]
        if array.ndim == 0:
            array = np.full((samples, 1), int(array))
        if array.ndim == 2 and array.shape[0] == 1 and samples > 1:
            array = np.repeat(array, samples, axis=0)
        if array.ndim != 2 or array.shape != (samples, max(rank, 1)):
            wanted = f"[{samples}]" if rank <= 1 else f"[{samples}, {rank}]"
            raise ShapeError(f"the target is {list(np.shape(target))}; for {samples} samples of an output {shape_text(['N', *rest])} it is an index, or an array {wanted}")
        indices = array.astype(np.int64)
    extents = list(rest) if rank else [1]
    for axis, extent in enumerate(extents):
        wrong = (indices[:, axis] < 0) | (indices[:, axis] >= extent)
        if wrong.any():
            raise ArgumentError(f"target {int(indices[wrong][0, axis])} is out of range: axis {axis + 1} of the output {shape_text(['N', *rest])} has {extent} scores, 0 to {extent - 1}")
    return [int(flat) for flat in np.ravel_multi_index(tuple(indices.T), extents)]


def several_targets(targets: Any, rest: Sequence[int], labels: Sequence[str]) -> list[int]:
    """Indices into the flattened output: all of them, or those of a list of indices, tuples and labels."""
    if isinstance(targets, str) and targets == "all":
        return list(range(int(np.prod(rest, dtype=np.int64))))
    if isinstance(targets, str) or not hasattr(targets, "__iter__"):
        raise ArgumentError(f"targets is {targets!r}; it is a list of indices or labels, or \"all\"")
    found: list[int] = []
    for item in targets:
        one = flat_targets(item if not isinstance(item, np.generic) else item.item(), rest, 1, labels)
        if one is None:
            raise ArgumentError("each of several targets is named; the largest score is no name")
        found += one
    if not found:
        raise ArgumentError("targets is empty")
    return found


def as_indices(flat: np.ndarray, rest: Sequence[int]) -> np.ndarray:
    """[N] indices of an output [N, classes]; [N, k] for an output of k more axes."""
    if len(rest) <= 1:
        return flat.astype(np.int64)
    return np.stack(np.unravel_index(flat, tuple(rest)), axis=1).astype(np.int64)
