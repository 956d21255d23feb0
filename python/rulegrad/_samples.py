"""Where many samples come from: what the library reads itself (folders, lists, files), and what only Python has (arrays of any library, iterables)."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Iterator, Mapping

import numpy as np

from . import _core, _pictures
from ._arrays import as_numpy, fitted, plain
from .errors import ArgumentError, Error, FileError, ShapeError, UnknownNameError


class Source:
    """Samples of one input by number, read by Python: what a `_core.Samples` is to the library's runs."""

    digest = ""

    def __init__(self, count: int | None, declared: Mapping[str, Any]) -> None:
        self.count = count
        #: What ended the run and is no error of a sample.
        self.problem: BaseException | None = None
        self._declared = declared

    def name(self, k: int) -> str:
        return str(k)

    def has(self, k: int) -> bool:
        return k < (self.count or 0)

    def read(self, k: int) -> np.ndarray:
        """The sample as the model takes it, without the samples' axis."""
        try:
            array = fitted(self._value(k), self._declared["dtype"], f"sample {k}")
        except Error:
            raise
        except (OSError, ValueError) as problem:
            raise FileError(f"sample {k}: {problem}") from None
        except BaseException as problem:
            self.problem = problem
            raise
        if array.shape != tuple(self._declared["shape"][1:]):
            raise ShapeError(f"sample {k} is {list(array.shape)} but the model takes {list(self._declared['shape'][1:])}")
        return array

    def _value(self, k: int) -> Any:
        raise NotImplementedError


class Rows(Source):
    """An array of NumPy, Zarr or h5py, or whatever has a shape and gives its rows."""

    def __init__(self, array: Any, declared: Mapping[str, Any]) -> None:
        if len(array.shape) != len(declared["shape"]):
            raise ShapeError(f"the data are {list(array.shape)} but the model takes {list(declared['shape'])}, samples first")
        super().__init__(int(array.shape[0]), declared)
        self._array = array

    def _value(self, k: int) -> Any:
        return as_numpy(self._array[k], f"sample {k}")


class Iterated(Source):
    """What only going on tells how many there are."""

    def __init__(self, values: Any, declared: Mapping[str, Any]) -> None:
        super().__init__(None, declared)
        self._iterator: Iterator = iter(values)
        self._next: tuple[int, Any] = (-1, None)

    def has(self, k: int) -> bool:
        try:
            while self._next[0] < k:
                self._next = (self._next[0] + 1, next(self._iterator))
        except StopIteration:
            return False
        except BaseException as problem:
            self.problem = problem
            raise
        return True

    def _value(self, k: int) -> Any:
        return self._next[1]


def source_of(data: Any, declared: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> Any:
    """What `data` holds for one input, without reading it: a Source, or a `_core.Samples`."""
    files = isinstance(data, (list, tuple)) and bool(data) and all(isinstance(item, (str, os.PathLike)) for item in data)
    if files or isinstance(data, (str, os.PathLike)):
        paths = [os.fspath(item) for item in (data if files else [data])]
        for path in paths:
            if pathlib.Path(path).suffix in (".h5", ".hdf5", ".zarr"):
                raise ArgumentError(f"{path}: open it with its library and give the array: h5py.File({path!r})['name'], zarr.open(...)")
        recipe = dict(preprocessing) if "name" in preprocessing else None
        return _core.open_samples(paths, declared["name"], declared["dtype"], list(declared["shape"][1:]), recipe, _pictures.no_recipe())
    if hasattr(data, "shape") and hasattr(data, "__getitem__"):
        return Rows(data, declared)
    if hasattr(data, "__iter__"):
        return Iterated(data, declared)
    raise ArgumentError(f"{type(data).__name__} holds no samples: give a folder, a list of files, an array or an iterable")


def sources_of(data: Any, inputs: list[dict], preprocessing: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A source for each input that holds samples, and the arrays of those that every sample shares."""
    names = [row["name"] for row in inputs]
    if isinstance(data, Mapping):
        for name in data:
            if name not in names:
                raise UnknownNameError(f"no input '{name}'; the model has {', '.join(map(repr, names))}")
        given = dict(data)
    elif len(names) == 1:
        given = {names[0]: data}
    elif isinstance(data, tuple) and len(data) == len(names):
        given = dict(zip(names, data))
    else:
        raise ArgumentError(f"the model has {len(names)} inputs ({', '.join(map(repr, names))}); give a tuple in this order, or a dict, of folders, arrays or iterables")
    sources: dict[str, Any] = {}
    shared: dict[str, np.ndarray] = {}
    for row in inputs:
        name, shape = row["name"], row["shape"]
        if name not in given:
            raise ArgumentError(f"input '{name}' is missing; the model has {', '.join(map(repr, names))}")
        if not shape or isinstance(shape[0], int):
            shared[name] = plain(fitted(given[name], row["dtype"], f"input '{name}'"))
            if shared[name].shape != tuple(shape):
                raise ShapeError(f"input '{name}' is {list(shared[name].shape)} but the model takes {list(shape)} for all samples")
        elif shape[0] != "B" or not all(isinstance(extent, int) for extent in shape[1:]):
            raise ArgumentError(f"streams take samples one by one, but the model's input '{name}' is {list(shape)}")
        else:
            sources[name] = source_of(given[name], row, preprocessing)
    if not sources:
        raise ArgumentError(f"streams take samples one by one, but none of the model's inputs ({', '.join(map(repr, names))}) has an axis for them")
    return sources, shared
