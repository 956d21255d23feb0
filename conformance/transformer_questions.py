"""The cases of what transformers are made of: gates, norms, attention and a whole block."""
from constructs import GRADIENT, LRP, PATH, case
from networks import Net


@case("a gate times a signal", GRADIENT + LRP + PATH, ("half each", "signal takes all"))
def gate(seed):
    """sigmoid(fc1(x)) * fc2(x)."""
    net = Net(seed, 5)
    a = net.act(net.dense(0, "fc1", 6), "sigmoid")
    net.dense(net.product(a, net.dense(0, "fc2", 6)), "fc3", 3)
    return net


@case("layer norm", GRADIENT + LRP, ("AttnLRP",))
def layer_norm(seed):
    """nn.LayerNorm between dense layers: its standard deviation is held fixed."""
    net = Net(seed, 5)
    x = net.layer_norm(net.dense(0, "fc1", 6), "norm")
    net.dense(net.act(x, "relu"), "fc2", 3)
    return net


@case("RMS norm, written out", GRADIENT + LRP, ("AttnLRP",))
def rms_norm(seed):
    """x / sqrt(mean(x^2) + eps) * w."""
    net = Net(seed, 5)
    x = net.layer_norm(net.dense(0, "fc1", 6), "norm", centred=False)
    net.dense(net.act(x, "relu"), "fc2", 3)
    return net


def attention(seed):
    """Three projections, attention with two heads, a projection, the mean over tokens by a dense layer."""
    net = Net(seed, 3, 4)
    q, k, v = (net.dense(0, name, 4) for name in ("q", "k", "v"))
    x = net.dense(net.attend(q, k, v, 2), "out", 4)
    net.dense(net.flatten(x), "fc", 3)
    return net


ATTENTION = GRADIENT + LRP


@case("nn.MultiheadAttention", ATTENTION, ("AttnLRP", "CP-LRP"))
def attention_module(seed):
    """nn.MultiheadAttention, whose out_proj is never called as a module."""
    return attention(seed)


@case("scaled_dot_product_attention", ATTENTION, ("AttnLRP", "CP-LRP"))
def attention_sdpa(seed):
    """Linear modules for q, k, v and out around torch's fused attention."""
    return attention(seed)


@case("attention, written out", ATTENTION, ("AttnLRP", "CP-LRP"))
def attention_written_out(seed):
    """The same with matmul and softmax."""
    return attention(seed)


@case("a transformer block", ATTENTION, ("AttnLRP", "CP-LRP"))
def block(seed):
    """x + attention(norm(x)), then x + mlp(norm(x)) with GELU."""
    net = Net(seed, 3, 4)
    n = net.layer_norm(0, "norm1")
    q, k, v = (net.dense(n, name, 4) for name in ("q", "k", "v"))
    x = net.add(0, net.dense(net.attend(q, k, v, 2), "out", 4))
    y = net.act(net.dense(net.layer_norm(x, "norm2"), "up", 6), "gelu")
    x = net.add(x, net.dense(y, "down", 4))
    net.dense(net.flatten(x), "fc", 3)
    return net
