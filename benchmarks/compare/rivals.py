"""The configurations that a user of the peers would try, and what is asked of rulegrad beside the best of them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Rival:
    peer: str
    configuration: str = "eager"
    precise: bool = True  # computes in float32; else in bfloat16, and is compared with rulegrad's --precision fast and bf16

    def title(self):
        name = {"pytorch": "PyTorch", "zennit": "Zennit", "captum": "Captum", "onnxruntime": "onnxruntime", "openvino": "OpenVINO", "jax": "JAX"}[self.peer]
        words = {"eager": "", "float32": "", "channels_last": " channels_last", "compile": " compiled", "bf16": " bf16", "bf16_channels_last": " bf16 channels_last"}
        return name + words[self.configuration]


@dataclasses.dataclass(frozen=True)
class Analysis:
    title: str
    call: str  # as rulegrad takes it
    peer_method: str
    rivals: tuple
    exact: dict  # at least so many times as fast as the best float32 configuration, by network; of all others under ""
    narrow: dict  # the faster of `fast` and `bf16`, beside the best of `against`
    against: str = "bf16"
    same_numbers: bool = True  # False: each draws noise of its own

    def asked(self, network, precise):
        wanted = self.exact if precise else self.narrow
        return wanted.get(network, wanted.get(""))


TORCH = tuple(Rival("pytorch", word) for word in ("eager", "channels_last", "compile"))
TORCH_BF16 = tuple(Rival("pytorch", word, False) for word in ("bf16", "bf16_channels_last"))
ZENNIT = (Rival("zennit"), Rival("zennit", "channels_last"))
CAPTUM = (Rival("captum"), Rival("captum", "channels_last"))

ANALYSES = {
    "forward": Analysis("forward", "forward", "forward",
                        (*TORCH, *TORCH_BF16, Rival("onnxruntime"), Rival("openvino", "float32"), Rival("openvino", "bf16", False), Rival("jax")), {"": 1.0}, {}),
    "gradient": Analysis("gradient", "gradient", "gradient", (*TORCH, *TORCH_BF16, Rival("jax")),
                         {"vgg16": 1.25, "resnet50": 2.0, "mobilenetv2": 2.5}, {"vgg16": 2.0, "resnet50": 2.0, "mobilenetv2": 3.0}),
    **{name: Analysis(title, f"zennit.{name}{more}", name, ZENNIT, {"": 5.0}, {"": 10.0}, against="float32")
       for name, title, more in (("epsilon_plus_flat", "EpsilonPlusFlat", ""), ("epsilon_alpha2_beta1_flat", "EpsilonAlpha2Beta1Flat", ""),
                                 ("epsilon_gamma_box", "EpsilonGammaBox", ":low=-4,high=4"))},
    "integrated_gradients": Analysis("integrated gradients, 50 steps", "captum.integrated_gradients:n_steps=50", "integrated_gradients", CAPTUM,
                                     {"": 2.0}, {"": 5.0}, against="float32"),
    "smoothgrad": Analysis("SmoothGrad, 50 samples", "smoothgrad:n=50", "smoothgrad", CAPTUM, {"": 2.0}, {"": 5.0}, against="float32", same_numbers=False),
}

NETWORKS = ("vgg16", "resnet50", "mobilenetv2")
