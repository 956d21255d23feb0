"""How arrays of any kind become NumPy arrays that the library reads where they lie."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from .errors import ArgumentError, DTypeError, ShapeError, UnknownNameError


def as_numpy(value: Any, what: str = "the input") -> np.ndarray:
    """A NumPy view of `value`: a NumPy array, anything with `__array__`, DLPack or the buffer protocol, or nested lists.

    Nothing is copied where the memory is the processor's own. Tensors of PyTorch that need gradients are detached.
    """
    if isinstance(value, np.ndarray):
        return value
    detach = getattr(value, "detach", None)
    if callable(detach):  # PyTorch
        value = detach()
        if str(getattr(value, "device", "cpu")) != "cpu":
            value = value.cpu()
        if str(getattr(value, "dtype", "")).endswith("bfloat16"):  # NumPy has none
            value = value.float()
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as problem:
            raise DTypeError(f"{what}: its memory cannot be read by NumPy ({problem}); bring it to the CPU first") from None
    try:
        result = np.asarray(value)
    except (TypeError, ValueError) as problem:
        raise DTypeError(f"{what}: {type(value).__name__} cannot become an array: {problem}") from None
    if result.dtype == object:
        raise DTypeError(f"{what}: {type(value).__name__} is not an array of numbers; rows of equal length and numbers alone are")
    return result


def plain(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The array as C-contiguous memory that is aligned to its elements, in the machine's byte order; itself where it is that."""
    wanted = np.dtype(dtype) if dtype is not None else array.dtype.newbyteorder("=")
    return np.require(array, wanted, ["C", "ALIGNED"])


def fitted(value: Any, dtype: str, what: str) -> np.ndarray:
    """`value` as a C-contiguous array of that dtype in the machine's byte order; the same memory where it already is."""
    array = as_numpy(value, what)
    wanted = np.dtype(dtype)
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"{what} holds {array.dtype} values; the model takes {dtype}")
    if wanted.kind != "f" and array.dtype.kind == "f":
        raise DTypeError(f"{what} holds {array.dtype} values but the model takes {dtype}; give it as integers")
    if wanted.kind == "f" and array.dtype.kind == "b":
        raise DTypeError(f"{what} holds boolean values but the model takes {dtype}; give it as numbers")
    if wanted.kind in "iu" and array.size and array.dtype != wanted:
        info = np.iinfo(wanted)
        if array.min() < info.min or array.max() > info.max:
            raise DTypeError(f"{what} holds {array.dtype} values from {array.min()} to {array.max()}, which {dtype} cannot hold")
    return plain(array, wanted)


def extent_of(dim: Any, batch: int) -> int:
    """An extent of a symbolic shape, `"B"` or `"4*B"` or a number, for that batch."""
    if isinstance(dim, int):
        return dim
    factor, star, _ = dim.partition("*")
    return (int(factor) if star else 1) * batch


def shape_text(shape: Sequence[Any]) -> str:
    """`[B, 3, 224, 224]`"""
    return "[" + ", ".join(str(dim) for dim in shape) + "]"


def _one(value: Any, declared: Mapping[str, Any]) -> np.ndarray:
    name, shape = declared["name"], declared["shape"]
    what = f"input '{name}'"
    array = fitted(value, declared["dtype"], what)
    if array.ndim + 1 == len(shape):
        array = array[None]
    # The first axis of a model that was exported for a fixed batch may hold several of them.
    fits = array.ndim == len(shape) and all(not isinstance(want, int) or have == want for have, want in zip(array.shape[1:], shape[1:]))
    if not fits:
        raise ShapeError(f"{what} is {array.dtype}{list(array.shape)} but the model takes {declared['dtype']}{shape_text(shape)}"
                         f" (B samples, each {shape_text(shape[1:])})")
    if array.size == 0:
        raise ShapeError(f"{what} holds no samples: {list(array.shape)}")
    return array


def as_inputs(x: Any, declared: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Arrays by input name, from one array, a tuple or list in the order of the inputs, or a dict."""
    names = [row["name"] for row in declared]
    if isinstance(x, Mapping):
        unknown = [name for name in x if name not in names]
        if unknown:
            raise UnknownNameError(f"no input '{unknown[0]}'; the model has {', '.join(map(repr, names))}")
        missing = [name for name in names if name not in x]
        if missing:
            raise ArgumentError(f"input '{missing[0]}' is missing; the model has {', '.join(map(repr, names))}")
        given = [x[name] for name in names]
    elif isinstance(x, tuple) or len(names) > 1:
        if not isinstance(x, (tuple, list)) or len(x) != len(names):
            count = len(x) if isinstance(x, (tuple, list)) else 1
            raise ArgumentError(f"the model has {len(names)} input{'s' if len(names) > 1 else ''} ({', '.join(map(repr, names))}) and "
                                f"{count} {'were' if count != 1 else 'was'} given; give a tuple in this order, or a dict")
        given = list(x)
    else:
        given = [x]
    arrays = {row["name"]: _one(value, row) for row, value in zip(declared, given)}
    samples = {}
    for row in declared:
        first = row["shape"][0] if row["shape"] else 1
        if not isinstance(first, int):
            samples[row["name"]] = arrays[row["name"]].shape[0] // extent_of(first, 1)
    if len(set(samples.values())) > 1:
        raise ShapeError("the inputs hold different numbers of samples: " + ", ".join(f"'{name}' {count}" for name, count in samples.items()))
    return arrays


def sample_count(arrays: Mapping[str, np.ndarray], declared: Sequence[Mapping[str, Any]]) -> int:
    """How many samples the arrays hold."""
    for row in declared:
        shape = row["shape"]
        if shape and not isinstance(shape[0], int):
            return arrays[row["name"]].shape[0] // extent_of(shape[0], 1)
    for row in declared:
        if row["shape"]:
            return arrays[row["name"]].shape[0]
    return 1
