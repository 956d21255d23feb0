"""Many samples: shards of `.npy` files, written as they are made, with a manifest; memory stays bounded, and a run that was
ended goes on where it stopped.

    explainer = model.explainer("lrp.epsilon_plus_flat")
    done = rulegrad.stream.run(explainer, "pictures/", "maps/", shard=256, resume=True, on_error="skip")
    done.load("lrp.epsilon_plus_flat")[12345]        # read from its shard

Data are a folder or list of files (pictures, `.npy`), one `.npy` file larger than memory, an array of NumPy, Zarr or h5py, or
any iterable of samples; of models with several inputs a tuple or dict of these. `manifest.json` beside the shards tells everything
that made them. The work is that of the library's `run_stream`, which the command does too.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
from typing import Any, Iterator, Sequence

import numpy as np

from . import _core, _pictures
from ._arrays import as_numpy, extent_of, plain
from ._progress import Progress
from ._rules import labels_of_methods
from ._samples import Source, sources_of
from ._targets import flat_targets, several_targets
from .errors import ArgumentError, CancelledError, Error, FileError, ShapeError
from .tables import Table

__all__ = ["run", "open", "Stream", "SCHEMA"]

#: JSON Schema (draft 2020-12) of manifest.json, of the command's `analyze` too; docs/json.md tells what it says.
SCHEMA = json.loads(pathlib.Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))["$defs"]["manifest"]


class Stream(Table):
    """What a run made: a row a sample and target (name, target, label, score); `load` reads attributions from the shards."""

    def __init__(self, folder: pathlib.Path, manifest: dict) -> None:
        self.folder, self.manifest = folder, manifest
        super().__init__(manifest["samples"], {key: value for key, value in manifest.items() if key != "samples"})

    @property
    def failed(self) -> list[dict]:
        """What could not be read or explained: name and error."""
        return self.manifest["failed"]

    def load(self, method: str | None = None, node: str | None = None) -> "Shards":
        """The attributions of a method: indexed like an array, read from the shards when asked."""
        methods = labels_of_methods(row["name"] for row in self.manifest["methods"])
        for label, row in zip(methods, self.manifest["methods"]):
            if method is None or label == method:
                nodes = self.manifest["nodes"]
                if node is not None and node not in nodes:
                    raise ArgumentError(f"no value '{node}' here; there are {', '.join(nodes)}")
                place = self.manifest["node_folders"][nodes.index(node or nodes[0])]
                return Shards(self.folder / row["folder"] / place, self.manifest["shards"])
        raise ArgumentError(f"no method '{method}' here; there are {', '.join(methods)}")


class Shards:
    """Arrays one after another in files; `shards[k]` and `shards[a:b]` read what is asked for, `numpy.asarray` all."""

    def __init__(self, folder: pathlib.Path, rows: Sequence[dict]) -> None:
        self._folder, self._rows = folder, rows
        self._zarr: dict = _read_json(folder / ".zarray") if (folder / ".zarray").exists() else {}
        self._starts = np.cumsum([0] + [row["count"] for row in rows])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _open(self, shard: int) -> np.ndarray:
        row = self._rows[shard]
        if not self._zarr:
            return np.load(self._folder / f"{row['name']}.npy", mmap_mode="r")
        # A chunk as it lies: not compressed, as long as the longest, a sample at its own number.
        extents = self._zarr["chunks"]
        chunk = np.memmap(self._folder / ".".join([str(int(row["name"])), *["0"] * (len(extents) - 1)]), self._zarr["dtype"], "r", shape=tuple(extents))
        return chunk[[k - row["first"] for k in row["rows"]]] if "rows" in row else chunk[:row["count"]]

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


def run(explainer: Any, data: Any, out: str | os.PathLike | None = None, *, target: Any = None, targets: Any = None, seed: Any = None, shard: int = 256,
        batch_size: int | None = None, threads: int = 0, resume: bool = False, on_error: str = "stop", progress: Any = None, readers: int = 2) -> Any:
    """Explains samples shard by shard.

    data        a folder or list of files, a `.npy` file, an array, or an iterable of samples (without the samples' axis); a tuple
                or dict of these where the model has several inputs, which go together sample by sample
    out         where shards and manifest.json go: a folder of `.npy` files or, called `*.zarr`, of Zarr arrays, a chunk a shard,
                where a sample stands at its own number and what was left out is NaN; without it the run is an iterator of
                explanations, one a shard
    target      None, one target for all, or one for each sample, in their order
    targets     several scores of every sample, as a call of the explainer takes them: arrays are [N, targets, ...] then
    shard       samples in a file; that many inputs and results, twice, are what memory holds
    resume      goes on at the first shard that is missing. The bytes are those of a run that was never ended. ArgumentError
                where model, methods or targets are others.
    on_error    "stop", or "skip": a file that cannot be read, or a sample that cannot be explained, is written to `failed`
                and left out
    readers     threads that read and decode while others compute

    Returns a Stream. Random numbers of a method depend on a sample's place in its shard, not on the rest of the run.
    """
    asked = Asked(explainer, data, target, targets, seed, shard, batch_size, threads, on_error, readers)
    return asked.explanations() if out is None else asked.write(pathlib.Path(out), resume, progress)


class Asked:
    """A run, before it begins."""

    def __init__(self, explainer: Any, data: Any, target: Any = None, targets: Any = None, seed: Any = None, shard: int = 256, batch_size: int | None = None,
                 threads: int = 0, on_error: str = "stop", readers: int = 2) -> None:
        if on_error not in ("stop", "skip"):
            raise ArgumentError(f"on_error '{on_error}' is not stop or skip")
        if shard < 1 or readers < 1:
            raise ArgumentError("shard and readers are at least 1")
        if targets is not None and target is not None:
            raise ArgumentError("give a target for each sample, or targets for all of them, not both")
        self.explainer, self.target, self.targets, self.seed, self.shard = explainer, target, targets, seed, shard
        model = self.model = explainer._model
        self.sources, self.shared = sources_of(data, model.inputs, model.preprocessing)
        self.count: int | None = next(iter(self.sources.values())).count
        self.rest = [extent_of(dim, 1) for dim in explainer.output_shape[1:]]
        self.each = target is not None and not isinstance(target, (str, int, np.integer, tuple))
        if self.each and self.count is not None and len(target) != self.count:
            raise ShapeError(f"{len(target)} targets were given for {self.count} samples; give one, or one for each")
        self.options = {"shard": shard, "batch_size": batch_size, "threads": threads, "readers": readers, "skip": on_error == "skip"}

    def write(self, folder: pathlib.Path, resume: bool, progress: Any = None, part: tuple[int, int] | None = None) -> Any:
        """Writes what is missing and gives the Stream; with `part` some shards alone, and no manifest."""
        explainer, stacked, flat = self.explainer, 0, None
        if self.targets is not None:
            flat = several_targets(self.targets, self.rest, self.model.labels)
            stacked = len(flat)
        elif self.target is not None:
            flat = flat_targets(self.target, self.rest, len(self.target) if self.each else 1, self.model.labels)
        kind, tensor = explainer._seed(self.seed, 1, self.rest)
        program = explainer._program(flat is not None, kind)
        if program.mixing:
            raise ArgumentError(f"the samples cannot be explained shard by shard, because {program.mixing} mixes them")
        how = {**self.options, "batch_size": explainer._batch(program, self.options["batch_size"], self.shard), "resume": resume, "targets": flat or [],
               "seed": None if tensor is None else tensor.reshape(-1), "part": part}
        bar = Progress(progress, self.count or 0, "explaining")
        try:
            _core.run_stream(program, {**self.sources, **self.shared}, os.fspath(folder), {**self._question(), "stacked": stacked}, how, bar.callback)
        except CancelledError:
            for source in self.sources.values():
                if isinstance(source, Source) and source.problem is not None:
                    raise source.problem from None
            raise
        finally:
            bar.close()
        return open(folder) if part is None else None

    def _question(self) -> dict:
        """What the manifest says of how it was asked."""
        explainer, model = self.explainer, self.model
        options, aux, seed = explainer._options, explainer._options["aux"], self.seed
        if seed is not None and not isinstance(seed, str):
            seed = np.asarray(as_numpy(seed, "the seed"), np.float64)
        return {"model_name": model.name, "model_digest": model.digest() if os.path.exists(model._source["path"]) else "", "model_dtype": model._source["dtype"],
                "calls": explainer._calls, "registry": explainer._rules._registry, "target": _as_json(self.target if self.targets is None else self.targets),
                "seed": _as_json(seed), "output": _as_json(options["output"]), "head": options["head"], "preprocessing": _pictures.recipe(model),
                "precision": options["precision"], "rounding": not options["exact_rounding"], "keep": options["keep"], "score_dims": self.rest, "label": self._label,
                "aux": "null" if aux is None else "{" + ", ".join(f"{json.dumps(key)}: {_core.array_json(plain(as_numpy(value, key)), 0)}" for key, value in aux.items()) + "}"}

    def _label(self, flat: int) -> str:
        return self.model.label(flat if len(self.rest) <= 1 else np.unravel_index(flat, self.rest))

    def explanations(self) -> Iterator[Any]:
        """A shard at a time; the next is read while one is computed."""
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            first, waiting = 0, reader.submit(self._read, 0)
            while True:
                numbers, inputs, ended = waiting.result()
                first += self.shard
                if not ended:
                    waiting = reader.submit(self._read, first)
                e = self._explained(numbers, inputs) if numbers else None
                if e is not None:
                    yield e
                if ended:
                    return

    def _read(self, first: int) -> tuple[list[int], dict[str, np.ndarray], bool]:
        numbers: list[int] = []
        rows: dict[str, list[np.ndarray]] = {name: [] for name in self.sources}
        k = first
        while k < first + self.shard and all(source.has(k) for source in self.sources.values()):
            try:
                row = {name: np.asarray(source.read(k)) for name, source in self.sources.items()}
            except Error:
                if not self.options["skip"]:
                    raise
            else:
                numbers.append(k)
                for name, value in row.items():
                    rows[name].append(value)
            k += 1
        return numbers, {name: np.stack(values) for name, values in rows.items() if values}, k < first + self.shard or k == self.count

    def _explained(self, numbers: Sequence[int], inputs: dict[str, np.ndarray]) -> Any:
        """What cannot be explained is left out where that is asked for."""
        def call(places: Sequence[int]) -> Any:
            target = [self.target[numbers[k]] for k in places] if self.each else self.target
            given = inputs if len(places) == len(numbers) else {name: array[list(places)] for name, array in inputs.items()}
            return self.explainer({**given, **self.shared}, target, targets=self.targets, seed=self.seed, batch_size=self.options["batch_size"], threads=self.options["threads"])

        def works(place: int) -> bool:
            try:
                call([place])
            except Error:
                return False
            return True

        try:
            return call(range(len(numbers)))
        except Error:
            if not self.options["skip"]:
                raise
        good = [place for place in range(len(numbers)) if works(place)]
        return call(good) if good else None


def _as_json(value: Any) -> str:
    """As manifests have it: short lists as numbers, other arrays as a digest of their bytes."""
    if isinstance(value, (list, np.ndarray)) and np.asarray(value).dtype.kind in "iuf":
        array = np.asarray(value)
        return _core.array_json(plain(array, np.int64 if array.dtype.kind in "iu" else np.float64), 64)
    if isinstance(value, np.generic):
        value = value.item()
    if callable(value):
        value = getattr(value, "__name__", "function")
    return json.dumps(list(value) if isinstance(value, (tuple, range)) else value, ensure_ascii=False)


def _read_json(path: pathlib.Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise FileError(f"cannot read '{path}': {problem}") from None
    if not isinstance(found, dict):
        raise FileError(f"cannot read '{path}': it is no JSON object")
    return found


def open(folder: str | os.PathLike) -> Stream:  # noqa: A001: the word that people look for
    """What `run` or the command wrote."""
    return Stream(pathlib.Path(folder), _read_json(pathlib.Path(folder) / "manifest.json"))
