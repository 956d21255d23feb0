"""The same scripts with Captum and with rulegrad.captum, with Zennit and with rulegrad.zennit. Skipped where they are not installed."""

import importlib.util
import sys
import types
import unittest
import warnings

import numpy as np

from support import Case, fashion, fashion_pictures, rg

warnings.simplefilter("ignore")
try:
    import onnxscript  # noqa: F401
    import torch
except ImportError:
    torch = None


def peer(name):
    if torch is None or importlib.util.find_spec(name) is None:
        raise unittest.SkipTest(f"{name} is not installed")
    if name == "zennit" and "torchvision" not in sys.modules:
        # Zennit asks torchvision for the classes of two networks, which need operators that a CPU build lacks.
        try:
            import torchvision  # noqa: F401
        except (ImportError, RuntimeError):
            for part in [key for key in sys.modules if key.startswith("torchvision")]:
                del sys.modules[part]
            modules = {key: types.ModuleType(key) for key in ("torchvision", "torchvision.models", "torchvision.models.vgg", "torchvision.models.resnet")}
            for key, module in modules.items():
                sys.modules[key] = module
            modules["torchvision"].models = modules["torchvision.models"]
            modules["torchvision.models"].vgg, modules["torchvision.models"].resnet = modules["torchvision.models.vgg"], modules["torchvision.models.resnet"]
            for key in ("BasicBlock", "Bottleneck"):
                setattr(modules["torchvision.models.resnet"], key, type(key, (torch.nn.Module,), {}))


def small_net():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.act1 = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU()
            self.conv2, self.act2 = torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.ReLU()
            self.pool = torch.nn.MaxPool2d(2)
            self.fc1, self.act3, self.fc2 = torch.nn.Linear(8 * 36, 16), torch.nn.ReLU(), torch.nn.Linear(16, 5)

        def forward(self, x):
            x = self.pool(self.act2(self.conv2(self.act1(self.conv1(x)))))
            return self.fc2(self.act3(self.fc1(x.flatten(1))))

    torch.manual_seed(0)
    return Net().eval()


def captum_script(attr, net, x, target, layer):
    """What a user of Captum writes; `attr` is captum.attr or rulegrad.captum."""
    return {
        "saliency": attr.Saliency(net).attribute(x, target=target),
        "signed": attr.Saliency(net).attribute(x, target=target, abs=False),
        "input x gradient": attr.InputXGradient(net).attribute(x, target=target),
        "integrated": attr.IntegratedGradients(net).attribute(x, baselines=0.1, target=target, n_steps=20),
        "delta": attr.IntegratedGradients(net).attribute(x, target=target, n_steps=20, return_convergence_delta=True)[1],
        "guided": attr.GuidedBackprop(net).attribute(x, target=target),
        "deconvolution": attr.Deconvolution(net).attribute(x, target=target),
        "deeplift": attr.DeepLift(net).attribute(x, baselines=0 * x, target=target),
        "lrp": attr.LRP(net).attribute(x, target=target),
        "occlusion": attr.Occlusion(net).attribute(x, sliding_window_shapes=(3, 3, 3), strides=(3, 2, 2), target=target),
        "layer": attr.LayerGradientXActivation(net, layer).attribute(x, target=target),
        "activation": attr.LayerActivation(net, layer).attribute(x),
        "grad-cam": attr.LayerGradCam(net, layer).attribute(x, target=target),
    }


class Captum(Case):
    def test_the_same_script(self):
        peer("captum")
        import captum.attr
        import rulegrad.captum

        net, x = small_net(), torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
        for target in (3, [0, 4, 2, 2], torch.tensor([1, 1, 0, 3])):
            theirs = captum_script(captum.attr, net, x.clone().requires_grad_(True), target, net.conv2)
            ours = captum_script(rulegrad.captum, net, x, target, net.conv2)
            for name in theirs:
                with self.subTest(name, target=str(target)):
                    self.assertIsInstance(ours[name], torch.Tensor)
                    # The delta is a difference of nearly equal sums.
                    if name == "delta":
                        self.assertLess(float((ours[name] - theirs[name]).abs().max()), 1e-4)
                    else:
                        self.close(ours[name].detach().numpy(), theirs[name].detach().numpy(), 2e-4)

    def test_baselines_of_several_inputs(self):
        peer("captum")
        import captum.attr
        import rulegrad.captum

        class Two(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second, self.last = torch.nn.Linear(6, 8), torch.nn.Linear(3, 8), torch.nn.Linear(8, 4)

            def forward(self, a, b):
                return self.last(torch.tanh(self.first(a) + self.second(b)))

        torch.manual_seed(0)
        net = Two().eval()
        random = torch.Generator().manual_seed(1)
        a, b, base = torch.randn(5, 6, generator=random), torch.randn(5, 3, generator=random), torch.randn(1, 6, generator=random)
        for name in ("IntegratedGradients", "DeepLift"):
            theirs = getattr(captum.attr, name)(net).attribute((a.clone().requires_grad_(True), b.clone().requires_grad_(True)), baselines=(base, 0.5), target=2) if name == "IntegratedGradients" else None
            ours = getattr(rulegrad.captum, name)(net).attribute((a, b), baselines=(base, 0.5), target=2)
            scores = net(a, b)[:, 2] - net(base.expand(5, 6), torch.full((5, 3), 0.5))[:, 2]
            self.close((ours[0].sum(1) + ours[1].sum(1)).numpy(), scores.detach().numpy(), 1e-4)
            for mine, other in zip(ours, theirs or ours):
                self.close(mine.detach().numpy(), other.detach().numpy(), 2e-4)
        self.raises(rg.errors.ArgumentError, "3 baselines were given for 2 inputs", rulegrad.captum.DeepLift(net).attribute, (a, b), (0, 0, 0), 2)

    def test_tuples_and_models(self):
        import rulegrad.captum as attr

        model = fashion()
        x = fashion_pictures(model)
        found = attr.Saliency(model).attribute((x,), target=3, abs=False)
        self.assertIsInstance(found, tuple)
        self.close(found[0], model.explain(x, "gradient", 3, head="probability").attribution)
        noisy = attr.NoiseTunnel(attr.Saliency(model)).attribute(x, nt_samples=3, stdevs=0.0, target=3)
        self.close(noisy, np.abs(found[0]))
        self.raises(rg.errors.ArgumentError, "target is needed", attr.Saliency(model).attribute, x)
        self.raises(rg.errors.ArgumentError, "gausslegendre", attr.IntegratedGradients(model).attribute, x, target=1, method="riemann_left")
        self.raises(rg.errors.ArgumentError, "square", attr.Occlusion(model).attribute, x, (1, 3, 4), target=1)
        self.raises(rg.errors.ArgumentError, "nt_type", attr.NoiseTunnel(attr.Saliency(model)).attribute, x, "vargrad", target=1)


def zennit_script(attribution, composites, net, x, goal):
    """What a user of Zennit writes; the modules are Zennit's, or rulegrad.zennit twice."""
    found = {}
    for name, composite in {"plain": None, "plus": composites.EpsilonPlus(), "flat": composites.EpsilonPlusFlat(), "alpha": composites.EpsilonAlpha2Beta1(),
                            "alpha flat": composites.EpsilonAlpha2Beta1Flat(), "box": composites.EpsilonGammaBox(low=-4.0, high=4.0),
                            "guided": composites.GuidedBackprop(), "excitation": composites.ExcitationBackprop()}.items():
        with attribution.Gradient(model=net, composite=composite) as attributor:
            found[name] = attributor(x, goal)
    with attribution.IntegratedGradients(model=net, n_iter=20) as attributor:
        found["integrated"] = attributor(x, goal)
    return found


class Zennit(Case):
    def test_the_same_script(self):
        peer("zennit")
        import zennit.attribution
        import zennit.composites

        for part in [key for key in sys.modules if key.startswith("torchvision") and sys.modules[key].__spec__ is None]:
            del sys.modules[part]
        import rulegrad.zennit

        net, x = small_net(), torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1)).clamp(-3.9, 3.9)
        goal = torch.eye(5)[[3, 1, 0, 4]]
        box = zennit.composites.EpsilonGammaBox
        theirs = zennit_script(zennit.attribution, types.SimpleNamespace(**{**vars(zennit.composites), "EpsilonGammaBox": lambda low, high: box(low=torch.full((1, 3, 12, 12), low), high=torch.full((1, 3, 12, 12), high))}), net, x, goal)
        ours = zennit_script(rulegrad.zennit, rulegrad.zennit, net, x, goal)
        for name in theirs:
            with self.subTest(name):
                for mine, other in zip(ours[name], theirs[name]):
                    self.close(mine.detach().numpy(), other.detach().numpy(), 2e-4)

    def test_arrays_and_functions(self):
        import rulegrad.zennit as zennit

        model = fashion()
        x = fashion_pictures(model)
        goal = np.eye(10, dtype=np.float32)[[3] * 10]
        output, relevance = zennit.Gradient(model, zennit.EpsilonPlusFlat())(x, goal)
        self.close(output, model.predict(x)["y"])
        self.close(zennit.Gradient(model, zennit.EpsilonPlusFlat(), attr_output=lambda out: goal)(x)[1], relevance)
        self.close(zennit.SmoothGrad(model, noise_level=0.0, n_iter=2)(x, goal)[1], zennit.Gradient(model)(x, goal)[1])
        self.raises(rg.errors.ArgumentError, "canonizers", zennit.EpsilonPlus, canonizers=[object()])


if __name__ == "__main__":
    unittest.main()
