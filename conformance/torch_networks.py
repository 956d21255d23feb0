"""The networks of the cases as people write them in PyTorch, with the weights of the case and in float64."""
import math

import torch
from torch import nn
from torch.nn import functional as F


class Network(nn.Module):
    """Modules are made in the order in which the subclass names them, and get the weights of the same name."""

    def __init__(self, weights):
        super().__init__()
        self.given = weights

    def value(self, name):
        array = self.given[name]
        return torch.tensor(array["data"], dtype=torch.float64).reshape(array["shape"])

    def dense(self, name, share=None):
        source = share or name
        weight = self.value(f"{source}.weight")
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=f"{source}.bias" in self.given, dtype=torch.float64)
        return self.filled(layer, source)

    def conv(self, name, groups=1, transposed=False, **options):
        weight = self.value(f"{name}.weight")
        inner, outer = (weight.shape[0], weight.shape[1]) if transposed else (weight.shape[1] * groups, weight.shape[0])
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        layer = kind(inner, outer, weight.shape[2], bias=f"{name}.bias" in self.given, groups=groups, dtype=torch.float64, **options)
        return self.filled(layer, name)

    def filled(self, layer, name):
        state = {key: self.value(f"{name}.{key}") for key in layer.state_dict() if f"{name}.{key}" in self.given}
        layer.load_state_dict(state, strict=False)
        return layer.eval()

    def norm(self, name):
        return self.filled(nn.BatchNorm2d(self.value(f"{name}.weight").shape[0], dtype=torch.float64), name)


class Chain(Network):
    """Three dense layers and two activations, each a module."""

    def __init__(self, weights, activation=nn.ReLU):
        super().__init__(weights)
        self.fc1, self.act1, self.fc2, self.act2, self.fc3 = self.dense("fc1"), activation(), self.dense("fc2"), activation(), self.dense("fc3")

    def forward(self, x):
        return self.fc3(self.act2(self.fc2(self.act1(self.fc1(x)))))


class Applied(Network):
    """The same with a function as activation."""

    def __init__(self, weights, function):
        super().__init__(weights)
        self.fc1, self.fc2, self.fc3, self.function = self.dense("fc1"), self.dense("fc2"), self.dense("fc3"), function

    def forward(self, x):
        return self.fc3(self.function(self.fc2(self.function(self.fc1(x)))))


class Convolutions(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.conv1, self.relu1, self.pool = self.conv("conv1", padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2, self.relu2, self.fc = self.conv("conv2"), nn.ReLU(), self.dense("fc")

    def forward(self, x):
        return self.fc(self.relu2(self.conv2(self.pool(self.relu1(self.conv1(x))))).flatten(1))


class FlattenModule(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.conv1, self.relu, self.flatten, self.fc = self.conv("conv1"), nn.ReLU(), nn.Flatten(), self.dense("fc")

    def forward(self, x):
        return self.fc(self.flatten(self.relu(self.conv1(x))))


class StrangeConvolutions(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.conv1, self.relu1 = self.conv("conv1", dilation=2), nn.ReLU()
        self.conv2, self.relu2 = self.conv("conv2", stride=2, groups=2), nn.ReLU()
        self.conv3, self.relu3 = self.conv("conv3", transposed=True, stride=2), nn.ReLU()
        self.fc = self.dense("fc")

    def forward(self, x):
        return self.fc(self.relu3(self.conv3(self.relu2(self.conv2(self.relu1(self.conv1(x)))))).flatten(1))


class TwoLayers(Network):
    def __init__(self, weights, activation=nn.ReLU):
        super().__init__(weights)
        self.fc1, self.act, self.fc2 = self.dense("fc1"), activation(), self.dense("fc2")

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class ReusedActivation(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.fc1, self.fc2, self.fc3, self.relu = self.dense("fc1"), self.dense("fc2"), self.dense("fc3"), nn.ReLU()

    def forward(self, x):
        return self.fc3(self.relu(self.fc2(self.relu(self.fc1(x)))))


class ReusedLinear(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.fc1, self.relu1, self.relu2, self.fc2 = self.dense("fc1"), nn.ReLU(), nn.ReLU(), self.dense("fc2")

    def forward(self, x):
        return self.fc2(self.relu2(self.fc1(self.relu1(self.fc1(x)))))


class SharedWeight(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.fc1, self.relu1, self.again, self.relu2, self.fc2 = self.dense("fc1"), nn.ReLU(), self.dense("again", "fc1"), nn.ReLU(), self.dense("fc2")
        self.again.weight = self.fc1.weight

    def forward(self, x):
        return self.fc2(self.relu2(self.again(self.relu1(self.fc1(x)))))


class FunctionalLinear(Network):
    def __init__(self, weights, product=False):
        super().__init__(weights)
        self.product, self.relu1, self.relu2 = product, nn.ReLU(), nn.ReLU()
        for k in (1, 2, 3):
            self.register_parameter(f"weight{k}", nn.Parameter(self.value(f"fc{k}.weight")))
            if product:
                self.register_parameter(f"bias{k}", nn.Parameter(self.value(f"fc{k}.bias")))

    def layer(self, x, k):
        weight = getattr(self, f"weight{k}")
        return x @ weight.T + getattr(self, f"bias{k}") if self.product else F.linear(x, weight)

    def forward(self, x):
        return self.layer(self.relu2(self.layer(self.relu1(self.layer(x, 1)), 2)), 3)


class Branches(Network):
    """Two dense layers with a ReLU each, and what `join` makes of both; `behind`: the second reads the first."""

    def __init__(self, weights, join, behind):
        super().__init__(weights)
        self.fc1, self.relu1, self.fc2, self.relu2, self.fc3 = self.dense("fc1"), nn.ReLU(), self.dense("fc2"), nn.ReLU(), self.dense("fc3")
        self.join, self.behind = join, behind

    def forward(self, x):
        a = self.relu1(self.fc1(x))
        return self.fc3(self.join(a, self.relu2(self.fc2(a if self.behind else x))))


class Factor(TwoLayers):
    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)) * 2.5)


class NormalisedInput(TwoLayers):
    def forward(self, x):
        return self.fc2(self.act(self.fc1(x * 2.0 - 0.5)))


class NormBehind(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.conv1, self.bn1, self.relu, self.fc = self.conv("conv1"), self.norm("bn1"), nn.ReLU(), self.dense("fc")

    def forward(self, x):
        return self.fc(self.relu(self.bn1(self.conv1(x))).flatten(1))


class NormBefore(NormBehind):
    def forward(self, x):
        return self.fc(self.relu(self.conv1(self.bn1(x))).flatten(1))


class NormReluBefore(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.conv1, self.bn1, self.relu1, self.conv2, self.relu2 = self.conv("conv1", padding=1), self.norm("bn1"), nn.ReLU(), self.conv("conv2"), nn.ReLU()
        self.fc = self.dense("fc")

    def forward(self, x):
        return self.fc(self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x) + x)))).flatten(1))


class Pooled(Network):
    """A convolution, a ReLU, some pooling (a module or a function), a dense layer."""

    def __init__(self, weights, pool, **options):
        super().__init__(weights)
        self.conv1, self.relu, self.pool, self.fc = self.conv("conv1", **options), nn.ReLU(), pool, self.dense("fc")

    def forward(self, x):
        return self.fc(self.pool(self.relu(self.conv1(x))).flatten(1))


class EqualMaxima(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.pool, self.fc = nn.MaxPool2d(2), self.dense("fc")

    def forward(self, x):
        return self.fc(self.pool(x).flatten(1))


class LinearResize(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.conv1, self.relu1, self.up = self.conv("conv1"), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.conv2, self.relu2, self.fc = self.conv("conv2"), nn.ReLU(), self.dense("fc")

    def forward(self, x):
        return self.fc(self.relu2(self.conv2(self.up(self.relu1(self.conv1(x))))).flatten(1))


class Gate(Network):
    def __init__(self, weights):
        super().__init__(weights)
        self.fc1, self.sigmoid, self.fc2, self.fc3 = self.dense("fc1"), nn.Sigmoid(), self.dense("fc2"), self.dense("fc3")

    def forward(self, x):
        return self.fc3(self.sigmoid(self.fc1(x)) * self.fc2(x))


class RMSNorm(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * self.weight


class Normalised(Network):
    def __init__(self, weights, rms=False):
        super().__init__(weights)
        width = self.value("norm.weight").shape[0]
        self.fc1, self.relu, self.fc2 = self.dense("fc1"), nn.ReLU(), self.dense("fc2")
        self.norm_ = RMSNorm(self.value("norm.weight")) if rms else self.filled(nn.LayerNorm(width, dtype=torch.float64), "norm")

    def forward(self, x):
        return self.fc2(self.relu(self.norm_(self.fc1(x))))


class Attention(Network):
    """Attention with two heads; `form`: "module", "sdpa" or "written out"."""

    def __init__(self, weights, form):
        super().__init__(weights)
        self.form = form
        if form == "module":
            width = self.value("q.weight").shape[0]
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True, dtype=torch.float64).eval()
            self.attention.load_state_dict({
                "in_proj_weight": torch.cat([self.value(f"{name}.weight") for name in "qkv"]),
                "in_proj_bias": torch.cat([self.value(f"{name}.bias") for name in "qkv"]),
                "out_proj.weight": self.value("out.weight"), "out_proj.bias": self.value("out.bias")})
        else:
            self.q, self.k, self.v, self.out = (self.dense(name) for name in ("q", "k", "v", "out"))

    def attend(self, x):
        if self.form == "module":
            return self.attention(x, x, x, need_weights=False)[0]
        q, k, v = (part(x).unflatten(-1, (2, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        if self.form == "sdpa":
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = torch.matmul(F.softmax(torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1]), dim=-1), v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class AttentionNet(Attention):
    def __init__(self, weights, form):
        super().__init__(weights, form)
        self.fc = self.dense("fc")

    def forward(self, x):
        return self.fc(self.attend(x).flatten(1))


class Block(Attention):
    def __init__(self, weights):
        super().__init__(weights, "sdpa")
        width = self.value("norm1.weight").shape[0]
        self.norm1, self.norm2 = (self.filled(nn.LayerNorm(width, dtype=torch.float64), name) for name in ("norm1", "norm2"))
        self.up, self.act, self.down, self.fc = self.dense("up"), nn.GELU(), self.dense("down"), self.dense("fc")

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        x = x + self.down(self.act(self.up(self.norm2(x))))
        return self.fc(x.flatten(1))


def written_gelu(x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


NETWORKS = {
    "dense": Chain,
    "biases": Chain,
    "large_epsilon": Chain,
    "convolutions": Convolutions,
    "flatten_module": FlattenModule,
    "strange_convolutions": StrangeConvolutions,
    "signed_input": TwoLayers,
    "functional_relu": lambda w: Applied(w, torch.relu),
    "clamped_relu": lambda w: Applied(w, lambda x: x.clamp(min=0)),
    "inplace_relu": lambda w: Chain(w, lambda: nn.ReLU(inplace=True)),
    "reused_relu": ReusedActivation,
    "reused_linear": ReusedLinear,
    "shared_weight": SharedWeight,
    "functional_linear": FunctionalLinear,
    "matmul_weight": lambda w: FunctionalLinear(w, product=True),
    "residual": lambda w: Branches(w, lambda a, b: a + b, True),
    "difference": lambda w: Branches(w, lambda a, b: a - b, False),
    "concatenation": lambda w: Branches(w, lambda a, b: torch.cat([a, b], 1), True),
    "factor": Factor,
    "normalised_input": NormalisedInput,
    "norm_behind": NormBehind,
    "norm_before": NormBefore,
    "norm_relu_before": NormReluBefore,
    "average_pooling": lambda w: Pooled(w, nn.AvgPool2d(3), padding=1),
    "global_mean": lambda w: Pooled(w, lambda x: x.mean((2, 3))),
    "overlapping_maxima": lambda w: Pooled(w, nn.MaxPool2d(3, 2, 1), padding=1),
    "equal_maxima": EqualMaxima,
    "functional_maxima": lambda w: Pooled(w, lambda x: F.max_pool2d(x, 2)),
    "linear_resize": LinearResize,
    "relu6": lambda w: TwoLayers(w, nn.ReLU6),
    "clamped_relu6": lambda w: TwoLayers(w, lambda: lambda x: x.clamp(0, 6)),
    "leaky_relu": lambda w: Chain(w, lambda: nn.LeakyReLU(0.125)),
    "tanh": lambda w: Chain(w, nn.Tanh),
    "functional_tanh": lambda w: Applied(w, torch.tanh),
    "sigmoid": lambda w: Chain(w, nn.Sigmoid),
    "gelu": lambda w: Chain(w, nn.GELU),
    "gelu_tanh": lambda w: Chain(w, lambda: nn.GELU(approximate="tanh")),
    "gelu_written_out": lambda w: Applied(w, written_gelu),
    "silu": lambda w: Chain(w, nn.SiLU),
    "silu_written_out": lambda w: Applied(w, lambda x: x * torch.sigmoid(x)),
    "gate": Gate,
    "layer_norm": Normalised,
    "rms_norm": lambda w: Normalised(w, rms=True),
    "attention_module": lambda w: AttentionNet(w, "module"),
    "attention_sdpa": lambda w: AttentionNet(w, "sdpa"),
    "attention_written_out": lambda w: AttentionNet(w, "written out"),
    "block": Block,
}


def network_of(case):
    """The network of a case, in evaluation mode; raises where its scores are not those of the case."""
    net = NETWORKS[case["network"]["torch"]](case["network"]["weights"]).eval()
    with torch.no_grad():
        scores, expected = net(input_of(case)), tensor(case["scores"])
    distance = (scores - expected).abs().max().item()
    if not distance <= 1e-12 * max(1.0, expected.abs().max().item()):
        raise RuntimeError(f"the network of {case['name']} is not that of the case: its scores differ by {distance:.1e}")
    return net


def tensor(array):
    return torch.tensor(array["data"], dtype=torch.float64).reshape(array["shape"])


def input_of(case):
    return tensor(case["input"])
