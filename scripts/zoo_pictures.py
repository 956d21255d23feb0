"""Models of timm and torchvision for pictures, with random weights; where they can be small they are."""

import torch

from zoo_registry import MODELS, Entry

TIMM = """resnet10t resnet18d resnext26ts mobilenetv3_small_050 efficientnet_lite0 efficientnet_b0 regnetx_002 regnety_002 convnext_atto convnextv2_atto vit_tiny_patch16_224
deit_tiny_patch16_224 swin_tiny_patch4_window7_224 mixer_s32_224 poolformer_s12 edgenext_xx_small mobilevit_xxs mobilevitv2_050 mobileone_s0 ghostnet_050 densenet121 dla46_c
resnest14d repvgg_a0 cait_xxs24_224 crossvit_tiny_240 pit_ti_224 levit_128s xcit_nano_12_p16_224 convit_tiny tnt_s_legacy_patch16_224 twins_svt_small visformer_tiny
efficientformer_l1 efficientformerv2_s0 fastvit_t8 mvitv2_tiny nest_tiny eva02_tiny_patch14_224 rexnet_100 tinynet_e lcnet_035 mnasnet_small inception_v3
nf_regnet_b0 lambda_resnet26t botnet26t_256 cs3darknet_s ese_vovnet19b_slim resmlp_12_224 gmlp_s16_224 starnet_s1 repghostnet_050 repvit_m1 mobilenetv4_conv_small hgnetv2_b0
davit_tiny inception_next_atto mambaout_femto swiftformer_xs focalnet_tiny_srf efficientvit_b0 efficientvit_m0 tiny_vit_5m_224 skresnet18 coatnet_nano_rw_224 xception41""".split()
# Depth is cut where the constructor lets it be: what is tried is operators and how they are put together.
SHALLOW = {
    "vit_tiny_patch16_224": dict(depth=2), "deit_tiny_patch16_224": dict(depth=2), "mixer_s32_224": dict(num_blocks=2), "resmlp_12_224": dict(num_blocks=2), "gmlp_s16_224": dict(num_blocks=2),
    "cait_xxs24_224": dict(depth=2), "convit_tiny": dict(depth=3), "xcit_nano_12_p16_224": dict(depth=2), "tnt_s_legacy_patch16_224": dict(depth=2), "eva02_tiny_patch14_224": dict(depth=2),
    "swin_tiny_patch4_window7_224": dict(depths=(1, 1, 2, 1)), "davit_tiny": dict(depths=(1, 1, 1, 1)), "focalnet_tiny_srf": dict(depths=(1, 1, 1, 1)), "convnext_atto": dict(depths=(1, 1, 2, 1)),
    "convnextv2_atto": dict(depths=(1, 1, 2, 1)), "twins_svt_small": dict(depths=(1, 1, 2, 1)), "poolformer_s12": dict(layers=(1, 1, 1, 1)), "mambaout_femto": dict(depths=(1, 1, 2, 1)),
    "mvitv2_tiny": dict(depths=(1, 1, 2, 1)), "nest_tiny": dict(depths=(1, 1, 2)), "inception_next_atto": dict(depths=(1, 1, 2, 1)), "densenet121": dict(block_config=(2, 2, 2, 2)),
    "swiftformer_xs": dict(layers=(1, 1, 2, 1)), "tiny_vit_5m_224": dict(depths=(1, 1, 2, 1)), "edgenext_xx_small": dict(depths=(1, 1, 2, 1)),
}


def from_timm(name):
    def make():
        import timm

        for options in (dict(SHALLOW.get(name, {}), img_size=64), SHALLOW.get(name, {}), {}):
            try:
                net = timm.create_model(name, num_classes=10, **options)
                break
            except Exception:
                net = None
        if net is None:
            raise RuntimeError(f"timm makes no {name}")
        fixed = net.default_cfg.get("fixed_input_size") and "img_size" not in options
        size = net.default_cfg["input_size"][1] if fixed else 64
        return net, [torch.randn(2, 3, 96 if name == "inception_v3" else size, 96 if name == "inception_v3" else size)], ["x"]

    return make


for name in TIMM:
    MODELS[f"timm/{name}"] = Entry(from_timm(name))

TORCHVISION = """alexnet vgg11_bn squeezenet1_1 googlenet inception_v3 shufflenet_v2_x0_5 mnasnet0_5 mobilenet_v2 mobilenet_v3_small efficientnet_b0 efficientnet_v2_s regnet_y_400mf
densenet121 resnet18 resnet50 resnext50_32x4d convnext_tiny swin_t swin_v2_t maxvit_t vit_b_16 segmentation.fcn_resnet50 segmentation.lraspp_mobilenet_v3_large
segmentation.deeplabv3_mobilenet_v3_large detection.ssdlite320_mobilenet_v3_large detection.retinanet_resnet50_fpn video.r3d_18 video.mc3_18 video.s3d""".split()


class Only(torch.nn.Module):
    """One entry of what a segmentation model or a detector's backbone gives."""

    def __init__(self, inner, key):
        super().__init__()
        self.inner, self.key = inner, key

    def forward(self, x):
        result = self.inner(x)
        return result[self.key] if self.key in result else list(result.values())[-1]


def slim(net, name):
    """Dense layers of tens of millions of weights tell nothing that small ones do not."""
    if name in ("alexnet", "vgg11_bn"):
        wide = net.classifier[1 if name == "alexnet" else 0].in_features
        net.classifier = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(wide, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    return net


def from_torchvision(name):
    def make():
        import torchvision

        where, options = torchvision.models, dict(weights=None)
        short = name.rsplit(".", 1)[-1]
        size = {"inception_v3": 96, "maxvit_t": 224}.get(short, 64)
        if name.startswith(("segmentation.", "detection.")):
            where, options = getattr(where, name.split(".")[0]), dict(weights=None, weights_backbone=None)
        elif name.startswith("video."):
            where = where.video
        if short in ("googlenet", "inception_v3"):
            options.update(init_weights=False, aux_logits=False)
        if short == "vit_b_16":
            net = where.VisionTransformer(image_size=64, patch_size=16, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48, num_classes=10)
        elif short == "swin_t":
            net = where.SwinTransformer(patch_size=[4, 4], embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=[4, 4], num_classes=10)
        elif short == "maxvit_t":
            net = where.MaxVit(input_size=(64, 64), stem_channels=8, block_channels=[8, 16], block_layers=[1, 1], head_dim=4, stochastic_depth_prob=0.0, partition_size=4, num_classes=10)
            size = 64
        elif short == "efficientnet_v2_s":
            net = where.efficientnet_v2_s(**options)
            net.features = torch.nn.Sequential(*[stage[:1] if isinstance(stage, torch.nn.Sequential) and 0 < i < 7 else stage for i, stage in enumerate(net.features)])
        else:
            net = slim(getattr(where, short)(**options), short)
        if name.startswith("detection."):
            net = Only(net.backbone, "pool" if "retina" in name else "0")
        elif name.startswith("segmentation."):
            net = Only(net, "out")
        x = torch.randn(2, 3, 16 if short == "s3d" else 4, 64 if short == "s3d" else 32, 64 if short == "s3d" else 32) if name.startswith("video.") else torch.randn(2, 3, size, size)
        return net, [x], ["x"]

    return make


for name in TORCHVISION:
    MODELS[f"torchvision/{name}"] = Entry(from_torchvision(name))
