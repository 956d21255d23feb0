"""Many samples: shards of `.npy` files, written as they are made, with a manifest; memory stays bounded, and a run that was
ended goes on where it stopped.

    explainer = model.explainer("lrp.epsilon_plus_flat")
    done = rulegrad.stream.run(explainer, "pictures/", "maps/", shard=256, resume=True, on_error="skip")
    done.load("lrp.epsilon_plus_flat")[12345]        # read from its shard

Data are a folder or list of files (pictures, `.npy`), one `.npy` file larger than memory, an array of NumPy, Zarr or h5py, or
any iterable of samples. `manifest.json` beside the shards tells everything that made them.
"""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from . import _core, _pictures
from ._explainer import Progress
from .errors import ArgumentError, Error, FileError, ShapeError
from .tables import Table

if TYPE_CHECKING:
    from ._explainer import Explainer
    from ._model import Model

__all__ = ["run", "open", "Stream", "SCHEMA"]

FORMAT = 1
PICTURES = (".png", ".jpg", ".jpeg")

#: JSON Schema (draft 2020-12) of manifest.json.
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "rulegrad manifest",
    "type": "object",
    "required": ["format", "rulegrad", "model", "methods", "nodes", "precision", "samples", "shards", "failed", "complete"],
    "properties": {
        "format": {"const": FORMAT},
        "rulegrad": {"type": "string", "description": "version of the library"},
        "model": {"type": "object", "required": ["name", "digest", "dtype"],
                  "properties": {"name": {"type": "string"}, "digest": {"type": "string"}, "dtype": {"type": "string"}}},
        "methods": {"type": "array", "items": {"type": "object", "required": ["name", "folder", "parameters", "rules_digest"],
                    "properties": {"name": {"type": "string"}, "folder": {"type": "string"}, "parameters": {"type": "object"}, "rules_digest": {"type": "string"}}}},
        "nodes": {"type": "array", "items": {"type": "string"}},
        "target": {}, "seed": {}, "output": {}, "head": {"type": "string"},
        "preprocessing": {"type": "object"},
        "precision": {"type": "string"},
        "shard_size": {"type": "integer", "minimum": 1},
        "shards": {"type": "array", "items": {"type": "object", "required": ["name", "first", "count"],
                   "properties": {"name": {"type": "string"}, "first": {"type": "integer"}, "count": {"type": "integer"}, "sha256": {"type": "object"}}}},
        "samples": {"type": "array", "items": {"type": "object", "required": ["name", "target", "score"],
                    "properties": {"name": {"type": "string"}, "target": {}, "label": {"type": "string"}, "score": {"type": "number"}}}},
        "failed": {"type": "array", "items": {"type": "object", "required": ["name", "error"], "properties": {"name": {"type": "string"}, "error": {"type": "string"}}}},
        "complete": {"type": "boolean"},
    },
}


class Source:
    """Samples by number, with names; `read` gives one, without the samples' axis."""

    def __init__(self, count: int | None, name: Callable[[int], str], read: Callable[[int], Any]) -> None:
        self.count, self.name, self.read = count, name, read


def _from_files(files: Sequence[pathlib.Path], model: "Model") -> Source:
    # A .npy file holds one sample or several: which is told by its header alone.
    rank = len(model.inputs[0]["shape"])
    places: list[tuple[pathlib.Path, int | None]] = []
    for file in files:
        if file.suffix == ".npy":
            try:
                array = np.load(file, mmap_mode="r")
            except (OSError, ValueError):
                places.append((file, None))  # told when its turn comes
                continue
            places.extend([(file, row) for row in range(array.shape[0])] if array.ndim == rank else [(file, None)])
        else:
            places.append((file, None))

    def read(k: int) -> np.ndarray:
        file, row = places[k]
        try:
            if file.suffix == ".npy":
                array = np.load(file, mmap_mode="r")
                return np.asarray(array if row is None else array[row])
            return _pictures.pictures(file, model)[0]
        except (OSError, ValueError) as problem:
            if isinstance(problem, Error):
                raise
            raise FileError(f"{file}: {problem}") from None

    def name(k: int) -> str:
        file, row = places[k]
        return file.name if row is None else f"{file.name}[{row}]"

    return Source(len(places), name, read)


def source_of(data: Any, model: "Model") -> Source:
    """What `data` holds, without reading it."""
    if isinstance(data, (str, os.PathLike)):
        path = pathlib.Path(data)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in (*PICTURES, ".npy"))
            if not files:
                raise FileError(f"{path} holds no picture and no .npy file")
            return _from_files(files, model)
        if path.suffix in (".txt", ".lst"):
            try:
                lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            except (OSError, UnicodeDecodeError) as problem:
                raise FileError(f"cannot read the list '{path}': {problem}") from None
            return _from_files([path.parent / line for line in lines if line and not line.startswith("#")], model)
        if path.suffix in (".h5", ".hdf5", ".zarr"):
            raise ArgumentError(f"{path}: open it with its library and give the array: h5py.File({str(path)!r})['name'], zarr.open(...)")
        if not path.exists():
            raise FileError(f"cannot read '{path}': no such file or folder")
        if path.suffix == ".npy":
            try:
                data = np.load(path, mmap_mode="r")
            except (OSError, ValueError) as problem:
                raise FileError(f"cannot read '{path}': {problem}") from None
        else:
            return _from_files([path], model)
    if isinstance(data, (list, tuple)) and data and all(isinstance(item, (str, os.PathLike)) for item in data):
        return _from_files([pathlib.Path(item) for item in data], model)
    if hasattr(data, "shape") and hasattr(data, "__getitem__"):  # NumPy, memory maps, Zarr, h5py
        if len(data.shape) != len(model.inputs[0]["shape"]):
            raise ShapeError(f"the data are {list(data.shape)} but the model takes {list(model.inputs[0]['shape'])}, samples first")
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


class Stream(Table):
    """What a run made: a row a sample (name, target, label, score); `load` reads attributions from the shards."""

    def __init__(self, folder: pathlib.Path, manifest: dict) -> None:
        self.folder, self.manifest = folder, manifest
        super().__init__(manifest["samples"], {key: value for key, value in manifest.items() if key != "samples"})

    @property
    def failed(self) -> list[dict]:
        """What could not be read or explained: name and error."""
        return self.manifest["failed"]

    def load(self, method: str | None = None, node: str | None = None) -> "Shards":
        """The attributions of a method: indexed like an array, read from the shards when asked."""
        for row in self.manifest["methods"]:
            if method is None or row["name"] == method:
                nodes = self.manifest["nodes"]
                if node is not None and node not in nodes:
                    raise ArgumentError(f"no value '{node}' here; there are {', '.join(nodes)}")
                return Shards(self.folder / row["folder"] / _safe(node or nodes[0]), self.manifest["shards"])
        raise ArgumentError(f"no method '{method}' here; there are {', '.join(row['name'] for row in self.manifest['methods'])}")


class Shards:
    """Arrays one after another in files; `shards[k]` and `shards[a:b]` read what is asked for, `numpy.asarray` all."""

    def __init__(self, folder: pathlib.Path, rows: Sequence[dict]) -> None:
        self._folder, self._rows = folder, rows
        self._starts = np.cumsum([0] + [row["count"] for row in rows])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _open(self, shard: int) -> np.ndarray:
        return np.load(self._folder / f"{self._rows[shard]['name']}.npy", mmap_mode="r")

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            return np.stack([self[k] for k in range(start, stop, step)])
        k = int(key) + (len(self) if key < 0 else 0)
        if not 0 <= k < len(self):
            raise IndexError(f"sample {key} of {len(self)}")
        shard = int(np.searchsorted(self._starts, k, side="right")) - 1
        return np.asarray(self._open(shard)[k - self._starts[shard]])

    def __iter__(self) -> Iterator[np.ndarray]:
        for shard in range(len(self._rows)):
            yield from self._open(shard)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.concatenate([self._open(shard) for shard in range(len(self._rows))]).astype(dtype or np.float32, copy=False)


def _safe(name: str) -> str:
    """A name as that of a folder."""
    return "".join(letter if letter.isalnum() or letter in "._-=" else "_" for letter in name) or "_"


def _write_whole(path: pathlib.Path, write: Callable[[Any], None]) -> None:
    """A file that appears whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(file.name)
            raise
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _methods(explainer: "Explainer") -> list[dict]:
    rows = []
    for label, call in zip(explainer.methods, explainer._calls):
        name, arguments = (call, {}) if isinstance(call, str) else call
        bare = label.partition(":")[0].partition("#")[0]
        parameters = {p["name"]: p["default"] for p in explainer._rules.method(bare)["parameters"]}
        given = name.partition(":")[2]
        for part in filter(None, given.split(",")):
            key, _, value = part.partition("=")
            parameters[key] = value
        for key, value in arguments.items():
            parameters[key] = value if isinstance(value, (int, float, str)) else {"sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(), "shape": list(np.shape(value))}
        rows.append({"name": label, "folder": _safe(label), "parameters": parameters, "rules_digest": hashlib.sha256(explainer._rules.show(bare).encode()).hexdigest()[:16]})
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 64 else {"sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(), "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        return getattr(value, "__name__", "function")
    return list(value) if isinstance(value, (tuple, range)) else value


def run(explainer: "Explainer", data: Any, out: str | os.PathLike | None = None, *, target: Any = None, seed: Any = None, shard: int = 256, batch_size: int | None = None,
        threads: int = 0, resume: bool = False, on_error: str = "stop", progress: Any = None, readers: int = 2) -> Any:
    """Explains samples shard by shard.

    data        a folder or list of files, a `.npy` file, an array, or an iterable of samples (without the samples' axis)
    out         where shards and manifest.json go; without it the run is an iterator of explanations, one a shard
    target      None, one target for all, or one for each sample, in their order
    shard       samples in a file; that many inputs and results, twice, are what memory holds
    resume      goes on at the first shard that is missing. The bytes are those of a run that was never ended. ArgumentError
                where model, methods or targets are others.
    on_error    "stop", or "skip": a file that cannot be read, or a sample that cannot be explained, is written to `failed`
                and left out
    readers     threads that read and decode while others compute

    Returns a Stream. Random numbers of a method depend on a sample's place in its shard, not on the rest of the run.
    """
    if on_error not in ("stop", "skip"):
        raise ArgumentError(f"on_error '{on_error}' is not stop or skip")
    if shard < 1 or readers < 1:
        raise ArgumentError("shard and readers are at least 1")
    model = explainer._model
    if len(model.inputs) != 1:
        raise ArgumentError(f"streams are of one input; the model has {len(model.inputs)}")
    source = source_of(data, model)
    pieces = _pieces(explainer, source, target, seed, shard, batch_size, threads, on_error, readers)
    if out is None:
        return (piece.explanation for piece in pieces(0) if piece.explanation is not None)
    folder = pathlib.Path(out)
    head = head_of(explainer, {"target": target, "seed": seed, "shard": shard})
    parts = begin(folder, head, resume)
    done = len(parts)
    bar = Progress(progress, source.count or 0, "explaining")
    try:
        for piece in pieces(done):
            parts.append(_write_piece(folder, explainer, piece, shard))
            if bar.callback:
                bar.report(min(len(parts) * shard, source.count or len(parts) * shard), source.count or len(parts) * shard)
    finally:
        bar.close()
    return finish(folder, head, parts)


def head_of(explainer: "Explainer", options: dict) -> dict:
    """What a manifest says before anything is explained."""
    model = explainer._model
    return {"format": FORMAT, "rulegrad": _core.version(), "model": {"name": model.name, "digest": model.digest() if os.path.exists(model._source["path"]) else "", "dtype": model._source["dtype"]},
            "methods": _methods(explainer), "nodes": explainer.nodes, "target": _plain(options.get("target")), "seed": _plain(options.get("seed")), "output": _plain(explainer._options["output"]),
            "head": explainer._options["head"], "preprocessing": model.preprocessing, "precision": explainer._options["precision"], "shard_size": options["shard"]}


def _write_piece(folder: pathlib.Path, explainer: "Explainer", piece: "_Piece", shard: int) -> dict:
    """The files of a shard, its record last: a shard without one is made again."""
    name = f"{piece.number:06d}"
    record: dict[str, Any] = {"samples": [], "failed": piece.failed, "shard": None}
    e = piece.explanation
    if e is not None:
        sums = {}
        for method in explainer.methods:
            for node in explainer.nodes:
                where = pathlib.Path(_safe(method)) / _safe(node)
                (folder / where).mkdir(parents=True, exist_ok=True)
                array = e[method, node]
                _write_whole(folder / where / f"{name}.npy", lambda file, array=array: np.save(file, array))
                sums[str(where)] = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:16]
        record["samples"] = [{"name": sample, "target": _plain(target), "label": label, "score": float(score)}
                             for sample, target, label, score in zip(piece.names, e.targets, e.labels, e.target_scores)]
        record["shard"] = {"name": name, "first": piece.number * shard, "count": len(e), "sha256": sums}
    text = json.dumps(record)
    _write_whole(folder / "records" / f"{name}.json", lambda file: file.write(text.encode()))
    return record


def one(explainer: "Explainer", data: Any, folder: pathlib.Path, number: int, *, target: Any, shard: int, threads: int, on_error: str, batch_size: int | None) -> None:
    """One shard of a run that `begin` began: a task of rulegrad.dask."""
    source = source_of(data, explainer._model)
    pieces = _pieces(explainer, source, target, None, shard, batch_size, threads, on_error, 1, number + 1)
    for piece in pieces(number):
        _write_piece(folder, explainer, piece, shard)


def begin(folder: pathlib.Path, head: dict, resume: bool) -> list[dict]:
    """The records that are there, in order up to the first that is missing."""
    asked = folder / "asked.json"
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise FileError(f"{folder} is not empty; give another folder, or resume=True to go on with what is there")
    (folder / "records").mkdir(parents=True, exist_ok=True)
    text = json.dumps(head, indent=1, sort_keys=True)
    if asked.exists():
        before, now = json.loads(asked.read_text()), json.loads(text)
        for key in now:
            if before.get(key) != now[key]:
                raise ArgumentError(f"{folder} was begun with another {key}: {json.dumps(before.get(key))} and not {json.dumps(now[key])}; give another folder")
    else:
        _write_whole(asked, lambda file: file.write(text.encode()))
    parts = []
    while (folder / "records" / f"{len(parts):06d}.json").exists():
        parts.append(json.loads((folder / "records" / f"{len(parts):06d}.json").read_text()))
    return parts


def finish(folder: pathlib.Path, head: dict, parts: list[dict]) -> Stream:
    manifest = {**head, "shards": [part["shard"] for part in parts if part["shard"] is not None], "samples": [row for part in parts for row in part["samples"]],
                "failed": [row for part in parts for row in part["failed"]], "complete": True}
    text = json.dumps(manifest, indent=1)
    _write_whole(folder / "manifest.json", lambda file: file.write(text.encode()))
    return Stream(folder, manifest)


def open(folder: str | os.PathLike) -> Stream:  # noqa: A001: the word that people look for
    """What `run` wrote."""
    path = pathlib.Path(folder) / "manifest.json"
    try:
        return Stream(pathlib.Path(folder), json.loads(path.read_text()))
    except (OSError, ValueError) as problem:
        raise FileError(f"cannot read '{path}': {problem}") from None


class _Piece:
    def __init__(self, number: int, names: list[str], explanation: Any, failed: list[dict]) -> None:
        self.number, self.names, self.explanation, self.failed = number, names, explanation, failed


def _pieces(explainer: "Explainer", source: Source, target: Any, seed: Any, shard: int, batch_size: int | None, threads: int, on_error: str, readers: int, stop: int | None = None):
    """Shards from a number on; the next is read while one is computed."""
    each = _target_of(target, source.count)

    shape = tuple(explainer._model.inputs[0]["shape"][1:])

    def load(number: int) -> tuple[list[int], np.ndarray, list[dict], bool]:
        numbers, failed = [], []
        ended = False
        # Samples go into the batch as they come: what is read exists once.
        values = np.empty((shard if source.count is None else min(shard, source.count - number * shard), *shape), explainer._model.inputs[0]["dtype"])
        for k in range(number * shard, (number + 1) * shard):
            if source.count is not None and k >= source.count:
                ended = True
                break
            try:
                values[len(numbers)] = _fit(source.read(k), explainer, source.name(k))
                numbers.append(k)
            except IndexError:
                ended = True
                break
            except (Error, OSError, ValueError) as problem:
                if on_error == "stop":
                    raise
                failed.append({"name": source.name(k), "error": str(problem)})
        return numbers, values[:len(numbers)], failed, ended

    def explain(numbers: list[int], values: np.ndarray, failed: list[dict]):
        options = {"seed": seed, "batch_size": batch_size, "threads": threads}
        try:
            return numbers, explainer(values, each(numbers), **options)
        except Error as problem:
            if on_error == "stop":
                raise
            if len(values) == 1:
                failed.append({"name": source.name(numbers[0]), "error": str(problem)})
                return [], None
        # Which of them it was: those that can be explained alone are explained together again.
        good = []
        for k, value in zip(numbers, values):
            try:
                explainer(value[None], each([k]), **options)
                good.append((k, value))
            except Error as problem:
                failed.append({"name": source.name(k), "error": str(problem)})
        if not good:
            return [], None
        kept, arrays = [k for k, _ in good], np.stack([value for _, value in good])
        return kept, explainer(arrays, each(kept), **options)

    def pieces(first: int):
        # An iterable is read by one thread in its order; what was done before is skipped over.
        if source.count is None:
            for k in range(first * shard):
                try:
                    source.read(k)
                except IndexError:
                    return
        workers = 1 if source.count is None else readers
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            waiting: collections.deque = collections.deque()
            number = first
            total = stop if stop is not None else None if source.count is None else -(-source.count // shard)
            try:
                while True:
                    while len(waiting) < 2 and (total is None or number < total):
                        waiting.append((number, pool.submit(load, number)))
                        number += 1
                    if not waiting:
                        return
                    current, future = waiting.popleft()
                    numbers, values, failed, ended = future.result()
                    kept, e = explain(numbers, values, failed) if numbers else ([], None)
                    if numbers or failed:
                        failed.sort(key=lambda row: row["name"])
                        yield _Piece(current, [source.name(k) for k in kept], e, failed)
                    if ended and source.count is None:
                        return
            finally:
                for _, future in waiting:
                    future.cancel()

    return pieces


def _fit(value: Any, explainer: "Explainer", name: str) -> np.ndarray:
    from ._arrays import fitted

    row = explainer._model.inputs[0]
    array = fitted(value, row["dtype"], f"sample {name}")
    if array.shape != tuple(row["shape"][1:]):
        raise ShapeError(f"sample {name} is {list(array.shape)} but the model takes {list(row['shape'][1:])}")
    return array


def _target_of(target: Any, count: int | None) -> Callable[[Sequence[int]], Any]:
    """The targets of samples by number."""
    if target is None or isinstance(target, (str, int, np.integer)) or isinstance(target, tuple):
        return lambda numbers: target
    array = list(target) if not isinstance(target, np.ndarray) else target
    if count is not None and len(array) != count:
        raise ShapeError(f"{len(array)} targets were given for {count} samples; give one, or one for each")
    return lambda numbers: [array[k] for k in numbers] if isinstance(array, list) else array[list(numbers)]
