"""How good explanations are: what `rulegrad evaluate` measures, on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core
from ._arrays import as_inputs, as_numpy, plain
from ._interfaces import Model
from ._rules import Method, Rules, as_calls
from ._targets import flat_targets
from .errors import ArgumentError, ShapeError
from .tables import Table


def evaluate(model: Model, x: Any, methods: Any, labels: Any = None, *, rules: Rules | None = None, score: str = "", fill: Any = 0, insertion_into: Any = None,
             region_size: int | None = None, steps: int = 0, until: float = 1.0, random_orders: int = 5, baseline: float = 0.0, mask: Any = None, key: int = 0,
             randomisation: str | None = None, batch_size: int = 16, threads: int = 0, layout: str | None = None) -> Table:
    """A row a method, and last the floor, `random`: the mean of several random maps.

    aopc, aopc_least_relevant_first  the area over the curve when the most (least) relevant regions are taken away first
                        (Samek et al. 2017); area_between_curves is their difference
    deletion_auc        the mean score on the way, lower is better; insertion_auc: into a blurred input, higher is better
                        (Petsiuk et al. 2018)
    gini                of the magnitudes: 0 evenly spread, 1 a single element
    completeness_error  what the attributions miss of score - score at the baseline, divided by it
    precision           with `mask`: the share of the k largest magnitudes in the true mask of k elements
    curves              fractions, most_relevant_first, least_relevant_first, insertion_curve

    The names are those of the command's `--csv`.

    x               samples [N, ...] of a model with one input
    labels          the classes whose scores are followed; the model's own answers unless given
    score           "probability" or "logit": what is followed; the probability where a softmax or sigmoid ends the output, else the
                    logit
    fill            what replaces regions: a number, "mean", "blur", "blur:WIDTH", "uniform", "uniform:LOW,HIGH"
    randomisation   "cascading" or "independent": also `about["randomisation"]`, the rank correlation with the attributions
                    of the model whose layers forgot what they learned (Adebayo et al. 2018)
    """
    arrays = as_inputs(x, model.inputs)
    if len(arrays) != 1:
        raise ArgumentError(f"evaluation takes samples apart for models with one input; this one has {len(arrays)}")
    if random_orders < 1:
        raise ArgumentError(f"random_orders is {random_orders}; it is at least 1")
    samples = plain(next(iter(arrays.values())))
    explainer_methods = [item if isinstance(item, (str, Method)) else item for item in ([methods] if isinstance(methods, (str, Method)) else methods)]
    names = [str(method) for method in explainer_methods]
    calls = explainer_methods + [Method("random", key=key + k) for k in range(random_orders)]
    output = model.outputs[0]
    rest = list(output["shape"][1:])
    targets = flat_targets(labels, rest, samples.shape[0], model.labels)
    explainer = model.explainer(calls, rules=rules)
    if targets is None:
        targets = [int(k) for k in model.predict(samples, batch_size=batch_size)[output["name"]].reshape(samples.shape[0], -1).argmax(axis=1)]
    shape = np.unravel_index(np.array(targets), [int(n) for n in rest] or [1])
    found = explainer(samples, np.stack(shape, axis=1) if len(rest) > 1 else np.array(targets), batch_size=batch_size, threads=threads)
    for method in found.methods:
        if found[method].shape != samples.shape:
            raise ShapeError(f"{method} gives {list(found[method].shape)} for samples {list(samples.shape)}; only a value for each element can be measured")
    image = samples.ndim >= 4
    layout = layout or model.preprocessing.get("layout", "nchw")
    side = 0 if not image else max(samples.shape[2:4] if layout == "nchw" else samples.shape[1:3])
    region = region_size or max(1, side // 14)
    away = str(fill)
    start = str(insertion_into) if insertion_into is not None else "blur" if image else away
    truth = None if mask is None else plain(as_numpy(mask, "the mask"))
    there = model.explainer(Method("random", key=key))(np.full_like(samples, baseline), np.stack(shape, axis=1) if len(rest) > 1 else np.array(targets), batch_size=batch_size).target_scores
    scores = found.target_scores
    spread = float(np.abs(scores - there).sum())
    rows = []
    for position, method in enumerate(found.methods):
        row = _core.measures(model._network, samples, found[method], targets, score, away, start, region, steps, until, key, layout, batch_size, threads, truth)
        missed = float(np.sum(_core.completeness(found[method], [float(s) for s in scores], [float(s) for s in there])))
        row["completeness_error"] = missed / spread if spread else None
        rows.append({"method": names[position] if position < len(names) else "random", **row})
    floor = rows[len(names):]
    mean: dict[str, Any] = {"method": "random"}
    for name in floor[0]:
        if name == "method":
            continue
        values = [row[name] for row in floor]
        mean[name] = None if any(value is None for value in values) else np.mean(values, axis=0).tolist()
    about: dict[str, Any] = {"samples": samples.shape[0], "regions_of": region, "fill": away, "insertion_into": start, "targets": targets}
    if randomisation is not None:
        about["randomisation"] = _core.randomisation(model._network, as_calls(explainer_methods), (rules or model.rules)._registry, samples, targets, randomisation, key, batch_size, threads)
    table = Table(rows[:len(names)] + [mean], about)
    shown = [key for key in ("method", "aopc", "area_between_curves", "deletion_auc", "insertion_auc", "gini", "completeness_error", "precision") if key in table.columns]
    table._text = str(Table([{key: row.get(key) for key in shown} for row in table.rows]))
    return table
