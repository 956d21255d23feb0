"""The shapes of Zennit's calls, so that a script moves by changing an import.

    from rulegrad.zennit import EpsilonPlusFlat, Gradient    # was: from zennit.composites / zennit.attribution
    with Gradient(model=model, composite=EpsilonPlusFlat()) as attributor:
        output, relevance = attributor(x, torch.eye(10)[[3]])

`model` is a rulegrad.Model, or a torch.nn.Module, which is exported when the first input is seen. Results are torch tensors
for torch tensors, NumPy arrays for all else. Numbers are Zennit's (docs/comparison.md). Canonizers need not be named: batch
normalisation is merged by the methods' own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import as_numpy
from ._model import Model
from ._rules import Method
from ._torch import from_torch
from .captum import _like
from .errors import ArgumentError

__all__ = ["Gradient", "SmoothGrad", "IntegratedGradients", "Epsilon", "EpsilonPlus", "EpsilonPlusFlat", "EpsilonAlpha2Beta1", "EpsilonAlpha2Beta1Flat", "EpsilonGammaBox",
           "Deconvnet", "GuidedBackprop", "ExcitationBackprop", "BetaSmooth"]


class Composite:
    """A method with its arguments, by Zennit's name."""

    method = "zennit.gradient"

    def __init__(self, **arguments: Any) -> None:
        canonizers = arguments.pop("canonizers", None)
        if canonizers and any(type(item).__name__ not in ("SequentialMergeBatchNorm", "MergeBatchNorm", "NamedMergeBatchNorm") for item in canonizers):
            raise ArgumentError("canonizers other than those that merge batch normalisation are rules here: docs/your-first-rule.md")
        if arguments.pop("zero_params", None) is not None:
            raise ArgumentError("zero_params is not there; a rule of one's own leaves biases out: y(b = 0)")
        self.arguments = arguments

    def call(self) -> Method:
        """The method as rulegrad knows it."""
        return Method(self.method, **self.arguments)


class Epsilon(Composite):
    """The epsilon rule on every layer (not a composite of Zennit's own)."""

    method = "zennit.epsilon"


class EpsilonPlus(Composite):
    """ZPlus in convolutions, Epsilon in dense layers; `epsilon`."""

    method = "zennit.epsilon_plus"


class EpsilonPlusFlat(Composite):
    """EpsilonPlus with Flat in the first layer; `epsilon`."""

    method = "zennit.epsilon_plus_flat"


class EpsilonAlpha2Beta1(Composite):
    """AlphaBeta 2, 1 in convolutions, Epsilon in dense layers; `epsilon`."""

    method = "zennit.epsilon_alpha2_beta1"


class EpsilonAlpha2Beta1Flat(Composite):
    """EpsilonAlpha2Beta1 with Flat in the first layer; `epsilon`."""

    method = "zennit.epsilon_alpha2_beta1_flat"


class EpsilonGammaBox(Composite):
    """ZBox in the first convolution, Gamma in the others, Epsilon in dense layers; `low`, `high`, `epsilon`, `gamma`."""

    method = "zennit.epsilon_gamma_box"

    def __init__(self, low: Any, high: Any, **arguments: Any) -> None:
        def plain(value: Any) -> Any:
            array = as_numpy(value)
            return float(array.reshape(-1)[0]) if array.size and (array == array.reshape(-1)[0]).all() else array[0] if array.ndim == 4 else array

        super().__init__(low=plain(low), high=plain(high), **arguments)


class Deconvnet(Composite):
    """Zeiler and Fergus 2014, arXiv 1311.2901."""

    method = "zennit.deconvnet"


class GuidedBackprop(Composite):
    """Springenberg et al. 2015, arXiv 1412.6806."""

    method = "zennit.guided_backprop"


class ExcitationBackprop(Composite):
    """Zhang et al. 2016, arXiv 1608.00507."""

    method = "zennit.excitation_backprop"


class BetaSmooth(Composite):
    """Dombrowski et al. 2019, arXiv 1906.07983; `beta`: named beta_smooth in Zennit."""

    method = "zennit.beta_smooth"

    def __init__(self, beta_smooth: float = 10.0, **arguments: Any) -> None:
        super().__init__(beta=beta_smooth, **arguments)


class Gradient:
    """Calls give (output, relevance); a context manager, as Zennit's.

    attr_output  what is sent back from the output where a call has none: a tensor of the output's shape, or a function of the
                 output; the output itself unless given
    """

    method: str | None = None

    def __init__(self, model: Any, composite: Composite | None = None, attr_output: Any = None) -> None:
        self.model, self.composite, self.attr_output = model, composite, attr_output
        self._made: Model | None = model if isinstance(model, Model) else None

    def __enter__(self) -> "Gradient":
        return self

    def __exit__(self, *problem: Any) -> None:
        pass

    def _method(self) -> Any:
        return self.composite.call() if self.composite is not None else Method("zennit.gradient")

    def __call__(self, input: Any, attr_output: Any = None) -> tuple[Any, Any]:  # noqa: A002: Zennit's word
        if self._made is None:

            self._made = from_torch(self.model, input)
        model = self._made
        x = as_numpy(input)
        name = model.outputs[0]["name"]
        given = attr_output if attr_output is not None else self.attr_output
        output = model.predict(x)[name]
        if given is None:
            seed = output
        elif callable(given) and not hasattr(given, "__array__"):
            seed = as_numpy(given(_like(output, input)))
        else:
            seed = as_numpy(given)
        seed = np.broadcast_to(seed, output.shape)
        e = model.explain(x, self._method(), seed=np.ascontiguousarray(seed, output.dtype), head="probability")
        return _like(output, input), _like(e.attribution, input)


class SmoothGrad(Gradient):
    """Smilkov et al. 2017, arXiv 1706.03825; the noise is rulegrad's own, drawn from `key`."""

    def __init__(self, model: Any, noise_level: float = 0.1, n_iter: int = 20, composite: Composite | None = None, attr_output: Any = None, key: int = 0) -> None:
        super().__init__(model, composite, attr_output)
        self.noise_level, self.n_iter, self.key = noise_level, n_iter, key

    def _method(self) -> Any:
        return Method("zennit.smooth_grad", method=super()._method(), n_iter=self.n_iter, noise_level=self.noise_level, key=self.key)


class IntegratedGradients(Gradient):
    """Sundararajan et al. 2017, arXiv 1703.01365, by a right Riemann sum as in Zennit; the baseline is a number or an array."""

    def __init__(self, model: Any, baseline: Any = 0.0, n_iter: int = 20, composite: Composite | None = None, attr_output: Any = None) -> None:
        super().__init__(model, composite, attr_output)
        self.baseline, self.n_iter = baseline, n_iter

    def _method(self) -> Any:
        given = as_numpy(self.baseline)
        base = float(given) if given.ndim == 0 else given[0] if given.shape[0] == 1 else given
        return Method("zennit.integrated_gradients", method=super()._method(), n_iter=self.n_iter, baseline=base)
