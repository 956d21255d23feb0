"""Where many samples come from: folders, lists, arrays on disk or in memory, and iterables, read one sample at a time."""

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import TYPE_CHECKING, Any, Callable, Sequence

import numpy as np

from . import _pictures
from .errors import ArgumentError, Error, FileError, ShapeError

if TYPE_CHECKING:
    from ._model import Model

PICTURES = (".png", ".jpg", ".jpeg")


class Source:
    """Samples by number, with names; `read` gives one, without the samples' axis."""

    def __init__(self, count: int | None, name: Callable[[int], str], read: Callable[[int], Any], digest: str = "") -> None:
        self.count, self.name, self.read, self.digest = count, name, read, digest


def _rows_of(path: pathlib.Path) -> tuple[tuple, Callable[[int], np.ndarray]]:
    """The shape of a `.npy` file, and how a row of it is read: nothing of it stays in memory."""
    array = np.load(path, mmap_mode="r")
    shape, dtype = array.shape, array.dtype
    if array.ndim and not array.flags.c_contiguous:
        return shape, lambda k: np.array(np.load(path, mmap_mode="r")[k])
    row, begin = int(np.prod(shape[1:], dtype=np.int64)), getattr(array, "offset", 0)

    def read(k: int) -> np.ndarray:
        return np.fromfile(path, dtype, count=row, offset=begin + k * row * dtype.itemsize).reshape(shape[1:])

    return shape, read


def _from_files(files: Sequence[tuple[pathlib.Path, str]], model: "Model") -> Source:
    # A .npy file holds one sample or several: which is told by its header alone.
    rank = len(model.inputs[0]["shape"])
    places: list[tuple[pathlib.Path, str, int | None]] = []
    for file, name in files:
        rows = 0
        if file.suffix.lower() == ".npy":
            try:
                shape = np.load(file, mmap_mode="r").shape
                rows = shape[0] if len(shape) == rank else 0
            except (OSError, ValueError):
                rows = 0  # told when its turn comes
        places.extend([(file, f"{name}[{row}]", row) for row in range(rows)] if rows else [(file, name, None)])

    def read(k: int) -> np.ndarray:
        file, _, row = places[k]
        try:
            if file.suffix.lower() == ".npy":
                return np.load(file) if row is None else _rows_of(file)[1](row)
            return _pictures.pictures(file, model)[0]
        except (OSError, ValueError) as problem:
            if isinstance(problem, Error):
                raise
            raise FileError(f"{file}: {problem}") from None

    names = hashlib.sha256("".join(f"{name}\n" for _, name, _ in places).encode("utf-8", "surrogateescape"))
    return Source(len(places), lambda k: places[k][1], read, names.hexdigest()[:16])


def source_of(data: Any, model: "Model") -> Source:
    """What `data` holds, without reading it."""
    if isinstance(data, (str, os.PathLike)):
        path = pathlib.Path(data)
        if path.is_dir():
            files = sorted((file for file in path.iterdir() if file.suffix.lower() in (*PICTURES, ".npy")), key=lambda file: os.fsencode(file.name))
            if not files:
                raise FileError(f"{path} holds no picture and no .npy file; files of several folders go into a list, one a line")
            return _from_files([(file, file.name) for file in files], model)
        if path.suffix in (".txt", ".lst"):
            try:
                lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            except (OSError, UnicodeDecodeError) as problem:
                raise FileError(f"cannot read the list '{path}': {problem}") from None
            return _from_files([(path.parent / line, line) for line in lines if line and not line.startswith("#")], model)
        if path.suffix in (".h5", ".hdf5", ".zarr"):
            raise ArgumentError(f"{path}: open it with its library and give the array: h5py.File({str(path)!r})['name'], zarr.open(...)")
        if not path.exists():
            raise FileError(f"cannot read '{path}': no such file or folder")
        if path.suffix.lower() != ".npy":
            return _from_files([(path, path.name)], model)
        try:
            shape, row = _rows_of(path)
        except (OSError, ValueError) as problem:
            raise FileError(f"cannot read '{path}': {problem}") from None
        _check_shape(shape, model)
        return Source(int(shape[0]), str, row)
    if isinstance(data, (list, tuple)) and data and all(isinstance(item, (str, os.PathLike)) for item in data):
        return _from_files([(pathlib.Path(item), pathlib.Path(item).name) for item in data], model)
    if hasattr(data, "shape") and hasattr(data, "__getitem__"):  # NumPy, memory maps, Zarr, h5py
        _check_shape(data.shape, model)
        return Source(int(data.shape[0]), lambda k: str(k), lambda k: np.asarray(data[k]))
    if hasattr(data, "__iter__"):
        iterator = iter(data)
        position = [0]
        kept: dict[int, Any] = {}

        def read(k: int) -> Any:
            while position[0] <= k:
                try:
                    kept[position[0]] = next(iterator)
                except StopIteration:
                    raise IndexError(k) from None
                position[0] += 1
            return kept.pop(k)

        return Source(None, lambda k: str(k), read)
    raise ArgumentError(f"{type(data).__name__} holds no samples: give a folder, a list of files, an array or an iterable")


def _check_shape(shape: Sequence[int], model: "Model") -> None:
    if len(shape) != len(model.inputs[0]["shape"]):
        raise ShapeError(f"the data are {list(shape)} but the model takes {list(model.inputs[0]['shape'])}, samples first")
