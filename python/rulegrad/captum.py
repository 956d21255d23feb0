"""The shapes of Captum's calls, so that a script moves by changing an import.

    from rulegrad.captum import IntegratedGradients          # was: from captum.attr import IntegratedGradients
    IntegratedGradients(model).attribute(x, target=3)

`model` is a rulegrad.Model, or a torch.nn.Module, which is exported when the first inputs are seen. Inputs and results are
those that were given: torch tensors for torch tensors, NumPy arrays for all else, a tuple for a tuple. Numbers are Captum's
(docs/comparison.md); what Captum has and this has not is an error that says so.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ._arrays import as_numpy
from ._model import Model
from ._rules import Method
from ._torch import from_torch
from .errors import ArgumentError

__all__ = ["Saliency", "InputXGradient", "IntegratedGradients", "GuidedBackprop", "Deconvolution", "DeepLift", "DeepLiftShap", "LRP", "Occlusion", "NoiseTunnel",
           "LayerActivation", "LayerGradientXActivation", "LayerIntegratedGradients", "LayerGradCam"]


def _like(result: np.ndarray, given: Any) -> Any:
    if type(given).__module__.split(".")[0] == "torch":
        import torch

        return torch.from_numpy(np.ascontiguousarray(result)).to(given.dtype if given.dtype.is_floating_point else torch.float32)
    return result


class _Attribution:
    """What all methods share."""

    method = ""

    def __init__(self, forward_func: Any) -> None:
        self.forward_func = forward_func
        self._model: Model | None = forward_func if isinstance(forward_func, Model) else None

    def _of(self, inputs: tuple) -> Model:
        if self._model is None:

            kept = getattr(self.forward_func, "_rulegrad_model", None)
            if kept is None:
                kept = from_torch(self.forward_func, inputs)
                object.__setattr__(self.forward_func, "_rulegrad_model", kept)
            self._model = kept
        return self._model

    def _baseline(self, baselines: Any, inputs: Any) -> Any:
        """What `baseline` takes: one value, or for several inputs one for each, by name."""
        if not isinstance(baselines, tuple):
            return _one_baseline(baselines)
        if len(baselines) == 1:
            return _one_baseline(baselines[0])
        names = [row["name"] for row in self._of(inputs if isinstance(inputs, tuple) else (inputs,)).inputs]
        if len(baselines) != len(names):
            raise ArgumentError(f"{len(baselines)} baselines were given for {len(names)} inputs; give one, or one for each")
        return {name: _one_baseline(baseline) for name, baseline in zip(names, baselines)}

    def _run(self, inputs: Any, target: Any, method: Any, at: str | None = None, seed: Any = None, head: str = "probability", **options: Any) -> Any:
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        model = self._of(given)
        arrays = tuple(as_numpy(value) for value in given)
        if target is None and np.prod([extent for extent in model.outputs[0]["shape"][1:]], dtype=np.int64) == 1:
            target = 0
        elif target is None:
            raise ArgumentError("target is needed: the model has several scores")
        if type(target).__module__.split(".")[0] == "torch":
            target = as_numpy(target)
        if isinstance(target, list) and target and isinstance(target[0], tuple):
            target = np.array(target)
        # Captum explains the module's own output.
        e = model.explain(arrays if len(arrays) > 1 else arrays[0], method, target, at=at, seed=seed, head=head, **options)
        results = tuple(_like(e[e.methods[0], node], value) for node, value in zip(e.nodes, given if at is None else given[:1]))
        return results if isinstance(inputs, tuple) and at is None else results[0]


class _OfOneMethod(_Attribution):
    method = ""

    def attribute(self, inputs: Any, target: Any = None) -> Any:
        """Attributions of the inputs' shapes for a target: an index, a tuple of indices, or one of these for each sample."""
        return self._run(inputs, target, self.method)


class Saliency(_Attribution):
    """The gradient (Simonyan et al. 2014, arXiv 1312.6034), its magnitude unless `abs=False`."""

    method = "captum.saliency"

    def attribute(self, inputs: Any, target: Any = None, abs: bool = True) -> Any:  # noqa: A002: Captum's word
        return self._run(inputs, target, Method("captum.saliency", absolute=int(abs)))


class InputXGradient(_OfOneMethod):
    """Input times gradient."""

    method = "captum.input_x_gradient"


class GuidedBackprop(_OfOneMethod):
    """Springenberg et al. 2015, arXiv 1412.6806."""

    method = "captum.guided_backprop"


class Deconvolution(_OfOneMethod):
    """Zeiler and Fergus 2014, arXiv 1311.2901."""

    method = "captum.deconvolution"


def _one_baseline(baseline: Any) -> Any:
    """Of one input: a number, or an array of a sample's shape."""
    if baseline is None:
        return 0.0
    array = as_numpy(baseline)
    if array.ndim == 0:
        return float(array)
    if array.shape[0] == 1 or (array == array[:1]).all():
        return array[0]
    raise ArgumentError("a baseline is one for all samples; DeepLiftShap takes several")


class IntegratedGradients(_Attribution):
    """Sundararajan et al. 2017, arXiv 1703.01365; Gauss-Legendre quadrature with n_steps points, as in Captum."""

    def __init__(self, forward_func: Any, multiply_by_inputs: bool = True) -> None:
        super().__init__(forward_func)
        if not multiply_by_inputs:
            raise ArgumentError("multiply_by_inputs=False is not there; divide by the inputs less the baseline")

    def attribute(self, inputs: Any, baselines: Any = None, target: Any = None, n_steps: int = 50, method: str = "gausslegendre", internal_batch_size: int | None = None,
                  return_convergence_delta: bool = False) -> Any:
        if method != "gausslegendre":
            raise ArgumentError(f"method '{method}' is not there; gausslegendre is")
        base = self._baseline(baselines, inputs)
        found = self._run(inputs, target, Method("captum.integrated_gradients", n_steps=n_steps, baseline=base))
        return (found, self._delta(inputs, found, target, base)) if return_convergence_delta else found

    def _delta(self, inputs: Any, found: Any, target: Any, base: Any) -> Any:
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        parts = found if isinstance(found, tuple) else (found,)
        model = self._of(given)
        bases = list(base.values()) if isinstance(base, dict) else [base] * len(given)
        there = tuple(np.broadcast_to(np.asarray(one, dtype=as_numpy(value).dtype), as_numpy(value).shape) for one, value in zip(bases, given))
        goal = 0 if target is None else as_numpy(target) if type(target).__module__.split(".")[0] == "torch" else target
        scores = [model.explain(values if len(values) > 1 else values[0], "gradient", goal, head="probability").target_scores for values in (tuple(as_numpy(v) for v in given), there)]
        total = sum(as_numpy(part).reshape(as_numpy(part).shape[0], -1).sum(axis=1) for part in parts)
        return _like(total - (scores[0] - scores[1]), given[0])


class DeepLift(_Attribution):
    """Shrikumar et al. 2017, arXiv 1704.02685, the Rescale rule."""

    def attribute(self, inputs: Any, baselines: Any = None, target: Any = None) -> Any:
        return self._run(inputs, target, Method("captum.deeplift", baseline=self._baseline(baselines, inputs)))


class DeepLiftShap(_Attribution):
    """Lundberg and Lee 2017, arXiv 1705.07874, section 4.2: the mean of DeepLift over baselines [n, ...]."""

    def attribute(self, inputs: Any, baselines: Any, target: Any = None) -> Any:
        return self._run(inputs, target, Method("captum.deeplift_shap", baselines=as_numpy(baselines[0] if isinstance(baselines, tuple) else baselines).astype(np.float32)))


class LRP(_OfOneMethod):
    """Bach et al. 2015; Captum's default: the epsilon rule with 1e-9 on every layer, times the score."""

    method = "captum.lrp"


class Occlusion(_Attribution):
    """Zeiler and Fergus 2014: the score less the score where a window is hidden. Square windows over all channels."""

    def attribute(self, inputs: Any, sliding_window_shapes: Sequence[int], strides: Any = None, baselines: Any = None, target: Any = None) -> Any:
        window = tuple(sliding_window_shapes)
        spatial = window[1:] if len(window) > 1 else window
        step = strides if strides is not None else 1
        steps = set(step[1:] if isinstance(step, (tuple, list)) and len(step) == len(window) and len(window) > 1 else step if isinstance(step, (tuple, list)) else [step])
        if len(set(spatial)) != 1 or len(steps) != 1:
            raise ArgumentError(f"windows are square with one stride: {window}, {strides}")
        channels = as_numpy(inputs[0] if isinstance(inputs, tuple) else inputs).shape[1]
        if len(window) > 1 and window[0] != channels:
            raise ArgumentError(f"a window covers all {channels} channels, not {window[0]}")
        return self._run(inputs, target, Method("captum.occlusion", window=spatial[0], stride=steps.pop(), baseline=self._baseline(baselines, inputs)))


class NoiseTunnel:
    """SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825) around another method. The noise is rulegrad's own, drawn from `key`."""

    def __init__(self, attribution_method: _Attribution) -> None:
        self.attribution_method = attribution_method

    def attribute(self, inputs: Any, nt_type: str = "smoothgrad", nt_samples: int = 5, stdevs: float = 1.0, target: Any = None, key: int = 0) -> Any:
        if nt_type != "smoothgrad":
            raise ArgumentError(f"nt_type '{nt_type}' is not there; smoothgrad is")
        inner = self.attribution_method
        if not inner.method:
            raise ArgumentError(f"NoiseTunnel goes around methods without arguments here, not {type(inner).__name__}")
        return inner._run(inputs, target, Method("captum.noise_tunnel", method=inner.method, nt_samples=nt_samples, stdevs=stdevs, key=key))


class _Layer(_Attribution):
    def __init__(self, forward_func: Any, layer: Any) -> None:
        super().__init__(forward_func)
        self.layer = layer

    def _name(self) -> str:
        if isinstance(self.layer, str):
            return self.layer
        for name, module in getattr(self.forward_func, "named_modules", lambda: [])():
            if module is self.layer:
                return name
        raise ArgumentError("the layer is a module of the model, or its name")


class LayerActivation(_Layer):
    """What a layer gives."""

    def attribute(self, inputs: Any) -> Any:
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        arrays = tuple(as_numpy(value) for value in given)
        name = self._name()
        return _like(self._of(given).predict(arrays if len(arrays) > 1 else arrays[0], name)[name], given[0])


class LayerGradientXActivation(_Layer):
    """Gradient times activation at a layer."""

    def attribute(self, inputs: Any, target: Any = None) -> Any:
        return self._run(inputs, target, "captum.input_x_gradient", at=self._name())


class LayerIntegratedGradients(_Layer):
    """Integrated gradients from a baseline of the layer's own value; `baselines` is that value, a number."""

    def attribute(self, inputs: Any, baselines: Any = None, target: Any = None, n_steps: int = 50) -> Any:
        return self._run(inputs, target, Method("captum.integrated_gradients", n_steps=n_steps, baseline=self._baseline(baselines, inputs)), at=self._name())


class LayerGradCam(_Layer):
    """Selvaraju et al. 2017, arXiv 1610.02391: channels weighted by their mean gradient, summed; negative values stay unless
    `relu_attributions`."""

    def attribute(self, inputs: Any, target: Any = None, relu_attributions: bool = False) -> Any:
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        gradient = as_numpy(self._run(inputs, target, "gradient", at=self._name()))
        activation = as_numpy(LayerActivation(self.forward_func, self.layer).attribute(inputs))
        weights = gradient.reshape(*gradient.shape[:2], -1).mean(axis=2).reshape(*gradient.shape[:2], *([1] * (gradient.ndim - 2)))
        found = (weights * activation).sum(axis=1, keepdims=True)
        return _like(np.maximum(found, 0) if relu_attributions else found, given[0])
