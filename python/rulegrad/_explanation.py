"""What an explanation holds, shows and writes."""

from __future__ import annotations

import html
import json
import os
import pathlib
from typing import Any, Mapping, Sequence

import numpy as np

from . import _pictures
from ._interfaces import Model
from .errors import ArgumentError, ShapeError, UnknownNameError, needs
from .tables import Table


class Explanation:
    """Attributions of one or several methods for a batch of samples.

    attribution   the array, where one method explained one input: of the input's shape [N, ...]; its unit is the method's
                  (`help(rulegrad)`)
    attributions  all of them: `{method: {input or node: array}}`; also `e["lrp.epsilon"]`, `e["lrp.epsilon", "conv1"]`
    scores        the output that was explained, [N, ...]
    targets       which score of each sample: [N], or [N, k] where an output has k more axes
    inputs        what was given, by name
    totals        with `totals=True`, what each method's attributions should add up to and do: method, nodes, expected, reached

    Where several targets of every sample were asked for, attributions are [N, targets, ...] and targets [N, targets];
    `e.of_target(k)` is the explanation of one of them.
    """

    def __init__(self, model: Model, inputs: dict[str, np.ndarray], methods: list[str], nodes: list[str], attributions: dict[str, dict[str, np.ndarray]],
                 scores: np.ndarray, targets: np.ndarray, explainer: Any = None, explained_scores: np.ndarray | None = None, totals: Sequence[dict] = ()) -> None:
        self.model = model
        self.inputs = inputs
        self.methods = methods
        self.nodes = nodes
        self.attributions = attributions
        self.scores = scores
        self.targets = targets
        self.explainer = explainer
        self.totals = Table(totals)
        self._explained_scores = explained_scores
        self._stacked = explained_scores is not None and explained_scores.ndim == 2

    def of_target(self, position: int) -> "Explanation":
        """Where several targets were asked for: the explanation of one, by its place among them."""
        if not self._stacked:
            raise ArgumentError("one target of each sample was explained; `targets=[...]` asks for several")
        assert self._explained_scores is not None
        count = self.targets.shape[1]
        if not 0 <= position < count:
            raise ArgumentError(f"target {position}: {count} were asked for, 0 to {count - 1}")
        assert self._explained_scores is not None
        maps = {method: {node: array[:, position] for node, array in rows.items()} for method, rows in self.attributions.items()}
        totals = [{**row, **{key: [values[position] for values in row[key]] for key in ("expected", "reached")}} for row in self.totals]
        return Explanation(self.model, self.inputs, self.methods, self.nodes, maps, self.scores, self.targets[:, position], self.explainer, self._explained_scores[:, position], totals)

    def _rows(self) -> "Explanation":
        """A sample for each target, for what is drawn."""
        if not self._stacked:
            return self
        assert self._explained_scores is not None
        count = self.targets.shape[1]
        maps = {method: {node: array.reshape(-1, *array.shape[2:]) for node, array in rows.items()} for method, rows in self.attributions.items()}
        inputs = {name: np.repeat(array, count, axis=0) for name, array in self.inputs.items()}
        return Explanation(self.model, inputs, self.methods, self.nodes, maps, np.repeat(self.scores, count, axis=0), self.targets.reshape(-1, *self.targets.shape[2:]), self.explainer,
                           self._explained_scores.reshape(-1))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: Any) -> np.ndarray:
        method, node = key if isinstance(key, tuple) else (key, None)
        if isinstance(method, (int, np.integer)):
            method = self.methods[int(method)]
        asked = list(getattr(self.explainer, "_calls", ()))
        if method not in self.attributions and method in asked:
            method = self.methods[asked.index(method)]  # as it was asked for: 1e-9, where the method is called 1e-09
        if method not in self.attributions:
            raise UnknownNameError(f"no method '{method}' in this explanation; it has {', '.join(self.methods)}")
        maps = self.attributions[method]
        if node is None and len(maps) > 1:
            raise ArgumentError(f"'{method}' explains several values; name one: {', '.join(maps)}")
        name = self.nodes[0] if node is None else node
        if name not in maps:
            raise UnknownNameError(f"no value '{name}' in this explanation; it has {', '.join(self.nodes)}")
        return maps[name]

    @property
    def attribution(self) -> np.ndarray:
        """The array, where there is only one. ArgumentError where there are several."""
        if len(self.methods) > 1:
            raise ArgumentError(f"there are several methods ({', '.join(self.methods)}); name one: e[{self.methods[0]!r}]")
        return self[self.methods[0]]

    @property
    def predictions(self) -> np.ndarray:
        """The index of each sample's largest score, flattened over the axes of the output."""
        return self.scores.reshape(len(self), -1).argmax(axis=1)

    @property
    def target_scores(self) -> np.ndarray:
        """What was explained of each sample, [N]: its target's score, or with a seed of one's own the product of seed and output."""
        if self._explained_scores is not None:
            return self._explained_scores
        flat = self.scores.reshape(len(self), -1)
        rest = self.scores.shape[1:]
        index = self.targets if self.targets.ndim == 1 else np.ravel_multi_index(tuple(self.targets.T), rest)
        return flat[np.arange(len(self)), index]

    @property
    def labels(self) -> list[str]:
        """The label of each sample's target."""
        return [self.model.label(target) for target in (self.targets[:, 0] if self._stacked else self.targets)]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{node} {list(array.shape)}" for node, array in self.attributions[self.methods[0]].items())
        return f"<Explanation of {len(self)} sample{'s' if len(self) != 1 else ''} by {', '.join(self.methods)}: {shapes}>"

    # Tables.

    def to_table(self, features: Sequence[str] | None = None) -> Table:
        """A row an element of each sample: sample, label, value given, and each method's attribution. For tables and tokens."""
        if self._stacked:
            return self._rows().to_table(features)
        node = self.nodes[0]
        first = self[self.methods[0], node]
        given = self.inputs.get(node)
        names = list(features) if features is not None else None
        width = int(np.prod(first.shape[1:], dtype=np.int64))
        if names is not None and len(names) != width:
            raise ShapeError(f"{len(names)} feature names were given for {width} features")
        rows = []
        for sample in range(len(self)):
            for k in range(width):
                row = {"sample": sample, "target": self.labels[sample], "feature": names[k] if names else k}
                if given is not None and given.shape == first.shape:
                    row["value"] = float(given[sample].reshape(-1)[k])
                for method in self.methods:
                    row[method] = float(self[method, node][sample].reshape(-1)[k])
                rows.append(row)
        return Table(rows)

    def to_frame(self, features: Sequence[str] | None = None):
        """`to_table` as a pandas.DataFrame."""
        return self.to_table(features).to_frame()

    def to_dict(self) -> dict:
        """Everything as plain Python values, for json: methods, nodes, targets, scores, attributions."""
        return {"model": self.model.name, "methods": self.methods, "nodes": self.nodes, "targets": self.targets.tolist(), "labels": self.labels,
                "scores": self.scores.tolist(),
                "attributions": {method: {node: array.tolist() for node, array in maps.items()} for method, maps in self.attributions.items()}}

    def token_relevance(self, method: str | None = None, node: str | None = None) -> np.ndarray:
        """[N, T], or [N, targets, T]: the relevance of each token, the sum over what an embedding [N, T, D] holds."""
        array = self[method or self.methods[0], node] if node else self[method or self.methods[0]]
        axes = 2 + self._stacked
        if array.ndim < axes:
            raise ShapeError(f"an attribution {list(array.shape)} has no tokens")
        return array.reshape(*array.shape[:axes], -1).sum(axis=axes)

    # Pictures.

    def image(self, samples: Sequence[int] | None = None, *, node: str | None = None, title: str = "", overlay: bool = False, **look: Any) -> np.ndarray:
        """A figure as uint8 [height, width, 3]: samples down, the input and the methods across.

        look  colormap ("rulegrad", "seismic", "gray", "heat"), percentile (99), gamma, limit, reduce ("sum", "mean",
              "max_abs"), layout ("nchw", "nhwc")
        """
        return _pictures.grid(self._rows(), samples, node, title, overlay, look)

    def plot(self, samples: Sequence[int] | None = None, *, node: str | None = None, features: Sequence[str] | None = None, tokens: Sequence | None = None, **look: Any):
        """A matplotlib figure: heat maps of pictures, series over their colours, bars of features and tokens. MissingFeatureError without matplotlib.

        features  names of the columns of a table
        tokens    a vocabulary, a word for each row of the table that looks token ids up, or for each sample the words of its positions
        """
        return _pictures.figure(self._rows(), samples, node, features, tokens, look)

    def _repr_png_(self) -> bytes | None:
        shown = self._rows()
        if not self._is_picture(shown):
            return None
        return _pictures.png(shown.image(range(min(len(shown), 8))))

    def _repr_html_(self) -> str | None:
        from .report import values_html

        shown = self._rows()
        return None if self._is_picture(shown) else values_html(shown, samples=range(min(len(shown), 4)))

    def _is_picture(self, shown: "Explanation") -> bool:
        node = self.nodes[0]
        return _pictures.is_image(shown, node) or _pictures.series_of(shown, node, 0) is not None

    def save(self, path: str | os.PathLike) -> None:
        """Writes `.npz` (attributions, scores, targets), `.npy` (the only attribution), `.png` (the figure) or `.json`."""
        file = pathlib.Path(path)
        if file.suffix == ".npy":
            np.save(file, self.attribution)
        elif file.suffix == ".npz":
            arrays = {"scores": self.scores, "targets": self.targets}
            for method, maps in self.attributions.items():
                for node, array in maps.items():
                    arrays[method if len(maps) == 1 else f"{method}@{node}"] = array
            np.savez(file, **arrays)  # type: ignore[arg-type]  # methods are not called allow_pickle
        elif file.suffix == ".png":
            file.write_bytes(_pictures.png(self.image()))
        elif file.suffix == ".json":
            file.write_text(json.dumps(self.to_dict()))
        else:
            raise ArgumentError(f"'{file}': the name must end in .npy, .npz, .png or .json")

    def report(self, path: str | os.PathLike | None = None, **options: Any) -> str:
        """One self-contained HTML page; see `rulegrad.report.page`. Returns the text, and writes it where `path` is given."""
        from .report import page

        text = page(self._rows(), **options)
        if path is not None:
            pathlib.Path(path).write_text(text, encoding="utf-8")
        return text
