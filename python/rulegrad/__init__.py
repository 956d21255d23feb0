"""rulegrad explains what a trained neural network answered: for a model, an input and a class, how much each pixel or feature counted.

    import rulegrad as rg

    model = rg.load("resnet.onnx")                 # or rg.from_torch(module, example), rg.from_keras(model)
    e = model.explain(x, "lrp.epsilon_plus_flat")  # x: NumPy, or anything with DLPack or __array__
    e.attribution, e.scores, e.targets             # NumPy arrays
    e.plot()                                       # a matplotlib figure; in Jupyter e shows itself

Methods are rules that rewrite gradients: `rg.methods()` lists them, `rg.show("lrp.epsilon")` prints one,
`rg.rules(TEXT)` adds some, `model.explain_rules(method)` tells which rule closed which node.

Attributions have the shape of what they explain. Gradients are in score by unit of the input; DeepLIFT and integrated
gradients divide up the score's difference from the baseline's; LRP divides up what is sent back, which is 1 unless a method
or `seed=` says otherwise (`seed="value"`: the score itself). Only NumPy is needed; matplotlib, pandas, tqdm, torch, keras
and dask are used where they are installed.

Submodules: rulegrad.errors, rulegrad.tables, rulegrad.stream (many samples), rulegrad.report (a page of HTML), rulegrad.dask,
and rulegrad.captum and rulegrad.zennit, which have the shapes of those packages' calls.
"""

from . import _core, errors
from ._explainer import Explainer
from ._explanation import Explanation
from ._keras import from_keras
from ._load import load
from ._model import Model
from ._pictures import pictures
from ._rules import Method, Rules, check, method, methods, rules, show
from ._torch import from_torch
from .errors import Error
from .tables import Table

__version__ = _core.version()
__all__ = [
    "Error", "Explainer", "Explanation", "Method", "Model", "Rules", "Table", "check", "errors", "features", "from_keras", "from_torch",
    "inspect", "load", "method", "methods", "pictures", "rules", "show",
]


def features() -> dict:
    """What this build can do: onnx, png, jpeg, npz, onednn."""
    return _core.features()


def inspect(path) -> Table:
    """What an ONNX file says of itself, without building the network: a row an operator, and the rest in `about`."""
    import os

    summary = _core.inspect(os.fspath(path))
    operators = summary.pop("operators")
    return Table([{"operator": name, "nodes": count, "mapped": name not in summary["unmapped"]} for name, count in operators.items()], summary)
