"""LXT's explicit rules (AttnLRP), through its composite: modules by their class, functions as torch.fx finds them in the network."""
import importlib.metadata
import operator
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import torch  # noqa: E402
import lxt.explicit.functional as functional  # noqa: E402
import lxt.explicit.modules as modules  # noqa: E402
import lxt.explicit.rules as rules  # noqa: E402
from adapter import NotOffered, serve  # noqa: E402
from lxt.explicit.core import Composite  # noqa: E402
from torch import nn  # noqa: E402
from torch_networks import input_of, network_of  # noqa: E402
from transformers.utils.fx import HFTracer  # noqa: E402



class Tracer(HFTracer):
    """Modules that LXT has put in stay whole, or torch.fx would look through their rules."""

    def is_leaf_module(self, module, name):
        return type(module).__module__.startswith("lxt.") or super().is_leaf_module(module, name)


def softmax(x, dim=None, _stacklevel=3, dtype=None):
    """With the arguments that torch.nn.functional.softmax is traced with."""
    return functional.softmax(x, dim, dtype)


ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU)


def ask(case, question):
    if question["method"] != "lrp.epsilon" or question["parameters"]["epsilon"] > 1e-6:
        raise NotOffered("LXT has AttnLRP, whose epsilon is its own, and nothing else")
    net, x = network_of(case), input_of(case).requires_grad_()
    composite = Composite({
        nn.Linear: modules.LinearEpsilon,
        nn.LayerNorm: modules.LayerNormEpsilon,
        nn.MultiheadAttention: modules.MultiheadAttention_CP,
        modules.LinearInProjection: rules.EpsilonRule,
        modules.LinearOutProjection: rules.EpsilonRule,
        nn.Conv2d: rules.EpsilonRule,
        nn.ConvTranspose2d: rules.EpsilonRule,
        nn.AvgPool2d: rules.EpsilonRule,
        nn.BatchNorm2d: rules.EpsilonRule,
        nn.Upsample: rules.EpsilonRule,
        **{kind: rules.IdentityRule for kind in ACTIVATIONS},
        operator.add: functional.add2,
        operator.mul: functional.mul2,
        operator.matmul: functional.matmul,
        torch.matmul: functional.matmul,
        nn.functional.softmax: softmax,
    })
    net = composite.register(net, {"x": x}, tracer=Tracer)
    # What its table of functions (verbose=True) tells the user of those that got no rule.
    for functions in composite.function_summary.values():
        for function, rating in functions.items():
            if rating in ("problematic", "unknown"):
                warnings.warn(f"{getattr(function, '__name__', function)} is {rating}")
    scores = net(x)
    scores.backward(scores.detach() * torch.eye(scores.shape[1], dtype=scores.dtype)[case["targets"]])
    return x.grad.detach().numpy().ravel()


if __name__ == "__main__":
    serve("LXT", {"lxt": importlib.metadata.version("lxt"), "torch": torch.__version__}, ask)
