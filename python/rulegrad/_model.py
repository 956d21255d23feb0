"""Networks that can be explained."""

from __future__ import annotations

import collections
import os
import pathlib
import threading
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from . import _core
from ._arrays import as_inputs, as_numpy, extent_of, plain, sample_count
from ._evaluation import evaluate
from ._explainer import BATCH, Explainer
from ._explanation import Explanation
from ._progress import Progress
from ._rules import Method, Rules, as_calls, shipped
from ._targets import flat_targets
from ._temporary import kept_file
from .errors import ArgumentError, UnknownNameError
from .tables import Table

class Outputs(Mapping):
    """What a target function is given: the outputs by name or position, and by `node(name)` any value of the network."""

    def __init__(self, derivation: Any, rows: Sequence[dict], head: str) -> None:
        self._derivation, self._rows, self._head = derivation, rows, head

    def __getitem__(self, key: Any):
        names = [row["name"] for row in self._rows]
        if isinstance(key, str):
            if key not in names:
                raise UnknownNameError(f"no output '{key}'; the model has {', '.join(map(repr, names))}")
            return self._derivation.output(names.index(key), self._head)
        if isinstance(key, int) and not isinstance(key, bool):
            if not 0 <= key < len(names):
                raise ArgumentError(f"output {key}: the model has {len(names)}, 0 to {len(names) - 1}")
            return self._derivation.output(key, self._head)
        # The only output's own index: outputs[:, 3]
        if len(names) > 1:
            raise ArgumentError(f"the model has {len(names)} outputs; name one: outputs['{names[0]}'][...]")
        return self._derivation.output(0, self._head)[key]

    def __iter__(self):
        return iter(row["name"] for row in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def node(self, name: str):
        """The value of an inner node."""
        return self._derivation.node(name)


class Model:
    """A network, made by `rulegrad.load`, `from_torch` or `from_keras`.

    `inputs` and `outputs` list what it takes and gives, a dict each with name, dtype and shape (`"B"` is the number of
    samples). Methods may be called from several threads.
    """

    def __init__(self, network: Any, source: dict, rules: Rules | None = None, labels: Sequence[str] | None = None) -> None:
        self._network = network
        self._source = source
        self.rules = rules or shipped()
        self.labels: list[str] = list(labels) if labels is not None else network.labels
        self.inputs: list[dict] = network.inputs
        self.outputs: list[dict] = network.outputs
        #: How pictures become inputs: name, scale, mean, std, layout, color, short_side. Without a name nobody has said it.
        self.preprocessing: dict = {}
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict = collections.OrderedDict()
        self._derived: dict = {}

    # What it is.

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._source.get("name") or pathlib.Path(self._source["path"]).stem

    @property
    def notes(self) -> list[str]:
        """What was decided while reading, a sentence each."""
        return [*self._network.notes, *self._source.get("notes", [])]

    @property
    def nodes(self) -> Table:
        """Every named node in the order of the network: name, operator, dtype, shape. `at=` and rules select by these names."""
        return Table(self._network.nodes())

    def digest(self) -> str:
        """16 hexadecimal digits of the bytes of all files of the model."""
        return self._network.digest()

    def inspect(self) -> Table:
        """What the model's file says of itself: a row an operator, and the rest in `about`."""
        summary = self._network.summary
        operators = summary.pop("operators")
        return Table([{"operator": name, "nodes": count} for name, count in operators.items()], {**summary, "notes": self.notes})

    def __repr__(self) -> str:
        def text(rows):
            return ", ".join(f"{row['name']} {row['dtype']}{list(row['shape'])}".replace("'", "") for row in rows)

        return f"<rulegrad.Model {self.name}: {text(self.inputs)} -> {text(self.outputs)}>"

    def __reduce__(self):
        source = dict(self._source)
        if source.get("temporary"):
            source["bytes"] = pathlib.Path(source["path"]).read_bytes()
        return (_again, (source, self.rules, self.labels, self.preprocessing))

    # What is asked of it.

    def _network_for(self, key: Any, make: Callable[[], Any]):
        with self._lock:
            if key not in self._derived:
                self._derived[key] = make()
            return self._derived[key]

    def _question(self, output: Any, head: str) -> tuple[Any, int, str]:
        """The network, the position and the head for what `output` says: a position, a name, a hidden node, or a function."""
        names = [row["name"] for row in self.outputs]
        if callable(output):
            def scalar():
                derivation = _core.Derivation(self._network)
                value = output(Outputs(derivation, self.outputs, head))
                if not isinstance(value, _core.Formula):
                    raise ArgumentError(f"the target function gave {type(value).__name__}; it must give a value made from the outputs, one number a sample, such as outputs[:, 3]")
                return _core.network_of(value, getattr(output, "__name__", "target").strip("<>"), True)

            return scalar(), 0, "probability"
        if isinstance(output, str):
            if output in names:
                return self._network, names.index(output), head

            def hidden():
                derivation = _core.Derivation(self._network)
                return _core.network_of(derivation.node(output), output, False)

            return self._network_for(("node", output), hidden), 0, "probability"
        if not isinstance(output, int) or isinstance(output, bool) or not 0 <= output < len(names):
            raise ArgumentError(f"output {output!r}: the model has {len(names)} ({', '.join(names)}); give a position, a name, or the name of a hidden node")
        return self._network, output, head

    def explainer(self, methods: Any, **options: Any) -> Explainer:
        """Methods compiled for this model: an Explainer, which is called with samples.

        methods           a name, `"lrp.epsilon:epsilon=0.1"`, `rulegrad.method(...)`, or a list of them; `rulegrad.methods()`
                          lists what there is
        rules             `rulegrad.rules(...)`, for methods of one's own
        output            which output (position or name), or a hidden node whose neurons are the scores, or a function of
                          the outputs that gives one number a sample
        head              "logit" (below a final softmax or sigmoid) or "probability"
        at                names of inner nodes to explain instead of the inputs; an input of integers, such as token ids, is
                          explained by the values that look it up, summed over their width
        aux               arrays that belong to nodes, `{"conv1/pattern": array}`
        precision         "exact", "fast", "bfloat16" or "automatic" (docs/precision.md)
        exact_rounding    True: no rewriting that rounds otherwise
        check_finite      False lets NaN and infinity pass
        prove_canonizers  False: canonizers are not tried on random inputs
        keep              names of nodes that canonizers leave as they are
        memory            megabytes that the samples of a method's loops may take together (1024)
        totals            True: also what attributions should add up to, where methods declare it: `e.totals`
        log               a function that is told what was done to the network, a line a time

        Raises UnknownNameError, UnclaimedError, RuleError, ArgumentError.
        """
        return Explainer(self, methods, **options)

    def explain(self, x: Any, methods: Any, target: Any = None, *, targets: Any = None, seed: Any = None, batch_size: int | None = None, threads: int = 0,
                progress: Any = None, baseline: Any = None, **options: Any) -> Explanation:
        """Explains samples by one or several methods, with one forward pass for all of them.

        `x`, `target`, `targets`, `seed`, `batch_size`, `threads`, `progress` are those of a call of Explainer; `target` may also be a
        function of the outputs, `lambda outputs: outputs[:, 3] - outputs[:, 5]`. `baseline`, a number or an array of a
        sample's shape (a dict by input where there are several), is given to every method that has one. All else is what
        `explainer` takes. The latest explainers are kept, so that a second call need not compile again.
        """
        rules = options.get("rules") or self.rules
        calls = as_calls(methods)
        if baseline is not None:
            calls = [self._with_baseline(call, baseline, rules) for call in calls]
        if callable(target):
            if "output" in options:
                raise ArgumentError("a target function names the outputs itself; leave `output` out")
            options["output"], target = target, 0
        explainer = self._kept_explainer(calls, options)
        return explainer(x, target, targets=targets, seed=seed, batch_size=batch_size, threads=threads, progress=progress)

    def export(self, path: str | os.PathLike, methods: Any, *, baseline: Any = None, target: str = "given", seed: str | None = None,
               opset: int | None = None, most_samples: int = 16, external_data: bool = False, share_weights: bool = False, **options: Any) -> dict:
        """Writes prediction and explanations by one or several methods as one ONNX file that runs without rulegrad.

        `baseline` is that of `explain`, all else is what `explainer` and its `export_onnx` take.
        """
        rules = options.get("rules") or self.rules
        calls = as_calls(methods)
        if baseline is not None:
            calls = [self._with_baseline(call, baseline, rules) for call in calls]
        return self._kept_explainer(calls, options).export_onnx(path, target=target, seed=seed, opset=opset, most_samples=most_samples,
                                                                external_data=external_data, share_weights=share_weights)

    def _with_baseline(self, call: Any, baseline: Any, rules: Rules):
        name, arguments = (call, {}) if isinstance(call, str) else call
        bare = name.partition(":")[0].partition("(")[0]
        row = rules.method(bare)
        if not any(parameter["name"] == "baseline" for parameter in row["parameters"]) or "baseline" in arguments or "baseline" in name:
            return call
        if not isinstance(baseline, Mapping):
            return (name, {**arguments, "baseline": self._as_baseline(baseline, self.inputs[0])})
        declared = {row["name"]: row for row in self.inputs}
        for key in baseline:
            if key not in declared:
                raise UnknownNameError(f"baseline: no input '{key}'; the model has {', '.join(map(repr, declared))}")
        return (name, {**arguments, **{f"baseline@{key}": self._as_baseline(value, declared[key]) for key, value in baseline.items()}})

    @staticmethod
    def _as_baseline(baseline: Any, declared: dict) -> Any:
        return plain(as_numpy(baseline, "the baseline"), declared["dtype"]) if np.ndim(baseline) else float(baseline)

    def _kept_explainer(self, calls: list, options: dict) -> Explainer:
        plain = all(isinstance(call, str) or all(isinstance(value, (int, float, str)) for value in call[1].values()) for call in calls)
        plain = plain and options.get("aux") is None and options.get("log") is None and not callable(options.get("output"))
        made = [call if isinstance(call, str) else _method(call) for call in calls]
        if not plain:
            return Explainer(self, made, **options)
        key = (tuple(call if isinstance(call, str) else (call[0], tuple(sorted(call[1].items()))) for call in calls),
               tuple(sorted((name, id(value) if isinstance(value, Rules) else tuple(value) if isinstance(value, list) else value)
                            for name, value in options.items())))
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        explainer = Explainer(self, made, **options)
        with self._lock:
            self._kept[key] = explainer
            while len(self._kept) > 8:
                self._kept.popitem(last=False)
        return explainer

    def predict(self, x: Any, nodes: Sequence[str] | None = None, *, batch_size: int | None = None, threads: int = 0, precision: str = "exact",
                check_finite: bool = True, progress: Any = None) -> dict[str, np.ndarray]:
        """The outputs, by name, each [N, ...]; with `nodes` the values of any named nodes instead."""
        arrays = as_inputs(x, self.inputs)
        samples = sample_count(arrays, self.inputs)
        names = [nodes] if isinstance(nodes, str) else list(nodes or [])
        key = ("values", tuple(names), precision, check_finite)
        values = self._network_for(key, lambda: _core.Values(self._network, names, precision, check_finite))
        names = names or [row["name"] for row in self.outputs]
        batched = [row["name"] for row in self.inputs if row["shape"] and not isinstance(row["shape"][0], int)]
        step = samples
        if batched and values.separable and all(shape and not isinstance(shape[0], int) for _, shape in values.types):
            step = min(batch_size or BATCH, samples)
        elif not batched and self.inputs and self.inputs[0]["shape"]:
            step = self.inputs[0]["shape"][0]
        if step == samples:
            return {name: np.asarray(tensor) for name, tensor in zip(names, values.run(arrays, threads))}
        bar = Progress(progress, samples, "predicting")
        results: list[np.ndarray] = []
        try:
            for first in range(0, samples, step):
                last = min(first + step, samples)
                part = {name: array[first * (array.shape[0] // samples):last * (array.shape[0] // samples)] if not batched or name in batched else array
                        for name, array in arrays.items()}
                for i, tensor in enumerate(values.run(part, threads, first)):
                    piece = np.asarray(tensor)
                    rows = piece.shape[0] // (last - first)
                    if len(results) == i:
                        results.append(np.empty((samples * rows, *piece.shape[1:]), piece.dtype))
                    results[i][first * rows:last * rows] = piece
                if bar.callback:
                    bar.report(last, samples)
        finally:
            bar.close()
        return dict(zip(names, results))

    def top(self, x: Any, k: int = 5, **options: Any) -> Table:
        """The k largest scores of the first output for each sample: sample, rank, index, label, score."""
        scores = next(iter(self.predict(x, **options).values()))
        scores = scores.reshape(scores.shape[0], -1)
        rows = []
        for sample, values in enumerate(scores):
            for rank, index in enumerate(np.argsort(-values, kind="stable")[:k]):
                rows.append({"sample": sample, "rank": rank + 1, "index": int(index), "label": self.label(int(index)), "score": float(values[index])})
        return Table(rows)

    def label(self, index: Any) -> str:
        """The label of a class, or `class 3`."""
        if isinstance(index, (int, np.integer)) and 0 <= index < len(self.labels):
            return self.labels[int(index)]
        return f"class {tuple(int(i) for i in index)}" if np.ndim(index) else f"class {int(index)}"

    # What methods do.

    def _rule_question(self, x: Any, target: Any, output: Any, head: str, at: Any, aux: Any, seed: Any):
        if callable(target):
            output, target = target, 0
        network, index, head = self._question(output, head)
        settings = _core.Settings()
        settings.output, settings.head = index, head
        settings.aux = None if aux is None else {key: plain(as_numpy(value, key)) for key, value in aux.items()}
        settings.nodes = [at] if isinstance(at, str) else list(at or [])
        settings.seed = seed or "own"
        arrays, targets = None, []
        if x is not None:
            arrays = as_inputs(x, self.inputs)
            samples = sample_count(arrays, self.inputs)
            if samples != 1 and not isinstance(self.inputs[0]["shape"][0], int):
                raise ArgumentError(f"{samples} samples were given; relevance is followed for one: x[:1]")
            wanted = {row["name"] for row in network.inputs}
            arrays = {name: array for name, array in arrays.items() if name in wanted}
            rest = [extent_of(dim, 1) for dim in network.outputs[index]["shape"][1:]]
            flat = flat_targets(target, rest, samples, self.labels)
            settings.targets_given = flat is not None
            targets = flat or []
        return network, settings, arrays, targets

    def explain_rules(self, method: Any, x: Any = None, target: Any = None, *, node: str = "", rules: Rules | None = None, output: Any = 0,
                      head: str = "logit", at: Any = None, aux: dict | None = None, seed: str | None = None, width: int = 160) -> Table:
        """Which rule closed each gradient node and why: node, operator, operand, rule, place, why.

        With `x`, one sample, also where relevance went: in, out, bias, stabiliser, rest, low, high. With `node`, `str(table)`
        is the whole derivation of that node. `about` holds the canonizers' rewrites and a drawing for Graphviz (`dot`).
        """
        network, settings, arrays, targets = self._rule_question(x, target, output, head, at, aux, seed)
        found = _core.explain_rules(network, as_calls(method)[0], (rules or self.rules)._registry, settings, arrays, targets, node, width)
        text = found.pop("text")
        return Table(found.pop("steps"), found, text)

    def diff(self, a: Any, b: Any, x: Any = None, target: Any = None, *, rules: Rules | None = None, output: Any = 0, head: str = "logit",
             at: Any = None, aux: dict | None = None, width: int = 160) -> Table:
        """At which gradient nodes two methods differ, by which rules, and with `x` (one sample) by how much."""
        network, settings, arrays, targets = self._rule_question(x, target, output, head, at, aux, None)
        calls = as_calls([a, b])
        found = _core.diff(network, calls[0], calls[1], (rules or self.rules)._registry, settings, arrays, targets, width)
        return Table(found.pop("differences"), {"common": found["common"]}, found["text"])

    def evaluate(self, x: Any, methods: Any, labels: Any = None, **options: Any):
        """How good explanations are: what they call relevant is taken away, and more; see `rulegrad.evaluate`."""
        return evaluate(self, x, methods, labels, **options)

    def patterns(self, batches: Any, kind: str = "relu", threads: int = 0) -> dict[str, np.ndarray]:
        """The patterns of PatternNet and PatternAttribution from data, for `aux=`: `{"conv1/pattern": array}`.

        batches   one array, or an iterable of batches as `explain` takes them; each is read once
        kind      "linear", or "relu": the samples that a neuron's activation lets through
        """
        computation = _core.Patterns(self._network, kind)
        single = isinstance(batches, (np.ndarray, dict, tuple)) or hasattr(batches, "__array__")
        for batch in [batches] if single else batches:
            computation.add(as_inputs(batch, self.inputs), threads)
        return {name: np.asarray(tensor) for name, tensor in computation.result().items()}


def _method(call: tuple):
    return Method(call[0], **call[1])


def _again(source: dict, rules: Rules, labels: list, preprocessing: dict) -> Model:
    if "bytes" in source:
        source = dict(source)
        source["path"] = kept_file(source.pop("bytes"))
    model = read(source, rules, labels)
    model.preprocessing = preprocessing
    return model


def read(source: dict, rules: Rules | None, labels: Any) -> Model:
    """The network that `source` names: path, dtype, batch, extents, allow_non_finite."""
    used = rules or shipped()
    network = _core.load(source["path"], source["dtype"], source["batch"], source["extents"], source["allow_non_finite"], used._registry)
    return Model(network, source, used, labels)
