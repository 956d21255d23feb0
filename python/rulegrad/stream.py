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
import functools
import hashlib
import json
import math
import os
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import numpy as np

from . import _core, _pictures
from ._arrays import as_numpy
from ._explainer import Progress
from ._samples import Source, source_of
from .errors import ArgumentError, Error, FileError, ShapeError
from .tables import Table

if TYPE_CHECKING:
    from ._explainer import Explainer
    from ._model import Model

__all__ = ["run", "open", "Stream", "SCHEMA"]

FORMAT = 1

#: JSON Schema (draft 2020-12) of manifest.json, of the command's `analyze` too; docs/json.md tells what it says.
SCHEMA = json.loads(pathlib.Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))["$defs"]["manifest"]


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
                place = self.manifest["node_folders"][nodes.index(node or nodes[0])]
                return Shards(self.folder / row["folder"] / place, self.manifest["shards"])
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


def folder_names(names: Sequence[str]) -> list[str]:
    """Names of methods and nodes as names of folders, each its own."""
    result: list[str] = []
    for name in names:
        base = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-=") else "_" for letter in name)[:100] or "_"
        base = "_" + base[1:] if base.startswith(".") else base
        folder, other = base, 2
        while folder in result:
            folder, other = f"{base}-{other}", other + 1
        result.append(folder)
    return result


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


def _number_or_text(text: str | None) -> float | str | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return text
    return text if not math.isfinite(number) else number


def _arguments(given: str) -> list[str]:
    """What stands behind the colon of `name:key=value,key=value`; commas inside of brackets belong to the value."""
    parts, depth = [""], 0
    for letter in given:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]


def _save(array: np.ndarray, file: Any) -> None:
    """As `.npy`, version 1.0: the bytes that the command writes, whichever the version of NumPy."""
    head = f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, 'shape': {array.shape}, }}"
    head += " " * (-(10 + len(head) + 1) % 64) + "\n"
    file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
    file.write(array.data)


def _methods(explainer: "Explainer") -> list[dict]:
    rows = []
    for label, folder, call in zip(explainer.methods, folder_names(explainer.methods), explainer._calls):
        name, arguments = (call, {}) if isinstance(call, str) else call
        bare = label.partition(":")[0].partition("#")[0]
        parameters = {p["name"]: _number_or_text(p["default"]) for p in explainer._rules.method(bare)["parameters"]}
        for place, part in enumerate(_arguments(name.partition(":")[2])):
            key, equals, value = part.partition("=")
            parameters[key if equals else list(parameters)[place]] = _number_or_text(value if equals else part)
        for key, value in arguments.items():
            parameters[key] = value if isinstance(value, (int, float, str)) else _plain(np.asarray(value))
        rows.append({"name": label, "folder": folder, "parameters": parameters, "rules_digest": hashlib.sha256(explainer._rules.show(bare).encode()).hexdigest()[:16]})
    return rows


def _plain(value: Any, most: int = 64) -> Any:
    """As JSON has it: short lists as numbers, other arrays as a digest of their bytes."""
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.size <= most:
            return value.tolist()
        return {"sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(), "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        return getattr(value, "__name__", "function")
    return list(value) if isinstance(value, (tuple, range)) else value


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


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
    head = head_of(explainer, source, {"target": target, "seed": seed, "shard": shard, "batch_size": batch_size})
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


def head_of(explainer: "Explainer", source: Source, options: dict) -> dict:
    """What a manifest says before anything is explained, and what must be the same for going on with a run."""
    model = explainer._model
    asked: dict[str, Any] = dict(explainer._options)
    target, seed, aux = options.get("target"), options.get("seed"), asked["aux"]
    if isinstance(target, (list, np.ndarray)) and all(isinstance(item, (int, np.integer)) for item in np.asarray(target).ravel().tolist()):
        target = np.asarray(target, np.int64)
    if seed is not None and not isinstance(seed, str):
        seed = np.asarray(as_numpy(seed, "the seed"), np.float64)
    return {"format": FORMAT, "rulegrad": _core.version(), "model": {"name": model.name, "digest": model.digest() if os.path.exists(model._source["path"]) else "", "dtype": model._source["dtype"]},
            "methods": _methods(explainer), "nodes": explainer.nodes, "node_folders": folder_names(explainer.nodes), "target": _plain(target), "seed": _plain(seed),
            "output": _plain(asked["output"]), "head": asked["head"], "preprocessing": _core.recipe(_pictures.recipe(model)), "precision": asked["precision"],
            "rounding": not asked["exact_rounding"], "keep": asked["keep"], "aux": None if aux is None else {key: _plain(as_numpy(value, key), 0) for key, value in aux.items()},
            "source": {"count": source.count, "digest": source.digest}, "shard_size": options["shard"],
            "batch_size": explainer._batch(explainer._program(False, "own"), options.get("batch_size"), options["shard"])}


def _write_piece(folder: pathlib.Path, explainer: "Explainer", piece: "_Piece", shard: int) -> dict:
    """The files of a shard, its record last: a shard without one is made again."""
    name = f"{piece.number:06d}"
    record: dict[str, Any] = {"samples": [], "failed": piece.failed, "shard": None}
    e = piece.explanation
    if e is not None:
        sums = {}
        for method, first in zip(explainer.methods, folder_names(explainer.methods)):
            for node, second in zip(explainer.nodes, folder_names(explainer.nodes)):
                where = pathlib.Path(first) / second
                (folder / where).mkdir(parents=True, exist_ok=True)
                array = np.ascontiguousarray(e[method, node])
                _write_whole(folder / where / f"{name}.npy", functools.partial(_save, array))
                sums[str(where)] = hashlib.sha256(array.data).hexdigest()[:16]
        # A seed of the person's own explains no single score.
        record["samples"] = [{"name": sample, "target": None if piece.own_seed else _plain(target), "label": "" if piece.own_seed else label, "score": _finite(score)}
                             for sample, target, label, score in zip(piece.names, e.targets, e.labels, e.target_scores)]
        record["shard"] = {"name": name, "first": piece.number * shard, "count": len(e), "sha256": sums}
    text = json.dumps(record, ensure_ascii=False)
    _write_whole(folder / "records" / f"{name}.json", lambda file: file.write(text.encode()))
    return record


def one(explainer: "Explainer", data: Any, folder: pathlib.Path, number: int, *, target: Any, shard: int, threads: int, on_error: str, batch_size: int | None) -> None:
    """One shard of a run that `begin` began: a task of rulegrad.dask."""
    source = source_of(data, explainer._model)
    pieces = _pieces(explainer, source, target, None, shard, batch_size, threads, on_error, 1, number + 1)
    for piece in pieces(number):
        _write_piece(folder, explainer, piece, shard)


def _read_json(path: pathlib.Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise FileError(f"cannot read '{path}': {problem}") from None
    if not isinstance(found, dict):
        raise FileError(f"cannot read '{path}': it is no JSON object")
    return found


def begin(folder: pathlib.Path, head: dict, resume: bool) -> list[dict]:
    """The records that are there, in order up to the first that is missing."""
    asked = folder / "asked.json"
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise FileError(f"{folder} is not empty; give another folder, or resume=True to go on with what is there")
    (folder / "records").mkdir(parents=True, exist_ok=True)
    text = json.dumps(head, indent=1, sort_keys=True, ensure_ascii=False)
    if asked.exists():
        before, now = _read_json(asked), json.loads(text)
        for key in sorted(now, key=lambda key: key != "shard_size"):  # others follow from it
            if before.get(key) != now[key]:
                raise ArgumentError(f"{folder} was begun with another {key}: {json.dumps(before.get(key))} and not {json.dumps(now[key])}; give another folder")
    else:
        _write_whole(asked, lambda file: file.write(text.encode()))
    parts: list[dict] = []
    while (folder / "records" / f"{len(parts):06d}.json").exists():
        parts.append(_read_json(folder / "records" / f"{len(parts):06d}.json"))
    return parts


def finish(folder: pathlib.Path, head: dict, parts: list[dict]) -> Stream:
    manifest = {**head, "shards": [part["shard"] for part in parts if part["shard"] is not None], "samples": [row for part in parts for row in part["samples"]],
                "failed": [row for part in parts for row in part["failed"]], "complete": True}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    _write_whole(folder / "manifest.json", lambda file: file.write(text.encode()))
    return Stream(folder, manifest)


def open(folder: str | os.PathLike) -> Stream:  # noqa: A001: the word that people look for
    """What `run` wrote."""
    return Stream(pathlib.Path(folder), _read_json(pathlib.Path(folder) / "manifest.json"))


class _Piece:
    def __init__(self, number: int, names: list[str], explanation: Any, failed: list[dict], own_seed: bool) -> None:
        self.number, self.names, self.explanation, self.failed, self.own_seed = number, names, explanation, failed, own_seed


def _pieces(explainer: "Explainer", source: Source, target: Any, seed: Any, shard: int, batch_size: int | None, threads: int, on_error: str, readers: int, stop: int | None = None):
    """Shards from a number on; the next is read while one is computed."""
    each = _target_of(target, source.count)

    shape = tuple(explainer._model.inputs[0]["shape"][1:])

    def load(number: int) -> tuple[list[int], np.ndarray, list[tuple[int, str]], bool]:
        numbers: list[int] = []
        failed: list[tuple[int, str]] = []
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
                failed.append((k, str(problem)))
        return numbers, values[:len(numbers)], failed, ended

    def explain(numbers: list[int], values: np.ndarray, failed: list[tuple[int, str]]):
        options = {"seed": seed, "batch_size": batch_size, "threads": threads}
        try:
            return numbers, explainer(values, each(numbers), **options)
        except Error as problem:
            if on_error == "stop":
                raise
            if len(values) == 1:
                failed.append((numbers[0], str(problem)))
                return [], None
        # Which of them it was: those that can be explained alone are explained together again.
        good = []
        for k, value in zip(numbers, values):
            try:
                explainer(value[None], each([k]), **options)
                good.append((k, value))
            except Error as problem:
                failed.append((k, str(problem)))
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
                        left_out = [{"name": source.name(k), "error": error} for k, error in sorted(failed)]
                        yield _Piece(current, [source.name(k) for k in kept], e, left_out, seed is not None and not isinstance(seed, str))
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
