"""Zennit, with its map of layers for everything that is not asked about, and its canonizer for batch norms."""
import importlib.metadata
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import torch  # noqa: E402
from adapters import without_torchvision  # noqa: E402, F401
from adapter import NotOffered, serve  # noqa: E402
from torch_networks import input_of, network_of  # noqa: E402
from zennit.attribution import Gradient  # noqa: E402
from zennit.canonizers import SequentialMergeBatchNorm  # noqa: E402
from zennit.composites import DeconvNet, GuidedBackprop, LayerMapComposite, layer_map_base  # noqa: E402
from zennit.rules import Epsilon, ZPlus  # noqa: E402
from zennit.types import Convolution, Linear  # noqa: E402


def layers(rule):
    """Zennit's `Linear` counts convolutions in; the map takes the first that fits."""
    return LayerMapComposite([*layer_map_base(), (Convolution, rule), (Linear, rule)], canonizers=[SequentialMergeBatchNorm()])


def composite(question):
    method, parameters = question["method"], question["parameters"]
    if method == "gradient":
        return None
    if method == "guided_backprop":
        return GuidedBackprop()
    if method == "deconvnet":
        return DeconvNet()
    if method == "lrp.epsilon":
        return layers(Epsilon(parameters["epsilon"]))
    if method == "lrp.z_plus":
        return layers(ZPlus())
    raise NotOffered(f"no method {method} with these conventions")


def ask(case, question):
    rules = composite(question)
    net, x = network_of(case), input_of(case)
    chosen = torch.eye(len(case["scores"]["data"]) // len(case["targets"]), dtype=torch.float64)[case["targets"]]
    with Gradient(model=net, composite=rules) as attributor:
        seed = (lambda output: output.detach() * chosen) if question["seed"] == "value" else chosen
        _, found = attributor(x, seed)
    return found.detach().numpy().ravel()


if __name__ == "__main__":
    serve("Zennit", {"zennit": importlib.metadata.version("zennit"), "torch": torch.__version__}, ask)
