"""The networks that are compared, as torch modules with random weights.

Every activation, pooling and sum is a module of its own, so that tools which hang hooks on modules see each of them. Batch norms
are left out: a network at inference has them merged into its convolutions, as the ONNX exporter and Zennit's canonizer do.
"""

import numpy
import torch
from torch import nn

import attention
from cases import INPUTS, TRANSFORMERS


class Add(nn.Module):
    """The sum of stacked operands along the last axis, with the interface of zennit.layer.Sum."""

    def forward(self, stacked):
        return torch.sum(stacked, dim=-1)


class Residual(nn.Module):
    def __init__(self, body, shortcut, add, activation):
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut, activation
        self.sum = add() if add is not None else None

    def forward(self, x):
        x, y = self.shortcut(x), self.body(x)
        if self.sum is None:
            return self.activation(y + x)
        return self.activation(self.sum(torch.stack([y, x], dim=-1)))


class Fire(nn.Module):
    """Iandola et al. 2016, arXiv 1602.07360, figure 2."""

    def __init__(self, inputs, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(inputs, squeezed, 1), nn.ReLU())
        self.one = nn.Sequential(nn.Conv2d(squeezed, expanded, 1), nn.ReLU())
        self.three = nn.Sequential(nn.Conv2d(squeezed, expanded, 3, padding=1), nn.ReLU())

    def forward(self, x):
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], dim=1)


def mlp(_add):
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def lenet(_add):
    """LeCun et al. 1998, with ReLUs and max-pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def vgg16(_add):
    """Simonyan and Zisserman 2014, arXiv 1409.1556, configuration D."""
    layers, channels = [], 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000))


def resnet50(add):
    """He et al. 2015, arXiv 1512.03385, table 1; strides in the 3x3 convolutions."""
    layers = [nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            body = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU(), nn.Conv2d(width, width, 3, stride=step, padding=1), nn.ReLU(),
                                 nn.Conv2d(width, 4 * width, 1))
            shortcut = nn.Conv2d(channels, 4 * width, 1, stride=step) if block == 0 else nn.Identity()
            layers.append(Residual(body, shortcut, add, nn.ReLU()))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AvgPool2d(7), nn.Flatten(), nn.Linear(2048, 1000))


def mobilenetv2(add):
    """Sandler et al. 2018, arXiv 1801.04381, table 2."""
    layers = [nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU6()]
    channels = 32
    for expansion, width, blocks, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(blocks):
            step, inner = stride if block == 0 else 1, channels * expansion
            body = [] if expansion == 1 else [nn.Conv2d(channels, inner, 1), nn.ReLU6()]
            body += [nn.Conv2d(inner, inner, 3, stride=step, padding=1, groups=inner), nn.ReLU6(), nn.Conv2d(inner, width, 1)]
            same = step == 1 and channels == width
            layers.append(Residual(nn.Sequential(*body), nn.Identity(), add, nn.Identity()) if same else nn.Sequential(*body))
            channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, 1280, 1), nn.ReLU6(), nn.AvgPool2d(7), nn.Flatten(), nn.Linear(1280, 1000))


def squeezenet(_add):
    """Version 1.1 of SqueezeNet."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, stride=2),
        Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, stride=2),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        nn.Conv2d(512, 1000, 1), nn.ReLU(), nn.AvgPool2d(13), nn.Flatten())


def make(name, add=None):
    """The network with its weights, which depend on the name alone. `add` is the class of sums; none: an ordinary addition."""
    if name in TRANSFORMERS:
        return attention.make(name)
    torch.manual_seed(0)
    network = globals()[name](add)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.normal_(module.bias, std=0.05)
    # The last convolution of each block is damped, or the sums would grow from block to block.
    for module in network.modules():
        if isinstance(module, Residual):
            last = [layer for layer in module.body if isinstance(layer, nn.Conv2d)][-1]
            last.weight.data *= 0.3
    network.requires_grad_(False)
    return network.eval()


def export(name, path):
    example = torch.zeros(1, *INPUTS[name])
    torch.onnx.export(make(name), example, path, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
                      opset_version=17 if name in TRANSFORMERS else 13, dynamo=False)


def save_layers(name, path):
    """The layers of a network that has one after the other, for tools that do not read torch: a line each, and weights `w3`, `b3`."""
    lines, arrays = [], {}
    for number, layer in enumerate(make(name)):
        if isinstance(layer, nn.Conv2d):
            lines.append(f"conv {layer.padding[0]}")
        elif isinstance(layer, nn.MaxPool2d):
            lines.append(f"max_pool {layer.kernel_size}")
        else:
            lines.append({nn.ReLU: "relu", nn.Flatten: "flatten", nn.Linear: "dense"}[type(layer)])
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            arrays[f"w{number}"], arrays[f"b{number}"] = layer.weight.numpy(), layer.bias.numpy()
    numpy.savez(path, lines=numpy.array(lines), **arrays)
