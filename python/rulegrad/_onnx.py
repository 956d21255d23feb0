"""Networks from ONNX files, with what stands in them or beside them."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Mapping, Sequence

import numpy as np

from . import _core
from ._model import Model, read
from ._rules import Rules
from .errors import ArgumentError, FileError, UnknownNameError

CHOICES = {"layout": ("nchw", "nhwc"), "color": ("rgb", "bgr")}


def _written_recipe(model: Model) -> dict | None:
    """What the model's metadata or a file `MODEL.preprocess` beside it says, as the command reads it: `imagenet short_side=256 layout=nhwc`."""
    written = model._network.summary["metadata"].get("preprocess")
    beside = pathlib.Path(str(model._source.get("path")) + ".preprocess")
    if written is None and not model._source.get("temporary") and beside.is_file():
        try:
            written = beside.read_text(encoding="utf-8").partition("\n")[0]
        except (OSError, UnicodeDecodeError) as problem:
            raise FileError(f"cannot read '{beside}': {problem}") from None
    if not written or not written.strip():
        return None
    recipe: dict[str, Any] = {}
    for word in written.split():
        key, equals, value = word.partition("=")
        if not equals:
            recipe["name"] = word
        elif key in ("mean", "std", "scale", "short_side"):
            try:
                numbers = [float(number) for number in value.split(",")]
            except ValueError:
                raise ArgumentError(f"the model's recipe for pictures: '{word}' has no {'list of numbers' if key in ('mean', 'std') else 'number'} behind the sign") from None
            recipe[key] = numbers if key in ("mean", "std") else int(numbers[0]) if key == "short_side" else numbers[0]
        elif key in CHOICES:
            if value not in CHOICES[key]:
                raise UnknownNameError(f"the model's recipe for pictures: '{word}' is none of {', '.join(f'{key}={choice}' for choice in CHOICES[key])}")
            recipe[key] = value
        else:
            raise UnknownNameError(f"the model's recipe for pictures: '{word}' is nothing that a recipe has; it has a name, scale, mean, std, layout, color and short_side")
    return recipe


def load_onnx(path: str | os.PathLike, *, dtype: str = "float32", batch: str = "automatic", extents: Mapping[str, int] | None = None,
              allow_non_finite: bool = False, rules: Rules | None = None, labels: Sequence[str] | str | os.PathLike | None = None,
              preprocess: str | dict | None = None) -> Model:
    """A network from an ONNX file; `rulegrad.load` says what the options are."""
    file = os.fspath(path)
    names = labels
    if isinstance(labels, (str, os.PathLike)):
        try:
            names = pathlib.Path(labels).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            raise FileError(f"cannot read the labels '{os.fspath(labels)}': {problem}") from None
    options = {"dtype": str(np.dtype(dtype)), "batch": batch, "extents": dict(extents or {}), "allow_non_finite": allow_non_finite}
    if batch not in ("automatic", "symbolic", "fixed"):
        raise ArgumentError(f"batch '{batch}' is not automatic, symbolic or fixed")
    model = read({"path": file, **options}, rules, names)
    if preprocess is None:
        preprocess = _written_recipe(model)
    if preprocess is not None:
        model.preprocessing = {"name": preprocess} if isinstance(preprocess, str) else {"name": "raw", **preprocess}
        if model.preprocessing["name"] not in _core.recipes():
            raise UnknownNameError(f"preprocess '{model.preprocessing['name']}' is none of {', '.join(_core.recipes())}")
    return model
