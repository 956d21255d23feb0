#!/usr/bin/env python3
"""PyTorch, Zennit, Captum or LXT, one network and one method, in a process of its own, so that its peak of memory is its own; see
protocol.py.

usage: peer.py PEER NETWORK METHOD --input FILE.npy [--threads N] [--configuration eager|channels_last|compile|bf16|bf16_channels_last]
"""

import argparse
import contextlib
import sys
import types

import numpy
import torch

import attention
import networks
import protocol


def import_zennit():
    """Zennit imports classes of torchvision for its canonizers; where torchvision is missing, empty ones stand in."""
    try:
        import torchvision  # noqa: F401
    except Exception:
        for name in list(sys.modules):
            if name.split(".")[0] == "torchvision":
                del sys.modules[name]
        names = {"torchvision": (), "torchvision.models": (), "torchvision.models.resnet": ("Bottleneck", "BasicBlock"), "torchvision.models.vgg": ("VGG",)}
        for name, classes in names.items():
            module = types.ModuleType(name)
            for word in classes:
                setattr(module, word, type(word, (torch.nn.Module,), {}))
            sys.modules[name] = module
    import zennit.attribution
    import zennit.composites
    import zennit.layer

    return zennit


def import_lxt():
    """LXT imports transformers, which imports torchvision where there is one; operators that one built for another torch lacks are declared."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import_lxt.declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            import_lxt.declared.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except ImportError:
        pass
    import lxt.efficient

    return lxt.efficient


def largest(scores):
    return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores)


class PyTorch:
    METHODS = ("forward", "gradient")

    def __init__(self, network, method, x):
        self.model, self.method, self.x = networks.make(network), method, x

    def run(self):
        if self.method == "forward":
            with torch.inference_mode():
                return self.model(self.x)
        x = self.x.clone().requires_grad_(True)
        scores = self.model(x)
        return torch.autograd.grad(scores, x, largest(scores))[0]


class Zennit:
    METHODS = {
        "epsilon_plus": "EpsilonPlus",
        "epsilon_plus_flat": "EpsilonPlusFlat",
        "epsilon_alpha2_beta1": "EpsilonAlpha2Beta1",
        "epsilon_alpha2_beta1_flat": "EpsilonAlpha2Beta1Flat",
        "epsilon_gamma_box": "EpsilonGammaBox",
        "guided_backprop": "GuidedBackprop",
        "deconvnet": "DeconvNet",
        "excitation_backprop": "ExcitationBackprop",
        "beta_smooth": "BetaSmooth",
    }

    def __init__(self, network, method, x):
        zennit = import_zennit()
        self.model, self.x = networks.make(network, add=zennit.layer.Sum), x
        bounds = {"low": torch.full_like(x, -4.0), "high": torch.full_like(x, 4.0)} if method == "epsilon_gamma_box" else {}
        composite = getattr(zennit.composites, self.METHODS[method])(**bounds)
        # Hooks are hung once, before anything is timed.
        self.attributor = zennit.attribution.Gradient(self.model, composite).__enter__()

    def run(self):
        return self.attributor(self.x, largest)[1]


def adding_unpool(values, indices, kernel_size, stride, padding, shape):
    """max_unpool2d, but what several windows send to one place adds up: torch's keeps one of the values, so that Captum's DeepLift loses the
    others wherever windows overlap, and nothing else could be compared."""
    return torch.zeros(shape).flatten(2).scatter_add_(2, indices.flatten(2), values.flatten(2)).view(shape)


class Captum:
    METHODS = ("integrated_gradients", "smoothgrad", "deeplift", "guided_backprop")

    def __init__(self, network, method, x):
        from captum import attr

        self.model, self.method, self.x = networks.make(network), method, x
        with torch.no_grad():
            # Captum is told its targets, which the others find out themselves.
            self.target = self.model(x).argmax(1)
        torch.nn.functional.max_unpool2d = adding_unpool
        classes = {"integrated_gradients": attr.IntegratedGradients, "smoothgrad": attr.Saliency, "deeplift": attr.DeepLift, "guided_backprop": attr.GuidedBackprop}
        self.attribution = classes[method](self.model)
        if method == "smoothgrad":
            self.attribution = attr.NoiseTunnel(self.attribution)

    def run(self):
        x = self.x.clone().requires_grad_(True)
        if self.method == "integrated_gradients":
            # All 50 steps at once would need many times the memory, and are not faster.
            return self.attribution.attribute(x, target=self.target, n_steps=50, internal_batch_size=max(10, x.shape[0]))
        if self.method == "smoothgrad":
            return self.attribution.attribute(x, nt_samples=50, nt_samples_batch_size=10, stdevs=0.1, target=self.target, abs=False)
        return self.attribution.attribute(x, target=self.target)


class LXT:
    """Relevance is the input times a gradient, as LXT's efficient mode has it."""

    METHODS = ("attn_lrp",)

    def __init__(self, network, method, x):
        import_lxt()
        self.model, self.x = attention.make(network, efficient=True), x

    def run(self):
        x = self.x.clone().requires_grad_(True)
        scores = self.model(x)
        return x.detach() * torch.autograd.grad(scores, x, largest(scores))[0]


PEERS = {"pytorch": PyTorch, "zennit": Zennit, "captum": Captum, "lxt": LXT}


def configured(peer, configuration):
    """What computes an explanation, as someone would set torch up who wants it fast."""
    if configuration.endswith("channels_last"):
        peer.model.to(memory_format=torch.channels_last)
        peer.x = peer.x.contiguous(memory_format=torch.channels_last)
    if configuration == "compile":
        peer.model = torch.compile(peer.model)
    narrow = torch.autocast("cpu", torch.bfloat16) if configuration.startswith("bf16") else contextlib.nullcontext()

    def run():
        with narrow:
            result = peer.run().detach()
        return (result.float() if result.dtype == torch.bfloat16 else result).numpy()

    return run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("network")
    parser.add_argument("method")
    parser.add_argument("--input", required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--configuration", default="eager", choices=["eager", "channels_last", "compile", "bf16", "bf16_channels_last"])
    parser.add_argument("--float64", action="store_true", help="compute in float64, to see what float32 costs this peer")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    peer = PEERS[options.peer](options.network, options.method, torch.from_numpy(numpy.load(options.input)))
    if options.float64:
        peer.model.double()
        peer.x = peer.x.double()
    protocol.serve(configured(peer, options.configuration))


if __name__ == "__main__":
    main()
