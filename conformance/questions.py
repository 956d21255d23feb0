"""The cases of layers and activations: what each tries, its network, and what is asked of it."""
from constructs import GRADIENT, LIFT, LRP, MASKS, PATH, PLUS, case
from networks import Net


def mlp(seed, act, form="", bias=True):
    net = Net(seed, 5)
    x = net.act(net.dense(0, "fc1", 6, bias), act, form)
    x = net.act(net.dense(x, "fc2", 6, bias), act, form)
    net.dense(x, "fc3", 3, bias)
    return net


@case("modules in a row", GRADIENT + MASKS + LRP + PLUS + LIFT + PATH)
def dense(seed):
    """Linear, ReLU, Linear, ReLU, Linear, every one a module of its own, without biases."""
    return mlp(seed, "relu", bias=False)


@case("biases", GRADIENT + MASKS + LRP + LIFT + PATH)
def biases(seed):
    """The same with biases, which take their share under LRP."""
    return mlp(seed, "relu")


@case("large epsilon", [("lrp.epsilon", {"epsilon": 0.25})])
def large_epsilon(seed):
    """The stabiliser raises the size of a pre-activation, whatever its sign."""
    return mlp(seed, "relu")


@case("convolutions and max-pooling", GRADIENT + MASKS + LRP + PLUS)
def convolutions(seed):
    """Padding, a ReLU each, max-pooling 2x2, a dense layer."""
    net = Net(seed, 2, 4, 4)
    x = net.act(net.conv(0, "conv1", 3, 3, pad=1, bias=False), "relu")
    x = net.maximum(x, 2, 2)
    x = net.act(net.conv(x, "conv2", 4, 2, bias=False), "relu")
    net.dense(net.flatten(x), "fc", 3, bias=False)
    return net


@case("nn.Flatten", GRADIENT + LRP + PLUS)
def flatten_module(seed):
    """A module that only moves numbers."""
    net = Net(seed, 2, 4, 4)
    x = net.act(net.conv(0, "conv1", 3, 3, bias=False), "relu")
    net.dense(net.flatten(x), "fc", 3, bias=False)
    return net


@case("stride, dilation, groups", GRADIENT + LRP)
def strange_convolutions(seed):
    """A dilated convolution, a grouped one with stride 2, a transposed one."""
    net = Net(seed, 2, 6, 6)
    x = net.act(net.conv(0, "conv1", 4, 2, dilation=2), "relu")
    x = net.act(net.conv(x, "conv2", 4, 2, stride=2, groups=2), "relu")
    x = net.act(net.conv(x, "conv3", 2, 3, stride=2, transposed=True), "relu")
    net.dense(net.flatten(x), "fc", 3)
    return net


@case("input of both signs under z+", PLUS)
def signed_input(seed):
    """What speaks for a unit is x w > 0, also where x and w are negative."""
    net = Net(seed, 5)
    x = net.act(net.dense(0, "fc1", 6, bias=False), "relu")
    net.dense(x, "fc2", 3, bias=False)
    return net


@case("functional ReLU", GRADIENT + MASKS + LRP + PLUS + LIFT)
def functional_relu(seed):
    """torch.relu in forward instead of a module."""
    return mlp(seed, "relu", bias=False)


@case("ReLU as clamp(min=0)", GRADIENT + MASKS + LIFT)
def clamped_relu(seed):
    """x.clamp(min=0)."""
    return mlp(seed, "relu")


@case("ReLU in place", GRADIENT + MASKS + LRP + LIFT)
def inplace_relu(seed):
    """nn.ReLU(inplace=True)."""
    return mlp(seed, "relu")


@case("one ReLU module used twice", GRADIENT + MASKS + LRP + LIFT)
def reused_relu(seed):
    """The same nn.ReLU behind two layers."""
    return mlp(seed, "relu")


@case("one linear module used twice", GRADIENT + LRP + PLUS + LIFT)
def reused_linear(seed):
    """fc(relu(fc(x))): the same module and its weights at two places."""
    net = Net(seed, 5)
    x = net.act(net.dense(0, "fc1", 5, bias=False), "relu")
    x = net.act(net.dense(x, "again", 5, bias=False, share="fc1"), "relu")
    net.dense(x, "fc2", 3, bias=False)
    return net


@case("two modules that share a weight", GRADIENT + LRP + PLUS)
def shared_weight(seed):
    """Two nn.Linear with one Parameter."""
    return reused_linear(seed)


@case("weight without a module", GRADIENT + LRP + PLUS + LIFT)
def functional_linear(seed):
    """torch.nn.functional.linear with parameters of the network's own."""
    return mlp(seed, "relu", bias=False)


@case("x @ W + b", GRADIENT + LRP)
def matmul_weight(seed):
    """A dense layer from a matrix product and a sum with a Parameter."""
    return mlp(seed, "relu")


@case("x + f(x)", GRADIENT + MASKS + LRP + LIFT)
def residual(seed):
    """A residual connection by the operator +."""
    net = Net(seed, 5)
    x = net.act(net.dense(0, "fc1", 5), "relu")
    y = net.act(net.dense(x, "fc2", 5), "relu")
    net.dense(net.add(x, y), "fc3", 3)
    return net


@case("f(x) - g(x)", GRADIENT + LRP + LIFT)
def difference(seed):
    """A difference of two branches."""
    net = Net(seed, 5)
    a = net.act(net.dense(0, "fc1", 4), "relu")
    b = net.act(net.dense(0, "fc2", 4), "relu")
    net.dense(net.add(a, b, -1.0), "fc3", 3)
    return net


@case("concat", GRADIENT + MASKS + LRP + PLUS + LIFT)
def concatenation(seed):
    """torch.cat of two branches."""
    net = Net(seed, 5)
    a = net.act(net.dense(0, "fc1", 4, bias=False), "relu")
    b = net.act(net.dense(a, "fc2", 4, bias=False), "relu")
    net.dense(net.concat(a, b), "fc3", 3, bias=False)
    return net


@case("a constant factor between layers", GRADIENT + LRP)
def factor(seed):
    """relu(fc1(x)) * 2.5: relevance is not multiplied."""
    net = Net(seed, 5)
    x = net.scale(net.act(net.dense(0, "fc1", 6), "relu"), 2.5)
    net.dense(x, "fc2", 3)
    return net


@case("normalisation inside the network", GRADIENT + LRP)
def normalised_input(seed):
    """x * 2 - 0.5 in forward: the shift takes its share, as a bias does."""
    net = Net(seed, 5)
    x = net.scale(0, 2.0, -0.5)
    x = net.act(net.dense(x, "fc1", 6), "relu")
    net.dense(x, "fc2", 3)
    return net


@case("batch norm behind a convolution", GRADIENT + MASKS + LRP + LIFT)
def norm_behind(seed):
    """Convolution, batch norm, ReLU."""
    net = Net(seed, 2, 4, 4)
    x = net.act(net.norm(net.conv(0, "conv1", 3, 3), "bn1"), "relu")
    net.dense(net.flatten(x), "fc", 3)
    return net


@case("batch norm before a convolution", GRADIENT + LRP)
def norm_before(seed):
    """conv(bn(x)), where the module of the convolution was made before that of the batch norm."""
    net = Net(seed, 2, 4, 4)
    x = net.act(net.conv(net.norm(0, "bn1"), "conv1", 3, 3), "relu")
    net.dense(net.flatten(x), "fc", 3)
    return net


@case("batch norm and ReLU before a convolution", GRADIENT + LRP)
def norm_relu_before(seed):
    """conv2(relu(bn(conv1(x) + x))), as in ResNets with pre-activation."""
    net = Net(seed, 2, 4, 4)
    x = net.add(net.conv(0, "conv1", 2, 3, pad=1), 0)
    x = net.conv(net.act(net.norm(x, "bn1"), "relu"), "conv2", 3, 3)
    net.dense(net.flatten(net.act(x, "relu")), "fc", 3)
    return net


@case("average pooling", GRADIENT + LRP)
def average_pooling(seed):
    """nn.AvgPool2d."""
    net = Net(seed, 2, 6, 6)
    x = net.average(net.act(net.conv(0, "conv1", 3, 3, pad=1), "relu"), 3)
    net.dense(net.flatten(x), "fc", 3)
    return net


@case("mean over the picture", GRADIENT + LRP)
def global_mean(seed):
    """x.mean((2, 3)) instead of a pooling module: shares by value."""
    net = Net(seed, 2, 5, 5)
    x = net.average(net.act(net.conv(0, "conv1", 3, 3), "relu"), 0)
    net.dense(x, "fc", 3)
    return net


@case("windows that overlap", GRADIENT + LRP)
def overlapping_maxima(seed):
    """Max-pooling 3x3, stride 2, padding 1."""
    net = Net(seed, 2, 5, 5)
    x = net.maximum(net.act(net.conv(0, "conv1", 3, 3, pad=1, low=-4), "relu"), 3, 2, 1)
    net.dense(net.flatten(x), "fc", 3)
    return net


@case("equal maxima", GRADIENT + LRP, ("the first wins", "equal values share"), {"gradient", "lrp.epsilon"}, 0.0)
def equal_maxima(seed):
    """Max-pooling over values that are equal in pairs."""
    net = Net(seed, 1, 4, 4)
    x = net.maximum(0, 2, 2)
    net.dense(net.flatten(x), "fc", 3)
    net.sample = lambda low: [v for row in [net.drawn(2, 1, 24) for _ in range(4)] for v in (row[0], row[0], row[1], row[1])]
    return net


@case("functional max-pooling", GRADIENT + LRP)
def functional_maxima(seed):
    """torch.nn.functional.max_pool2d."""
    net = Net(seed, 2, 6, 6)
    x = net.maximum(net.act(net.conv(0, "conv1", 3, 3), "relu"), 2, 2)
    net.dense(net.flatten(x), "fc", 3)
    return net


@case("linear resize", GRADIENT + LRP)
def linear_resize(seed):
    """nn.Upsample(scale_factor=2, mode="bilinear"): a linear layer without weights of its own, which shares by value."""
    net = Net(seed, 2, 4, 4)
    x = net.resize(net.act(net.conv(0, "conv1", 2, 3), "relu"))
    net.dense(net.flatten(net.act(net.conv(x, "conv2", 3, 2), "relu")), "fc", 3)
    return net


@case("ReLU6", GRADIENT + [("guided_backprop", {})] + LRP + LIFT, ("as min(relu(x), 6)", "its derivative"), {"guided_backprop"})
def relu6(seed):
    """nn.ReLU6, with units beyond 6: LRP passes them, gradients do not."""
    net = Net(seed, 5)
    x = net.act(net.dense(0, "fc1", 6), "relu6")
    net.dense(x, "fc2", 3)
    net.sample = lambda low: net.drawn(5, -256, 256)
    return net


@case("ReLU6 as clamp(0, 6)", GRADIENT + [("guided_backprop", {})] + LRP + LIFT, ("as min(relu(x), 6)", "its derivative"), {"guided_backprop"})
def clamped_relu6(seed):
    """x.clamp(0, 6)."""
    return relu6(seed)


@case("leaky ReLU", GRADIENT + LRP + LIFT)
def leaky_relu(seed):
    """nn.LeakyReLU(0.125)."""
    return mlp(seed, "leaky_relu")


@case("tanh", GRADIENT + LRP + LIFT + PATH)
def tanh(seed):
    """nn.Tanh."""
    return mlp(seed, "tanh")


@case("functional tanh", GRADIENT + LRP + LIFT)
def functional_tanh(seed):
    """torch.tanh in forward."""
    return mlp(seed, "tanh")


@case("sigmoid", GRADIENT + LRP + LIFT)
def sigmoid(seed):
    """nn.Sigmoid."""
    return mlp(seed, "sigmoid")


@case("GELU", GRADIENT + LRP + LIFT)
def gelu(seed):
    """nn.GELU()."""
    return mlp(seed, "gelu")


@case("GELU by tanh", GRADIENT + LRP + LIFT)
def gelu_tanh(seed):
    """nn.GELU(approximate="tanh")."""
    return mlp(seed, "gelu_tanh")


@case("GELU by tanh, written out", GRADIENT + LRP + LIFT)
def gelu_written_out(seed):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as many transformers have it."""
    return mlp(seed, "gelu_tanh", "written out")


@case("SiLU", GRADIENT + LRP + LIFT)
def silu(seed):
    """nn.SiLU()."""
    return mlp(seed, "silu")


@case("x * sigmoid(x)", GRADIENT + LRP + LIFT)
def silu_written_out(seed):
    """SiLU from its parts: one activation, not a product of two values."""
    return mlp(seed, "silu", "written out")
