"""The models of zoo.py: what is exported, with random weights, small."""

import re
import sys

import torch

MODELS = {}


def model(name, **options):
    def note(make):
        MODELS[name] = (make, options)
        return make

    return note


# --- what is exported -----------------------------------------------------------------------------------------------------------------


class Logits(torch.nn.Module):
    """A model of transformers as a function from arrays to one array."""

    def __init__(self, inner, field):
        super().__init__()
        self.inner, self.field = inner, field

    def forward(self, *arrays, **named):
        result = self.inner(*arrays, **named)
        for field in self.field:
            value = getattr(result, field, None)
            if value is not None:
                return value
        return result[0]


class Tokens(torch.nn.Module):
    def __init__(self, inner, masked, field=("logits", "last_hidden_state", "pooler_output")):
        super().__init__()
        self.inner, self.masked, self.field = inner, masked, field

    def forward(self, input_ids, attention_mask=None):
        result = self.inner(input_ids=input_ids, attention_mask=attention_mask)
        for field in self.field:
            if getattr(result, field, None) is not None:
                return getattr(result, field)
        return result[0]


SMALL = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
             max_position_embeddings=64, num_labels=3, pad_token_id=0, bos_token_id=1, eos_token_id=2, use_cache=False)
TEXT = {
    # model type: (auto class, changes to the configuration, with a mask?)
    "bert": ("SequenceClassification", {}, True), "distilbert": ("SequenceClassification", dict(dim=32, n_layers=2, n_heads=4, hidden_dim=48), True),
    "roberta": ("SequenceClassification", {}, True), "electra": ("SequenceClassification", dict(embedding_size=32), True),
    "albert": ("SequenceClassification", dict(embedding_size=16), True), "camembert": ("SequenceClassification", {}, True),
    "xlm-roberta": ("SequenceClassification", {}, True), "deberta-v2": ("SequenceClassification", dict(relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8), True),
    "deberta": ("SequenceClassification", dict(relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=16), True),
    "mpnet": ("SequenceClassification", {}, True), "modernbert": ("SequenceClassification", dict(global_attn_every_n_layers=2, local_attention=4), True),
    "convbert": ("SequenceClassification", dict(embedding_size=32, head_ratio=2, conv_kernel_size=3), True),
    "squeezebert": ("SequenceClassification", dict(embedding_size=32, q_groups=2, k_groups=2, v_groups=2, post_attention_groups=1, intermediate_groups=2, output_groups=2), True),
    "mobilebert": ("SequenceClassification", dict(embedding_size=32, intra_bottleneck_size=16, true_hidden_size=16), True),
    "funnel": ("SequenceClassification", dict(num_hidden_layers=None, d_model=32, n_head=4, d_head=8, d_inner=48, block_sizes=[1, 1], num_decoder_layers=1), True),
    "fnet": ("SequenceClassification", {}, False), "nystromformer": ("SequenceClassification", dict(num_landmarks=8, segment_means_seq_len=8), True),
    "rembert": ("SequenceClassification", dict(input_embedding_size=16, output_embedding_size=16), True), "ernie": ("SequenceClassification", {}, True),
    "roformer": ("SequenceClassification", dict(embedding_size=32), True), "splinter": ("", {}, True), "layoutlm": ("", {}, True), "megatron-bert": ("SequenceClassification", {}, True),
    "xlnet": ("SequenceClassification", dict(max_position_embeddings=None, d_model=32, n_layer=2, n_head=4, d_inner=48), True), "xlm": ("SequenceClassification", dict(emb_dim=32, n_layers=2, n_heads=4), True),
    "gpt2": ("CausalLM", dict(n_embd=32, n_layer=2, n_head=4, n_positions=64), False), "gpt_neo": ("CausalLM", dict(num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=4), False),
    "gpt_neox": ("CausalLM", {}, False), "gptj": ("CausalLM", dict(n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4), False), "opt": ("CausalLM", dict(ffn_dim=48, word_embed_proj_dim=32), False),
    "llama": ("CausalLM", dict(num_key_value_heads=2), False), "mistral": ("CausalLM", dict(num_key_value_heads=2, sliding_window=4), False), "qwen2": ("CausalLM", dict(num_key_value_heads=2), False),
    "qwen3": ("CausalLM", dict(num_key_value_heads=2, head_dim=8), False), "gemma": ("CausalLM", dict(num_key_value_heads=2, head_dim=8), False), "gemma2": ("CausalLM", dict(num_key_value_heads=2, head_dim=8, sliding_window=4), False),
    "phi": ("CausalLM", {}, False), "phi3": ("CausalLM", dict(num_key_value_heads=2), False), "stablelm": ("CausalLM", dict(num_key_value_heads=2), False), "falcon": ("CausalLM", {}, False),
    "bloom": ("CausalLM", dict(n_layer=2, n_head=4), False), "codegen": ("CausalLM", dict(n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4), False), "cohere": ("CausalLM", dict(num_key_value_heads=2), False),
    "olmo": ("CausalLM", {}, False), "olmo2": ("CausalLM", {}, False), "granite": ("CausalLM", dict(num_key_value_heads=2), False), "starcoder2": ("CausalLM", dict(num_key_value_heads=2), False),
    "mamba": ("CausalLM", dict(state_size=4), False), "smollm3": ("CausalLM", dict(num_key_value_heads=2), False), "mixtral": ("CausalLM", dict(num_key_value_heads=2, num_local_experts=4), False), "biogpt": ("CausalLM", {}, False),
}


def text(kind):
    def make():
        from transformers import AutoConfig
        import transformers

        auto, changes, masked = TEXT[kind]
        config = AutoConfig.for_model(kind, **{k: v for k, v in {**SMALL, **changes}.items() if v is not None})
        config._attn_implementation = "sdpa"
        build = getattr(transformers, "AutoModelFor" + auto) if auto else transformers.AutoModel
        try:
            net = build.from_config(config)
        except ValueError:
            config._attn_implementation = "eager"
            net = build.from_config(config)
        ids = torch.randint(3, 64, (2, 8))
        arrays = [ids]
        if masked:
            mask = torch.ones(2, 8, dtype=torch.int64)
            mask[1, 6:] = 0
            arrays.append(mask)
        names = ["input_ids", "attention_mask"][: len(arrays)]
        return Tokens(net, masked), arrays, names

    return make


for kind in TEXT:
    MODELS[f"text/{kind}"] = (text(kind), {})

VISION = {
    "vit": dict(image_size=32, patch_size=8), "deit": dict(image_size=32, patch_size=8), "beit": dict(image_size=32, patch_size=8), "dinov2": dict(image_size=32, patch_size=8),
    "swin": dict(image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=4), "convnext": dict(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1]),
    "resnet": dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]), "poolformer": dict(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1]), "segformer": dict(hidden_sizes=[8, 16], depths=[1, 1], num_encoder_blocks=2, num_attention_heads=[1, 2], sr_ratios=[2, 1], strides=[4, 2], patch_sizes=[7, 3], mlp_ratios=[2, 2]),
    "mobilenet_v1": {}, "mobilenet_v2": {}, "regnet": dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=8), "cvt": dict(embed_dim=[8, 16, 16], num_heads=[1, 2, 2], depth=[1, 1, 1]), "levit": dict(image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=[2, 2, 2], depths=[1, 1, 1], key_dim=[8, 8, 8]),
    "vit_msn": dict(image_size=32, patch_size=8), "pvt": dict(image_size=32, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 2]), "mobilevit": dict(image_size=64, hidden_sizes=[8, 16, 16], neck_hidden_sizes=[8, 8, 16, 16, 16, 16, 32]), "data2vec-vision": dict(image_size=32, patch_size=8), "efficientnet": dict(image_size=64, hidden_dim=64, width_coefficient=0.25, depth_coefficient=0.2), "van": {},
}


def vision(kind):
    def make():
        import transformers

        size = VISION[kind].get("image_size", 32)
        general = {} if kind in ("swin", "cvt", "pvt", "segformer", "levit") else dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
        config = transformers.AutoConfig.for_model(kind, **{**general, "num_labels": 5, **VISION[kind]})
        net = transformers.AutoModelForImageClassification.from_config(config)
        return Logits(net, ["logits"]), [torch.randn(2, 3, size, size)], ["pixel_values"]

    return make


for kind in VISION:
    MODELS[f"vision/{kind}"] = (vision(kind), {})

TIMM = """resnet10t resnet18d resnext26ts mobilenetv3_small_050 efficientnet_lite0 regnetx_002 regnety_002 convnext_atto convnextv2_atto vit_tiny_patch16_224
deit_tiny_patch16_224 swin_tiny_patch4_window7_224 mixer_s32_224 poolformer_s12 edgenext_xx_small mobilevit_xxs mobileone_s0 ghostnet_050 densenet121 dla46_c
resnest14d repvgg_a0 cait_xxs24_224 crossvit_tiny_240 pit_ti_224 levit_128s xcit_nano_12_p16_224 convit_tiny tnt_s_patch16_224 twins_svt_small visformer_tiny
efficientformer_l1 efficientformerv2_s0 fastvit_t8 gcvit_xxtiny mvitv2_tiny nest_tiny eva02_tiny_patch14_224 sequencer2d_s rexnet_100 tinynet_e lcnet_035 fbnetc_100
mnasnet_small hardcorenas_a dpn48b inception_v3 vgg11 nf_regnet_b0 eca_nfnet_l0 halonet26t lambda_resnet26t botnet26t_256 cs3darknet_s ese_vovnet19b_slim resmlp_12_224
gmixer_24_224 gmlp_s16_224 starnet_s1 repghostnet_050 repvit_m1 mobilenetv4_conv_small hiera_tiny_224 hgnetv2_b0 davit_tiny inception_next_atto mambaout_femto
swiftformer_xs shvit_s1 focalnet_tiny_srf efficientvit_b0 efficientvit_m0 tiny_vit_5m_224 skresnet18 gernet_s cspresnet50 coatnet_nano_rw_224 maxvit_rmlp_pico_rw_256""".split()


def from_timm(name):
    def make():
        import timm

        try:
            net = timm.create_model(name, num_classes=10, img_size=64)
            size = 64
        except Exception:
            net = timm.create_model(name, num_classes=10)
            size = net.default_cfg["input_size"][1] if net.default_cfg.get("fixed_input_size") else 64
        if name == "inception_v3":
            size = 96
        return net, [torch.randn(2, 3, size, size)], ["x"]

    return make


for name in TIMM:
    MODELS[f"timm/{name}"] = (from_timm(name), {})

TORCHVISION = """alexnet squeezenet1_1 googlenet shufflenet_v2_x0_5 mnasnet0_5 mobilenet_v2 mobilenet_v3_small efficientnet_b0 regnet_y_400mf densenet121 resnet18 resnet50
vgg11_bn convnext_tiny swin_t segmentation.fcn_resnet50 segmentation.lraspp_mobilenet_v3_large segmentation.deeplabv3_mobilenet_v3_large video.r3d_18""".split()


def from_torchvision(name):
    def make():
        import torchvision

        where = torchvision.models
        options = dict(weights=None)
        if name.startswith("segmentation."):
            where, options = where.segmentation, dict(weights=None, weights_backbone=None)
        elif name.startswith("video."):
            where = where.video
        if "googlenet" in name:
            options.update(init_weights=False, aux_logits=False)
        net = getattr(where, name.rsplit(".", 1)[-1])(**options)
        x = torch.randn(2, 3, 4, 32, 32) if name.startswith("video.") else torch.randn(2, 3, 64, 64)
        return (Logits(net, []) if name.startswith("segmentation.") else net), [x], ["x"]

    return make


class OutOf(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)["out"]


def segmentation(name):
    make = from_torchvision(name)

    def made():
        net, arrays, names = make()
        return OutOf(net.inner), arrays, names

    return made


for name in TORCHVISION:
    MODELS[f"torchvision/{name}"] = (segmentation(name) if name.startswith("segmentation.") else from_torchvision(name), {})


# --- written out ----------------------------------------------------------------------------------------------------------------------


class Sampler(torch.nn.Module):
    """A spatial transformer."""

    def __init__(self, mode, padding, align):
        super().__init__()
        self.options = dict(mode=mode, padding_mode=padding, align_corners=align)
        self.place, self.head = torch.nn.Linear(3 * 64, 6), torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        theta = 0.3 * self.place(x.flatten(1)).view(-1, 2, 3) + torch.eye(2, 3, dtype=x.dtype)
        grid = torch.nn.functional.affine_grid(theta, [x.shape[0], 3, 8, 8], align_corners=self.options["align_corners"])
        return self.head(torch.nn.functional.grid_sample(x, grid, **self.options)).mean((2, 3))


for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        for align in (False, True):
            MODELS[f"own/grid_sample_{mode}_{padding}_{align}"] = ((lambda m, p, a: lambda: (Sampler(m, p, a), [torch.randn(2, 3, 8, 8)], ["x"]))(mode, padding, align), {})


class Graph(torch.nn.Module):
    """Messages along edges, added up by index_add."""

    def __init__(self):
        super().__init__()
        self.register_buffer("source", torch.randint(0, 6, (14,)))
        self.register_buffer("target", torch.randint(0, 6, (14,)))
        self.first, self.second = torch.nn.Linear(5, 7), torch.nn.Linear(7, 3)

    def forward(self, x):
        h = torch.relu(self.first(x))
        total = torch.zeros_like(h).index_add(1, self.target, h[:, self.source])
        return self.second(h + total).mean(1)


class Functions(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.a, self.b = function, torch.nn.Linear(12, 12), torch.nn.Linear(12, 3)

    def forward(self, x):
        return self.b(self.function(self.a(x)).flatten(1))


F = torch.nn.functional
FUNCTIONS = {
    "trigonometric": lambda h: torch.sin(h) + torch.atan(h) + torch.tan(h * 0.3) + torch.asinh(h) + torch.asin(torch.tanh(h) * 0.9) + torch.acos(torch.tanh(h) * 0.9),
    "hyperbolic": lambda h: torch.sinh(h) + torch.cosh(h) + torch.atanh(torch.tanh(h) * 0.5) + torch.acosh(1.5 + h * h),
    "topk": lambda h: torch.cat([h.topk(5).values, h.topk(7, largest=False).values], 1), "sort": lambda h: h.sort(-1).values, "cumsum": lambda h: h.cumsum(1),
    "gather": lambda h: h.gather(1, h.argsort(1)), "scatter": lambda h: torch.zeros_like(h).scatter(1, h.argsort(1), h), "scatter_add": lambda h: torch.zeros_like(h).scatter_add(1, torch.arange(12).expand_as(h) // 2, h),
    "einsum": lambda h: torch.einsum("bij,bkj->bik", h.view(-1, 3, 4), h.view(-1, 3, 4)).flatten(1).repeat(1, 2)[:, :12],
    "normalize": lambda h: F.normalize(h, dim=1), "roll": lambda h: h.roll(3, 1), "flip": lambda h: h.flip(1), "where": lambda h: torch.where(h > 0.1, h, h * h), "clamp": lambda h: h.clamp(-0.5, 0.5), "logsumexp": lambda h: h + h.logsumexp(1, keepdim=True),
    "var": lambda h: h * h.var(1, keepdim=True) + h.std(1, keepdim=True), "index": lambda h: h[:, [3, 1, 2, 0, 5, 4, 7, 6, 9, 8, 11, 10]], "circular": lambda h: F.pad(h[:, None], (2, 1), mode="circular")[:, 0, :12],
    "bicubic": lambda h: F.interpolate(h.view(-1, 1, 3, 4), (2, 6), mode="bicubic", align_corners=False).flatten(1), "antialias": lambda h: F.interpolate(h.view(-1, 1, 3, 4), (2, 6), mode="bilinear", antialias=True).flatten(1), "lp_pool": lambda h: F.lp_pool1d(F.softplus(h)[:, None], 2, 3, 1, ceil_mode=False)[:, 0].repeat(1, 2)[:, :12],
    "glu": lambda h: torch.cat([F.glu(h, 1), F.glu(-h, 1)], 1), "masked_softmax": lambda h: h.view(-1, 3, 4).masked_fill(torch.ones(3, 4).triu(2).bool(), float("-inf")).softmax(-1).flatten(1), "nan_to_num": lambda h: torch.nan_to_num(h / h.abs().sum(1, keepdim=True)), "remainder": lambda h: torch.remainder(h, 0.7) + torch.fmod(h, 0.3),
    "index_put": lambda h: h.index_put((torch.tensor([0]),), h[:1] * 2) if False else torch.cat([h[:, :3] * 2, h[:, 3:]], 1), "slice_assign": lambda h: assigned(h), "cdist": lambda h: torch.cdist(h.view(-1, 3, 4), h.view(-1, 3, 4)).flatten(1).repeat(1, 2)[:, :12], "tril": lambda h: h.view(-1, 3, 4).tril().flatten(1), "unfold": lambda h: h.unfold(1, 4, 4).flatten(1), "pixel_shuffle": lambda h: F.pixel_shuffle(h.view(-1, 4, 1, 3), 2).flatten(1),
}


def assigned(h):
    y = h.clone()
    y[:, 2:5] = h[:, 5:8] * 2
    return y


for name in FUNCTIONS:
    MODELS[f"own/{name}"] = ((lambda n: lambda: (Functions(FUNCTIONS[n]), [torch.randn(2, 12)], ["x"]))(name), {})
MODELS["own/index_add"] = (lambda: (Graph(), [torch.randn(2, 6, 5)], ["x"]), {})
MODELS["own/mlp"] = (lambda: (torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)), [torch.randn(2, 12)], ["x"]), {})


class Attention(torch.nn.Module):
    def __init__(self, causal, masked):
        super().__init__()
        self.qkv, self.out, self.causal, self.masked = torch.nn.Linear(12, 36), torch.nn.Linear(12, 3), causal, masked

    def forward(self, x, *mask):
        q, k, v = (t.view(x.shape[0], -1, 3, 4).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, attn_mask=mask[0][:, None, None, :] if mask else None)
        return self.out(y.transpose(1, 2).flatten(2)).mean(1)


MODELS["own/attention"] = (lambda: (Attention(False, False), [torch.randn(2, 5, 12)], ["x"]), {})
MODELS["own/attention_causal"] = (lambda: (Attention(True, False), [torch.randn(2, 5, 12)], ["x"]), {})
MODELS["own/attention_masked"] = (lambda: (Attention(False, True), [torch.randn(2, 5, 12), torch.tensor([[True] * 5, [True, True, False, False, True]])], ["x", "mask"]), {})
for kind, options in (("Transformer encoder", {}), ("norm_first", dict(norm_first=True))):
    MODELS[f"own/{kind.lower().replace(' ', '_')}"] = ((lambda o: lambda: (torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(12, 3, 24, batch_first=True, **o), 2, enable_nested_tensor=False), [torch.randn(2, 5, 12)], ["x"]))(options), {})


class Recurrent(torch.nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.cells = getattr(torch.nn, kind)(6, 8, batch_first=True, **options)
        self.head = torch.nn.Linear(8 * (2 if options.get("bidirectional") else 1), 3)

    def forward(self, x):
        return self.head(self.cells(x)[0][:, -1])


for kind in ("LSTM", "GRU", "RNN"):
    for name, options in (("", {}), ("_bidirectional", dict(bidirectional=True)), ("_deep", dict(num_layers=2))):
        MODELS[f"own/{kind.lower()}{name}"] = ((lambda k, o: lambda: (Recurrent(k, **o), [torch.randn(2, 7, 6)], ["x"]))(kind, options), {})


def load_torchvision():
    """Packages of PyPI hold operators for CUDA that a torch without it lacks; their declarations are enough to import it."""
    library = torch.library.Library("torchvision", "DEF")
    for _ in range(40):
        try:
            import torchvision  # noqa: F401

            return library
        except RuntimeError as error:
            missing = re.search(r"torchvision::(\w+) does not exist", str(error))
            if not missing:
                raise
            library.define(missing.group(1) + "(Tensor x) -> Tensor")
            for module in [m for m in sys.modules if m.startswith("torchvision")]:
                del sys.modules[module]
        except ImportError:
            return library
    return library
