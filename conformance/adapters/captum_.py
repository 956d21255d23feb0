"""Captum, as its documentation has it used."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import captum  # noqa: E402
import torch  # noqa: E402
from adapter import NotOffered, serve  # noqa: E402
from captum.attr import LRP, Deconvolution, DeepLift, GuidedBackprop, IntegratedGradients, Saliency  # noqa: E402
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule  # noqa: E402
from torch_networks import input_of, network_of  # noqa: E402

LAYERS = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d)


def with_rule(net, rule):
    for module in net.modules():
        if isinstance(module, LAYERS):
            module.rule = rule()
    return net


def ask(case, question):
    net, x, target = network_of(case), input_of(case).requires_grad_(), torch.tensor(case["targets"])
    method, parameters = question["method"], question["parameters"]
    if method == "gradient":
        found = Saliency(net).attribute(x, target, abs=False)
    elif method == "guided_backprop":
        found = GuidedBackprop(net).attribute(x, target)
    elif method == "deconvnet":
        found = Deconvolution(net).attribute(x, target)
    elif method == "lrp.epsilon":
        found = LRP(with_rule(net, lambda: EpsilonRule(parameters["epsilon"]))).attribute(x, target)
    elif method == "lrp.z_plus":
        found = LRP(with_rule(net, Alpha1_Beta0_Rule)).attribute(x, target)
    elif method == "deeplift.rescale":
        found = DeepLift(net).attribute(x, 0 * x, target)
    elif method == "integrated_gradients":
        found = IntegratedGradients(net).attribute(x, 0 * x, target, n_steps=parameters["steps"], method="gausslegendre")
    else:
        raise NotOffered(f"no method {method}")
    return found.detach().numpy().ravel()


if __name__ == "__main__":
    serve("Captum", {"captum": captum.__version__, "torch": torch.__version__}, ask)
