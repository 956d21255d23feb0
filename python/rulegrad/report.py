"""A page of HTML that holds everything: pictures or tokens with their heat maps, the rules that ran, versions and digests.

The page needs no network and no other file. Sliders move the overlay and the percentile of the full colour. The library writes it, so that
`rulegrad report` of the command makes the same page.
"""

from __future__ import annotations

import sys
from typing import Any, Sequence

import numpy as np

from . import _core, _pictures
from ._interfaces import Explanation
from .errors import ShapeError

__all__ = ["page", "values_html"]


def values_html(explanation: Explanation, samples: Sequence[int]) -> str:
    """What Jupyter shows of features and tokens."""
    import html

    parts = [f"<style>{_core.bars_style()}</style>"]
    node = explanation.nodes[0]
    words = _pictures.words_of(explanation, node, None)
    for sample in samples:
        for method in explanation.methods:
            values = _per_feature(explanation[method, node][sample])
            shown = _core.token_spans(values, words[sample]) if words is not None else _core.bars_html(values, [f"f{k}" for k in range(len(values))])
            parts.append(f"<div><b>{html.escape(explanation.labels[sample])}</b> {_pictures.score_text(explanation, sample)}, {html.escape(method)}{shown}</div>")
    return "".join(parts)


def _per_feature(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return np.ascontiguousarray(values.reshape(values.shape[0], -1).sum(axis=1) if values.ndim > 1 else values.reshape(-1))


def _rules(explanation: Explanation, method: Any, label: str, sample: int) -> dict:
    """The rules that ran, and what reached each node, what it sent on and what was lost."""
    explainer = explanation.explainer
    options = explainer._options
    x = {name: array[sample:sample + 1] for name, array in explanation.inputs.items()}
    target = explanation.targets[sample]
    target = int(target) if np.ndim(target) == 0 else tuple(int(k) for k in target)
    found: dict[str, Any] = {"title": f"{label}, sample {sample}", "steps": [], "rewrites": []}
    try:
        if callable(options["output"]):
            raise ValueError("a function of the outputs")
        table = explanation.model.explain_rules(method, x, target, rules=explainer._rules, output=options["output"], head=options["head"], at=options["at"], aux=options["aux"])
    except (ValueError, KeyError, NotImplementedError, ArithmeticError) as problem:
        return {**found, "problem": str(problem)}
    return {**found, "steps": list(table), "rewrites": table.about["rewrites"]}


def _parts(explanation: Explanation, sample: int, node: str, words: Sequence[Sequence[str]] | None, features: Sequence[str] | None) -> list[dict]:
    """What is shown of a sample at a node: the picture below, then a map or chart a method."""
    layout = _pictures.layout_of(explanation, {})
    image = _pictures.is_image(explanation, node)
    picture = _pictures.input_picture(explanation, node, sample, layout) if image else None
    parts: list[dict[str, Any]] = []
    if picture is not None:
        parts.append({"kind": "picture", "caption": node, "picture": np.ascontiguousarray(picture)})
    signal = None if words is not None else _pictures.series_of(explanation, node, sample, features is not None)
    for method in explanation.methods:
        values = explanation[method, node][sample]
        caption = method if len(explanation.nodes) == 1 else f"{method} at {node}"
        if image:
            parts.append({"kind": "map", "caption": caption, "values": np.ascontiguousarray(_pictures.reduced(values, layout)), "below": picture is not None})
            continue
        if signal is not None:
            parts.append({"kind": "series", "caption": caption, "values": np.ascontiguousarray(values), "signal": signal})
            continue
        line = _per_feature(values)
        own = words[sample] if words is not None and len(words[sample]) == len(line) else None
        names = own if own is not None else features if features is not None and len(features) == len(line) else [f"f{k}" for k in range(len(line))]
        parts.append({"kind": "bars" if own is None else "tokens", "caption": caption, "values": line, "names": [str(name) for name in names]})
    return parts


def page(explanation: Explanation, *, title: str | None = None, samples: Sequence[int] | None = None, tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
         features: Sequence[str] | None = None, top: int = 5, percentile: float = 99.0, overlay: float = 0.0, layers: bool = True) -> str:
    """The page as text.

    samples     which (the first 16)
    tokens      a vocabulary, a word for each row of the table that looks token ids up, or for each sample the words of its
                positions; attributions [N, T, D] are summed over D
    features    names of the columns of a table
    top         how many of the largest scores are listed
    percentile  what gets the full colour at first; overlay: how much of the picture shows at first, 0 to 1
    layers      for the first sample: the rules that ran, and where relevance was lost
    """
    model = explanation.model
    chosen = _pictures.sample_list(explanation, samples)
    words = {node: _pictures.words_of(explanation, node, tokens) for node in explanation.nodes}
    for found in words.values():
        if found is not None and len(found) != len(explanation):
            raise ShapeError(f"tokens of {len(found)} samples were given for {len(explanation)}")
    scores = explanation.scores.reshape(len(explanation), -1)
    rest = explanation.scores.shape[1:]
    shown = []
    for sample in chosen:
        order = np.argsort(-scores[sample], kind="stable")[:top]
        names = [model.label(int(k) if len(rest) <= 1 else np.unravel_index(int(k), rest)) for k in order]
        parts: list[dict[str, Any]] = []
        for node in explanation.nodes:
            first = len(parts)
            for part in _parts(explanation, sample, node, words[node], features):
                parts.append({**part, "over": first if part.get("below") else None})
        shown.append({"heading": f"sample {sample}: {explanation.labels[sample]}, {_pictures.score_text(explanation, sample)}", "parts": parts,
                      "answers": [(name, float(scores[sample][k])) for name, k in zip(names, order)]})
    rules = []
    if layers and explanation.explainer is not None and chosen:
        rules = [_rules(explanation, method, label, chosen[0]) for method, label in zip(_asked(explanation.explainer), explanation.methods)]
    facts = {"rulegrad": _core.version(), "Python": sys.version.split()[0], "NumPy": np.__version__, "model": model.name, "digest of the model": _digest(model),
             "digest of the rules": rules_digest(explanation), "methods": ", ".join(explanation.methods), "explained": ", ".join(explanation.nodes), "samples": f"{len(chosen)} of {len(explanation)}"}
    return _core.page({"title": title or f"{model.name}: what counted", "percentile": percentile, "overlay": overlay, "samples": shown, "rules": rules,
                       "facts": [(key, str(value)) for key, value in facts.items()]})


def _asked(explainer: Any) -> list:
    asked = explainer._asked
    return [asked] if isinstance(asked, str) or not isinstance(asked, (list, tuple)) else list(asked)


def _digest(model: Any) -> str:
    try:
        return model.digest()
    except OSError:
        return "the file is gone"


def rules_digest(explanation: Explanation) -> str:
    """SHA-256 of the rules of the methods, the first 16 digits."""
    import hashlib

    found = hashlib.sha256()
    rules = explanation.explainer._rules if explanation.explainer is not None else explanation.model.rules
    for method in explanation.methods:
        found.update(rules.show(method.partition(":")[0].partition("#")[0]).encode())
    return found.hexdigest()[:16]
