"""Networks from files of any kind that rulegrad reads."""

from __future__ import annotations

import os
import pathlib
from typing import Mapping, Sequence

from ._keras import from_keras
from ._model import Model
from ._onnx import load_onnx
from ._rules import Rules
from .errors import MissingFeatureError

KERAS_HELP = """{path} is a Keras model. Where Keras is installed rulegrad.load reads it; otherwise, in a Python that has Keras:

    import keras
    keras.models.load_model({path!r}).export("model.onnx", format="onnx")
"""


def load(path: str | os.PathLike, *, dtype: str = "float32", batch: str = "automatic", extents: Mapping[str, int] | None = None,
         allow_non_finite: bool = False, rules: Rules | None = None, labels: Sequence[str] | str | os.PathLike | None = None,
         preprocess: str | dict | None = None) -> Model:
    """Reads a network.

    path              an ONNX file (operator sets 6 to 28); a `.keras` or `.h5` file where Keras is installed
    dtype             "float32" or "float64": what it computes in
    batch             "automatic", "symbolic" or "fixed": whether any number of samples may be given at once
    extents           extents of free axes that are not the samples': `{"seq": 128}`
    allow_non_finite  False: a weight that is NaN or infinite is an error
    rules             `rulegrad.rules(...)`; methods of one's own for all questions to this model
    labels            names of the classes, or a text file with one a line; those in the file unless given
    preprocess        how pictures become inputs: "raw", "unit", "signed", "imagenet", "caffe", or a dict with name, scale,
                      mean, std, layout, color, short_side; what the model's metadata entry `preprocess` or a file
                      `PATH.preprocess` says unless given

    Raises FileError, ModelError (all operators that are not mapped at once), NonFiniteError.
    """
    file = os.fspath(path)
    if not file.endswith((".keras", ".h5", ".hdf5")) or not os.path.exists(file):
        return load_onnx(file, dtype=dtype, batch=batch, extents=extents, allow_non_finite=allow_non_finite, rules=rules, labels=labels, preprocess=preprocess)
    try:
        import keras
    except ImportError:
        raise MissingFeatureError(KERAS_HELP.format(path=file)) from None
    return from_keras(keras.models.load_model(file, compile=False), name=pathlib.Path(file).stem, dtype=dtype, rules=rules, labels=labels, preprocess=preprocess)
