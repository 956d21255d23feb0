"""Networks of the zoo that are written out here: functions, attention, recurrent and graph networks, small classifiers."""

import torch

from zoo_registry import MODELS, Entry

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
        for align in (False, True) if padding == "zeros" else (False,):
            MODELS[f"own/grid_sample_{mode}_{padding}_{align}"] = Entry((lambda m, p, a: lambda: (Sampler(m, p, a), [torch.randn(2, 3, 8, 8)], ["x"]))(mode, padding, align))


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
    MODELS[f"own/{name}"] = Entry((lambda n: lambda: (Functions(FUNCTIONS[n]), [torch.randn(2, 12)], ["x"]))(name))
MODELS["own/index_add"] = Entry(lambda: (Graph(), [torch.randn(2, 6, 5)], ["x"]))
MODELS["own/mlp"] = Entry(lambda: (torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)), [torch.randn(2, 12)], ["x"]))


class Attention(torch.nn.Module):
    def __init__(self, causal, masked):
        super().__init__()
        self.qkv, self.out, self.causal, self.masked = torch.nn.Linear(12, 36), torch.nn.Linear(12, 3), causal, masked

    def forward(self, x, *mask):
        q, k, v = (t.view(x.shape[0], -1, 3, 4).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, attn_mask=mask[0][:, None, None, :] if mask else None)
        return self.out(y.transpose(1, 2).flatten(2)).mean(1)


MODELS["own/attention"] = Entry(lambda: (Attention(False, False), [torch.randn(2, 5, 12)], ["x"]))
MODELS["own/attention_causal"] = Entry(lambda: (Attention(True, False), [torch.randn(2, 5, 12)], ["x"]))
MODELS["own/attention_masked"] = Entry(lambda: (Attention(False, True), [torch.randn(2, 5, 12), torch.tensor([[True] * 5, [True, True, False, False, True]])], ["x", "mask"]))
for kind, options in (("Transformer encoder", {}), ("norm_first", dict(norm_first=True))):
    MODELS[f"own/{kind.lower().replace(' ', '_')}"] = Entry((lambda o: lambda: (torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(12, 3, 24, batch_first=True, **o), 2, enable_nested_tensor=False), [torch.randn(2, 5, 12)], ["x"]))(options))


class Recurrent(torch.nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.cells = getattr(torch.nn, kind)(6, 8, batch_first=True, **options)
        self.head = torch.nn.Linear(8 * (2 if options.get("bidirectional") else 1), 3)

    def forward(self, x):
        return self.head(self.cells(x)[0][:, -1])


for kind in ("LSTM", "GRU", "RNN"):
    for name, options in (("", {}), ("_bidirectional", dict(bidirectional=True)), ("_deep", dict(num_layers=2))):
        MODELS[f"own/{kind.lower()}{name}"] = Entry((lambda k, o: lambda: (Recurrent(k, **o), [torch.randn(2, 7, 6)], ["x"]))(kind, options))


# --- small networks as people write them ----------------------------------------------------------------------------------------------

nn = torch.nn


class Embedded(nn.Module):
    """Word ids, a recurrent network and a head on the last or the mean state."""

    def __init__(self, kind, mean):
        super().__init__()
        self.words, self.cells, self.head, self.mean = nn.Embedding(40, 8), getattr(nn, kind)(8, 6, batch_first=True, bidirectional=True), nn.Linear(12, 3), mean

    def forward(self, ids):
        states = self.cells(self.words(ids))[0]
        return self.head(states.mean(1) if self.mean else states[:, -1])


class Causal(nn.Module):
    """A block of a temporal convolutional network (Bai et al. 2018)."""

    def __init__(self, channels, width, dilation):
        super().__init__()
        self.pad = (width - 1) * dilation
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(channels, channels, width, dilation=dilation))

    def forward(self, x):
        return F.relu(x + F.relu(self.conv(F.pad(x, (self.pad, 0)))))


class UNet(nn.Module):
    def __init__(self, transposed):
        super().__init__()
        def block(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())
        self.a, self.b, self.c, self.d, self.out = block(3, 8), block(8, 16), block(16, 16), block(24, 8), nn.Conv2d(8, 2, 1)
        self.up = nn.ConvTranspose2d(16, 16, 2, 2) if transposed else nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, x):
        a = self.a(x)
        return self.out(self.d(torch.cat([self.up(self.c(self.b(F.max_pool2d(a, 2)))), a], 1)))


class GraphAttention(nn.Module):
    """Attention over the edges of a fixed graph, normalised by scatter."""

    def __init__(self):
        super().__init__()
        edges = torch.randint(0, 6, (2, 16))
        self.register_buffer("source", edges[0]), self.register_buffer("target", edges[1])
        self.inner, self.score, self.head = nn.Linear(5, 8), nn.Linear(16, 1), nn.Linear(8, 3)

    def forward(self, x):
        h = self.inner(x)
        weight = F.leaky_relu(self.score(torch.cat([h[:, self.source], h[:, self.target]], -1)), 0.2).exp()
        total = torch.zeros_like(h[..., :1]).index_add(1, self.target, weight)
        mixed = torch.zeros_like(h).index_add(1, self.target, weight * h[:, self.source])
        return self.head(mixed / (total + 1e-9)).mean(1)


class Experts(nn.Module):
    """A mixture whose two best experts are used."""

    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(10, 4), nn.ModuleList([nn.Linear(10, 3) for _ in range(4)])

    def forward(self, x):
        values, where = self.gate(x).topk(2, -1)
        weights = torch.zeros_like(self.gate(x)).scatter(-1, where, values.softmax(-1))
        return (torch.stack([e(x) for e in self.experts], -1) * weights[:, None]).sum(-1)


class Flow(nn.Module):
    """Twelve steps of Runge and Kutta, and a hypernetwork that makes the last layer."""

    def __init__(self):
        super().__init__()
        self.field, self.hyper = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 6)), nn.Linear(6, 18)

    def forward(self, x):
        h, start = 0.25, x
        for _ in range(3):
            k1 = self.field(x)
            k2 = self.field(x + h / 2 * k1)
            k3 = self.field(x + h / 2 * k2)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + self.field(x + h * k3))
        return torch.bmm(self.hyper(start).view(-1, 3, 6), x[..., None])[..., 0]


class Scanned(nn.Module):
    """A diagonal state-space model over a series, by a cumulative sum in logarithms of its decay."""

    def __init__(self):
        super().__init__()
        self.into, self.rate, self.head = nn.Linear(4, 6), nn.Parameter(torch.rand(6) + 0.1), nn.Linear(6, 3)

    def forward(self, x):
        steps = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * self.rate
        return self.head(F.silu(((self.into(x) * steps.exp()).cumsum(1) * (-steps).exp())[:, -1]))


class Squeeze(nn.Module):
    """Attention over channels and places (SE, CBAM)."""

    def __init__(self):
        super().__init__()
        self.conv, self.small, self.place, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8)), nn.Conv2d(2, 1, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x):
        h = F.relu(self.conv(x))
        h = h * torch.sigmoid(self.small(h.mean((2, 3))) + self.small(h.amax((2, 3))))[..., None, None]
        h = h * torch.sigmoid(self.place(torch.cat([h.mean(1, keepdim=True), h.max(1, keepdim=True).values], 1)))
        return self.head(h.mean((2, 3)))


def picture(net, side=16):
    return lambda: (net(), [torch.randn(2, 3, side, side)], ["x"])


def series(net, channels=4, steps=24):
    return lambda: (net(), [torch.randn(2, channels, steps)], ["x"])


def norms():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.PReLU(8), nn.Conv2d(8, 8, 3), nn.GroupNorm(4, 8), nn.Hardswish(), nn.LocalResponseNorm(3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))


def activations():
    kinds = [nn.GELU(), nn.SiLU(), nn.Mish(), nn.ELU(), nn.SELU(), nn.CELU(0.5), nn.Softplus(), nn.Softsign(), nn.Hardtanh(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.Hardsigmoid(), nn.Tanhshrink(), nn.LogSigmoid(), nn.GELU("tanh")]
    return nn.Sequential(*[m for kind in kinds for m in (nn.Linear(12, 12), kind)], nn.Linear(12, 3), nn.LogSoftmax(-1))


NETS = {
    "lstm_words": lambda: (Embedded("LSTM", False), [torch.randint(0, 40, (2, 9))], ["ids"]), "gru_words": lambda: (Embedded("GRU", True), [torch.randint(0, 40, (2, 9))], ["ids"]),
    "tcn": series(lambda: nn.Sequential(Causal(4, 3, 1), Causal(4, 3, 2), Causal(4, 3, 4), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))), "unet": picture(lambda: UNet(True)), "unet_bilinear": picture(lambda: UNet(False)),
    "ecg_cnn": series(lambda: nn.Sequential(nn.Conv1d(4, 8, 5), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 8, 3, groups=2), nn.GELU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 3))),
    "graph_attention": lambda: (GraphAttention(), [torch.randn(2, 6, 5)], ["x"]), "experts": lambda: (Experts(), [torch.randn(2, 10)], ["x"]), "runge_kutta": lambda: (Flow(), [torch.randn(2, 6)], ["x"]),
    "state_space": lambda: (Scanned(), [torch.randn(2, 7, 4)], ["x"]), "channel_attention": picture(Squeeze), "norms": picture(norms), "activations": lambda: (activations(), [torch.randn(2, 12)], ["x"]),
    "generator": lambda: (nn.Sequential(nn.Unflatten(1, (12, 1, 1)), nn.ConvTranspose2d(12, 8, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh()), [torch.randn(2, 12)], ["x"]),
    "volume": lambda: (nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(32, 3)), [torch.randn(2, 2, 6, 6, 6)], ["x"]),
}
for name, make in NETS.items():
    MODELS[f"own/{name}"] = Entry(make)
