"""What is compared: methods of rulegrad beside the peer that computes the same, and the sets of cases to choose from."""

import dataclasses

TITLES = {
    "mlp": "MLP 784-512-512-10",
    "lenet": "LeNet 28x28",
    "squeezenet": "SqueezeNet 1.1",
    "mobilenetv2": "MobileNetV2",
    "resnet50": "ResNet-50",
    "vgg16": "VGG-16",
    "encoder": "encoder, 4 layers of 256",
    "bert_base": "BERT-base, 128 tokens",
    "vit_b16": "ViT-B/16",
}

INPUTS = {
    "mlp": (784,),
    "lenet": (1, 28, 28),
    "squeezenet": (3, 224, 224),
    "mobilenetv2": (3, 224, 224),
    "resnet50": (3, 224, 224),
    "vgg16": (3, 224, 224),
    "encoder": (128, 256),
    "bert_base": (128, 768),
    "vit_b16": (3, 224, 224),
}

TRANSFORMERS = ("encoder", "bert_base", "vit_b16")
CONVOLUTIONAL = [name for name in TITLES if name not in TRANSFORMERS]  # and what has no layer of its own kind: MLP


@dataclasses.dataclass(frozen=True)
class Method:
    call: str  # as rulegrad takes it
    peer: str  # who computes the same
    peer_method: str
    title: str


METHODS = {
    "forward": Method("forward", "pytorch", "forward", "forward"),
    "gradient": Method("gradient", "pytorch", "gradient", "gradient"),
    "epsilon_plus": Method("zennit.epsilon_plus", "zennit", "epsilon_plus", "EpsilonPlus"),
    "epsilon_plus_flat": Method("zennit.epsilon_plus_flat", "zennit", "epsilon_plus_flat", "EpsilonPlusFlat"),
    "epsilon_alpha2_beta1": Method("zennit.epsilon_alpha2_beta1", "zennit", "epsilon_alpha2_beta1", "EpsilonAlpha2Beta1"),
    "epsilon_alpha2_beta1_flat": Method("zennit.epsilon_alpha2_beta1_flat", "zennit", "epsilon_alpha2_beta1_flat", "EpsilonAlpha2Beta1Flat"),
    "epsilon_gamma_box": Method("zennit.epsilon_gamma_box:low=-4,high=4", "zennit", "epsilon_gamma_box", "EpsilonGammaBox"),
    "zennit_guided_backprop": Method("zennit.guided_backprop", "zennit", "guided_backprop", "GuidedBackprop"),
    "deconvnet": Method("zennit.deconvnet", "zennit", "deconvnet", "DeconvNet"),
    "excitation_backprop": Method("zennit.excitation_backprop", "zennit", "excitation_backprop", "ExcitationBackprop"),
    "beta_smooth": Method("zennit.beta_smooth", "zennit", "beta_smooth", "BetaSmooth"),
    "integrated_gradients": Method("captum.integrated_gradients:n_steps=50", "captum", "integrated_gradients", "integrated gradients, 50 steps"),
    "deeplift": Method("captum.deeplift", "captum", "deeplift", "DeepLIFT"),
    "innvestigate_gradient": Method("innvestigate.gradient", "innvestigate", "gradient", "iNNvestigate's gradient"),
    "innvestigate_epsilon": Method("innvestigate.lrp.epsilon", "innvestigate", "lrp.epsilon", "iNNvestigate's LRP-epsilon"),
    "innvestigate_alpha_1_beta_0": Method("innvestigate.lrp.alpha_1_beta_0", "innvestigate", "lrp.alpha_1_beta_0", "iNNvestigate's alpha 1, beta 0"),
    "innvestigate_preset_a_flat": Method("innvestigate.lrp.sequential_preset_a_flat", "innvestigate", "lrp.sequential_preset_a_flat", "iNNvestigate's preset A flat"),
    "guided_backprop": Method("captum.guided_backprop", "captum", "guided_backprop", "Guided Backprop"),
    "attn_lrp": Method("lxt.attn_lrp_efficient", "lxt", "attn_lrp", "AttnLRP, efficient form"),
}

# What transformers are compared with: the others' peers hang their rules on layers that attention has not.
OF_TRANSFORMERS = ("forward", "gradient", "attn_lrp")


# Methods that say something else than the gradient at nn.ReLU alone, and a network that has ReLU6 instead.
OF_RELU = ("zennit_guided_backprop", "deconvnet", "beta_smooth", "guided_backprop")
WITHOUT_RELU = ("mobilenetv2",)

# Layers one after the other, which is what keras_peer.py builds.
SEQUENTIAL = ("mlp", "lenet", "vgg16")


@dataclasses.dataclass(frozen=True)
class Case:
    network: str
    batch: int
    threads: int
    method: str
    # How much of it is shown; cases are equal whatever it is. 2: in the plot, and timed with the less exact --precisions too that are asked for; 1: with a row of
    # its own; 0: in the table of all methods alone.
    shown: int = dataclasses.field(default=2, compare=False)

    def title(self):
        threads = "one thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{TITLES[self.network]}, batch {self.batch}, {threads}, {METHODS[self.method].title}"


def product(networks, methods, batches, threads, shown=2):
    return [Case(n, b, t, m, shown) for n in networks for b in batches for t in threads for m in methods
            if (METHODS[m].peer != "innvestigate" or n in SEQUENTIAL) and not (m in OF_RELU and n in WITHOUT_RELU)
            and (m in OF_TRANSFORMERS if n in TRANSFORMERS else m != "attn_lrp")]


def quick(cores):
    """A smoke test: small networks, one method of each peer."""
    return product(["mlp", "lenet"], ["gradient", "epsilon_plus", "guided_backprop", "innvestigate_epsilon"], [1, 8], [1])


def headline(cores):
    """What was promised, and one of each kind."""
    presets = ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box"]
    return (
        product(["vgg16"], ["forward", "gradient", *presets, "deeplift", "integrated_gradients"], [1], [cores])
        + product(["vgg16"], ["forward", "gradient", "epsilon_plus_flat", "epsilon_gamma_box"], [8], [cores])
        + product(["resnet50"], ["forward", "gradient", *presets], [1], [cores])
        + product(["resnet50"], ["epsilon_plus_flat"], [8], [cores])
        + product(["mobilenetv2", "squeezenet"], ["forward", "gradient", "epsilon_plus_flat"], [1], [cores])
        + product(["squeezenet"], ["guided_backprop", "integrated_gradients"], [1], [cores])
        + product(["squeezenet"], ["gradient", "epsilon_plus_flat"], [1], [1])
        + product(["squeezenet"], ["epsilon_plus_flat"], [32], [cores])
        + product(["lenet", "mlp"], ["gradient", "epsilon_plus"], [1, 32], [1])
        + product(["lenet"], ["innvestigate_epsilon", "innvestigate_preset_a_flat"], [32], [1])
    )


# Batches of 32 of these take a method minutes on few cores: the two methods shown everywhere stop at 8 there.
LARGE = ("vgg16", "resnet50")


def documented(cores):
    """What the documentation shows: that; two methods on every network with every batch on all cores, and with a batch of 1 on one
    thread; and every method that a peer computes with a batch of 1 on all cores."""
    shown = ["gradient", "epsilon_plus_flat"]
    everywhere = product(CONVOLUTIONAL, shown, [1, 8, 32], [cores], shown=1) + product(CONVOLUTIONAL, shown, [1], [1], shown=1)
    methods = [m for m in METHODS if METHODS[m].peer != "innvestigate" and m != "integrated_gradients"]
    each = product(CONVOLUTIONAL, methods, [1], [cores], shown=0)
    cases = {case: case for case in [*each, *everywhere, *headline(cores)] if case.network not in LARGE or case.batch < 32}
    networks, methods = list(TITLES), list(METHODS)
    return sorted(cases.values(), key=lambda case: (-networks.index(case.network), methods.index(case.method), case.batch, -case.threads))


def transformers(cores):
    """Transformers beside LXT and torch, with one sample and eight."""
    return product(TRANSFORMERS, OF_TRANSFORMERS, [1, 8], [cores])


def floors(cores):
    """Every analyzer on every network; a peer's name for one that another computes too is left out."""
    methods = [m for m in METHODS if METHODS[m].peer != "innvestigate" and m not in ("integrated_gradients", "zennit_guided_backprop")]
    return product(list(TITLES), methods, [1], [cores])


def everything(cores):
    return product(list(TITLES), list(METHODS), [1, 8, 32], [1, cores])


SETS = {"quick": quick, "headline": headline, "documented": documented, "transformers": transformers, "all": everything}
