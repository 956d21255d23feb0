"""Methods compiled for a model, run as often and from as many threads as one likes."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, Sequence

import numpy as np

from . import _core, stream
from ._arrays import as_inputs, as_numpy, extent_of, fitted, plain, sample_count
from ._explanation import Explanation
from ._interfaces import Model
from ._progress import Progress
from ._rules import Rules, as_calls, labels_of_methods
from ._targets import as_indices, flat_targets, several_targets
from .errors import ArgumentError, ShapeError

SEEDS = ("own", "one", "value")
BATCH = 16  # samples computed at once where nothing else is said, as in the command


class Explainer:
    """One or several methods compiled for a model; they share the forward pass and whatever else is equal.

        explainer = model.explainer(["gradient", "lrp.epsilon"])
        e = explainer(x, target=3)

    Calls release the GIL and may come from many threads at once. Pickles by the model and what it was asked for.
    """

    def __init__(self, model: Model, methods: Any, *, rules: Rules | None = None, output: int | str = 0, head: str = "logit",
                 at: str | Sequence[str] | None = None, aux: dict | None = None, precision: str = "exact", exact_rounding: bool = False,
                 check_finite: bool = True, prove_canonizers: bool = True, keep: Sequence[str] = (), memory: float = 1024, totals: bool = False,
                 log: Callable[[str], None] | None = None) -> None:
        self._model = model
        self._asked = methods
        self._rules = rules or model.rules
        self._options = {"output": output, "head": head, "at": at, "aux": aux, "precision": precision, "exact_rounding": exact_rounding,
                         "check_finite": check_finite, "prove_canonizers": prove_canonizers, "keep": list(keep), "memory": memory, "totals": totals}
        self._calls = as_calls(methods)
        self._log = log
        self._lock = threading.Lock()
        self._compiled: dict[tuple[bool, str], Any] = {}
        self._network, index, head = model._question(output, head)
        self._settings = {"output": index, "head": head, "nodes": [at] if isinstance(at, str) else list(at or []),
                          "aux": None if aux is None else {key: plain(as_numpy(value, key)) for key, value in aux.items()},
                          "check_finite": check_finite, "precision": precision, "rounding": not exact_rounding, "prove_canonizers": prove_canonizers,
                          "keep": list(keep), "memory": int(memory * 2**20), "totals": totals}
        self._declared = self._network.inputs
        self._output = self._network.outputs[index]
        first = self._program(False, "own")
        self.methods: list[str] = labels_of_methods(first.methods)
        self.nodes: list[str] = first.nodes

    def __reduce__(self):
        return (_again, (self._model, self._asked, self._rules, self._options))

    @property
    def output_shape(self) -> tuple:
        """Of the explained output, with `"B"` for the samples' axis."""
        return self._output["shape"]

    def _settings_for(self, given: bool, seed: str):
        settings = _core.Settings()
        for key, value in self._settings.items():
            setattr(settings, key, value)
        settings.targets_given, settings.seed = given, seed
        return settings

    def _program(self, given: bool, seed: str):
        with self._lock:
            found = self._compiled.get((given, seed))
            if found is None:
                found = _core.Compiled(self._network, self._calls, self._rules._registry, self._settings_for(given, seed), self._log)
                self._compiled[given, seed] = found
            return found

    def stats(self, batch: int = 1) -> dict:
        """Kernel calls, bytes of constants and of working memory of a run of so many samples."""
        return self._program(False, "own").stats(batch)

    def _seed(self, seed: Any, samples: int, rest: Sequence[int]) -> tuple[str, np.ndarray | None]:
        if seed is None:
            return "own", None
        if isinstance(seed, str):
            if seed not in SEEDS:
                raise ArgumentError(f"seed '{seed}' is not one of {', '.join(SEEDS)}, or an array with a number for each score")
            return seed, None
        array = fitted(seed, self._output["dtype"], "the seed")
        scores = int(np.prod(rest, dtype=np.int64))
        if array.size == scores and array.shape != (samples, *rest):
            array = np.ascontiguousarray(np.broadcast_to(array.reshape(1, scores), (samples, scores)))
        if array.size != samples * scores:
            raise ShapeError(f"the seed is {list(np.shape(seed))}; it is {list(rest)} or {[samples, *rest]}, a number for each score")
        return "tensor", array.reshape(samples, scores)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, seed: Any = None, batch_size: int | None = None, threads: int = 0, progress: Any = None) -> Explanation:
        """Explains samples.

        x           the model's input [N, ...]: a NumPy array, or anything with DLPack or `__array__`; a tuple or dict where
                    the model has several. It is read where it lies if it is C-contiguous and of the model's dtype.
        target      which score of each sample: None (the largest), an index, a tuple of indices for outputs of more axes, a
                    label, or an array or list with one of these for each sample
        targets     several scores of every sample: a list of indices, tuples or labels, or "all". Attributions are
                    [N, targets, ...] then.
        seed        what is sent back from the score: None (what the method says), "one", "value", or an array of the
                    output's shape
        batch_size  samples computed at once (16; all of them where an operation mixes samples)
        threads     0: as many as OpenMP gives
        progress    True for a bar, or a function of (done, samples)

        Raises ShapeError, DTypeError, ArgumentError, UnknownNameError, NonFiniteError; KeyboardInterrupt ends a run early.
        """
        if batch_size is not None and batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}; it is at least 1")
        if threads < 0:
            raise ArgumentError(f"threads is {threads}; 0 means as many as OpenMP gives")
        arrays = as_inputs(x, self._model.inputs)
        samples = sample_count(arrays, self._model.inputs)
        wanted = {row["name"] for row in self._declared}
        given = {name: array for name, array in arrays.items() if name in wanted}
        rest = [extent_of(dim, 1) for dim in self._output["shape"][1:]]
        stacked = 0
        flat: list[int] | None
        if targets is not None:
            if target is not None:
                raise ArgumentError("give a target for each sample, or targets for all of them, not both")
            chosen = several_targets(targets, rest, self._model.labels)
            flat, stacked = chosen * samples, len(chosen)
        else:
            flat = flat_targets(target, rest, samples, self._model.labels)
        kind, tensor = self._seed(seed, samples, rest)
        program = self._program(flat is not None, kind)
        bar = Progress(progress, samples * max(stacked, 1), "explaining")
        try:
            found = program.run(given, flat or [], tensor, self._batch(program, batch_size, samples), threads, stacked, bar.callback)
        finally:
            bar.close()
        scores = np.asarray(found["scores"])
        largest = scores.reshape(scores.shape[0], -1).argmax(axis=1)
        chosen_flat = np.array(flat, dtype=np.int64) if flat is not None else largest
        maps: dict[str, dict[str, np.ndarray]] = {}
        for method, row in zip(self.methods, found["maps"]):
            maps[method] = {}
            for node, (array, loops) in zip(self.nodes, row):
                # A map for each sample of a loop of the method's own: the samples' axis goes in front.
                values = np.asarray(array)
                maps[method][node] = np.moveaxis(values, list(range(loops)), list(range(1 + bool(stacked), 1 + bool(stacked) + loops))) if loops else values
        indices = as_indices(chosen_flat, rest)
        totals = [{"method": self.methods[row["method"]], "nodes": [self.nodes[k] for k in row["nodes"]],
                   **{key: np.reshape(row[key], (samples, stacked)).tolist() if stacked else row[key] for key in ("expected", "reached")}} for row in found["totals"]]
        return Explanation(self._model, arrays, self.methods, self.nodes, maps, scores.reshape(scores.shape[0], *rest),
                           indices.reshape(samples, stacked, *indices.shape[1:]) if stacked else indices, explainer=self,
                           explained_scores=np.array(found["explained_scores"]).reshape((samples, stacked) if stacked else (-1,)), totals=totals)

    def _batch(self, program: Any, wanted: int | None, samples: int) -> int:
        if not program.separable:
            if wanted is not None and wanted < samples:
                raise ArgumentError(f"the {samples} samples cannot be cut into runs of {wanted}, because {program.mixing} mixes them; leave batch_size out")
            return 0
        return min(wanted or BATCH, samples)

    def export_onnx(self, path: Any, *, target: str = "given", seed: str | None = None, opset: int | None = None, most_samples: int = 16,
                    external_data: bool = False, share_weights: bool = False) -> dict:
        """Writes prediction and explanation as one ONNX file, which onnxruntime and others compute without rulegrad (docs/export.md).

        path           FILE.onnx
        target         "given": the file has an input `target`, int64 [N]; "largest": it explains each sample's largest score
        seed           None (what the methods say), "one" or "value": what is sent back from the score
        opset          the operator set, 13 to 23; None: the lowest that the operators need
        most_samples   sample loops of at most so many samples are written out, longer ones become a `Loop`
        external_data  weights go to a file beside it, FILE.onnx.data
        share_weights  the file refers to large weights where they lie in the model's files, which must be in its folder or below

        Returns {"inputs": [names], "outputs": ["scores", names of the attributions]}. Raises ArgumentError, FileError, and ModelError for what
        has no form in ONNX.
        """
        if target not in ("given", "largest"):
            raise ArgumentError(f"target '{target}' is not given or largest")
        if seed is not None and (not isinstance(seed, str) or seed not in SEEDS):
            raise ArgumentError(f"a file's seed is None or one of {', '.join(SEEDS)}; arrays are no part of a file")
        file = os.fspath(path)
        if not file.endswith(".onnx"):
            raise ArgumentError(f"'{file}' must end in .onnx")
        program = self._program(target == "given", seed or "own")
        return program.export_onnx(file, opset or 0, most_samples, external_data, share_weights, self._model.labels)

    def map(self, data: Any, out: Any = None, **options: Any):
        """Explains many samples, shard by shard; see `rulegrad.stream.run`."""
        return stream.run(self, data, out, **options)

    def __repr__(self) -> str:
        return f"<Explainer of {', '.join(self.methods)} for {self._model!r}>"


def _again(model: Model, methods: Any, rules: Rules, options: dict) -> Explainer:
    return Explainer(model, methods, rules=rules, **options)
