"""The networks of the cases, without any tool: what they compute as literal steps (loops.py) and as the nodes of an ONNX graph.

Weights and inputs are multiples of 1/16 drawn by a linear congruential generator, exact in float32 and float64 alike.
"""
import math

import loops


class Net:
    """Steps on flat lists of one sample, and the same as ONNX nodes (op, inputs, output, attributes) on [N, ...]."""

    def __init__(self, seed, *shape):
        self.state, self.shapes, self.steps, self.nodes, self.weights = seed * 2654435761 % 2**32, [shape], [], [], {}
        self.input_shape, self.names, self.constants = shape, ["x"], {}

    # Numbers.

    def number(self):
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return self.state

    def draw(self, name, *shape, low=-16, high=16):
        """Multiples of 1/16 from low/16 to high/16, without 0."""
        data = []
        while len(data) < loops.product(shape):
            value = low + (self.number() >> 8) % (high - low + 1)
            if value != 0:
                data.append(value / 16)
        self.weights[name] = (shape, data)
        return data

    def sample(self, low=-24, high=24):
        return self.drawn(loops.product(self.input_shape), low, high)

    def drawn(self, count, low, high):
        values = []
        while len(values) < count:
            value = low + (self.number() >> 8) % (high - low + 1)
            if value != 0:
                values.append(value / 16)
        return values

    # Nodes.

    def step(self, step, shape):
        self.steps.append(step)
        self.shapes.append(tuple(shape))
        self.names.append(f"v{len(self.steps)}")
        return len(self.steps)

    def node(self, op, inputs, output, **attributes):
        self.nodes.append((op, inputs, output, attributes))
        return output

    def ints(self, *values):
        name = "ints_" + "_".join(str(v).replace("-", "m") for v in values)
        self.constants[name] = ((len(values),), list(values), "int64")
        return name

    def scalar(self, value):
        name = f"number_{len(self.constants)}"
        self.constants[name] = ((), [value], "float32")
        return name

    def between(self):
        return f"t{len(self.nodes)}"

    # Layers.

    def dense(self, x, name, outputs, bias=True, form="gemm", share=None, low=-16):
        """The last axis times a matrix. `share`: another layer's weights."""
        *rest, width = self.shapes[x]
        source = share or name
        if share is None:
            self.draw(f"{name}.weight", outputs, width, low=low)
            if bias:
                self.draw(f"{name}.bias", outputs, low=min(low, -8), high=8)
        weight = self.weights[f"{source}.weight"][1]
        offset = self.weights[f"{source}.bias"][1] if f"{source}.bias" in self.weights else [0.0] * outputs
        rows = [(offset[j], [(t * width + i, weight[j * width + i]) for i in range(width)])
                for t in range(loops.product(rest)) for j in range(outputs)]
        place = self.step(loops.Linear([x], rows, loops.product(rest) * width), (*rest, outputs))
        inputs = [self.names[x], f"{source}.weight"] + ([f"{source}.bias"] if f"{source}.bias" in self.weights else [])
        if not rest and form == "gemm":
            self.node("Gemm", inputs, self.names[place], transB=1)
        else:
            turned = self.node("Transpose", [inputs[1]], self.between(), perm=[1, 0])
            last = len(inputs) == 2
            found = self.node("MatMul", [inputs[0], turned], self.names[place] if last else self.between())
            if not last:
                self.node("Add", [found, inputs[2]], self.names[place])
        return place

    def conv(self, x, name, outputs, kernel, stride=1, pad=0, dilation=1, groups=1, bias=True, transposed=False, low=-16):
        channels, height, width = self.shapes[x]
        inner = channels // groups
        shape = (channels, outputs // groups, kernel, kernel) if transposed else (outputs, inner, kernel, kernel)
        weight = self.draw(f"{name}.weight", *shape, low=low)
        offset = self.draw(f"{name}.bias", outputs, low=-8, high=8) if bias else [0.0] * outputs
        reach = dilation * (kernel - 1) + 1
        if transposed:
            rows_out, columns_out = (height - 1) * stride + reach - 2 * pad, (width - 1) * stride + reach - 2 * pad
        else:
            rows_out, columns_out = (height + 2 * pad - reach) // stride + 1, (width + 2 * pad - reach) // stride + 1
        rows = []
        for o in range(outputs):
            for y in range(rows_out):
                for z in range(columns_out):
                    terms = []
                    for c in range(inner):
                        for u in range(kernel):
                            for v in range(kernel):
                                if transposed:  # output y = i * stride + u * dilation - pad
                                    i, j = y + pad - u * dilation, z + pad - v * dilation
                                    if i % stride or j % stride:
                                        continue
                                    i, j = i // stride, j // stride
                                    w = weight[((c * outputs + o) * kernel + u) * kernel + v]
                                    channel = c
                                else:
                                    i, j = y * stride + u * dilation - pad, z * stride + v * dilation - pad
                                    w = weight[((o * inner + c) * kernel + u) * kernel + v]
                                    channel = o // (outputs // groups) * inner + c
                                if 0 <= i < height and 0 <= j < width:
                                    terms.append(((channel * height + i) * width + j, w))
                    rows.append((offset[o], terms))
        place = self.step(loops.Linear([x], rows, channels * height * width), (outputs, rows_out, columns_out))
        inputs = [self.names[x], f"{name}.weight"] + ([f"{name}.bias"] if bias else [])
        self.node("ConvTranspose" if transposed else "Conv", inputs, self.names[place], kernel_shape=[kernel] * 2, strides=[stride] * 2,
                  pads=[pad] * 4, dilations=[dilation] * 2, group=groups)
        return place

    def norm(self, x, name):
        """Batch normalisation over the first axis of a sample, with its running statistics."""
        channels = self.shapes[x][0]
        gamma, beta = self.draw(f"{name}.weight", channels, low=8, high=24), self.draw(f"{name}.bias", channels)
        mean, variance = self.draw(f"{name}.running_mean", channels, low=-8, high=8), self.draw(f"{name}.running_var", channels, low=8, high=32)
        factor = [g / math.sqrt(v + 1e-5) for g, v in zip(gamma, variance)]
        inner = loops.product(self.shapes[x][1:])
        rows = [(beta[c] - mean[c] * factor[c], [(c * inner + i, factor[c])]) for c in range(channels) for i in range(inner)]
        place = self.step(loops.Linear([x], rows, channels * inner), self.shapes[x])
        self.node("BatchNormalization", [self.names[x]] + [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")],
                  self.names[place], epsilon=1e-5)
        return place

    def scale(self, x, factor, shift=0.0):
        size = loops.product(self.shapes[x])
        place = self.step(loops.Linear([x], [(shift, [(i, factor)]) for i in range(size)], size), self.shapes[x])
        found = self.node("Mul", [self.names[x], self.scalar(factor)], self.between() if shift else self.names[place])
        if shift:
            self.node("Add", [found, self.scalar(shift)], self.names[place])
        return place

    def average(self, x, kernel):
        """`kernel` 0: over all of a channel."""
        channels, height, width = self.shapes[x]
        k = kernel or height
        rows = [(0.0, [((c * height + y * k + u) * width + z * k + v, 1 / k**2) for u in range(k) for v in range(k)])
                for c in range(channels) for y in range(height // k) for z in range(width // k)]
        place = self.step(loops.Linear([x], rows, channels * height * width), (channels, height // k, width // k) if kernel else (channels,))
        if kernel:
            self.node("AveragePool", [self.names[x]], self.names[place], kernel_shape=[k, k], strides=[k, k])
        else:
            self.node("ReduceMean", [self.names[x]], self.names[place], axes=[2, 3], keepdims=0)
        return place

    def maximum(self, x, kernel, stride, pad=0):
        channels, height, width = self.shapes[x]
        out = [(extent + 2 * pad - kernel) // stride + 1 for extent in (height, width)]
        windows = [[(c * height + i) * width + j for i in range(y * stride - pad, y * stride - pad + kernel) if 0 <= i < height
                    for j in range(z * stride - pad, z * stride - pad + kernel) if 0 <= j < width]
                   for c in range(channels) for y in range(out[0]) for z in range(out[1])]
        place = self.step(loops.Maximum([x], windows, channels * height * width), (channels, *out))
        self.node("MaxPool", [self.names[x]], self.names[place], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
        return place

    def resize(self, x):
        """Twice as large, linear between the centres of pixels (align_corners false), the border repeated."""
        channels, height, width = self.shapes[x]

        def places(extent, at):
            position = min(max((at + 0.5) / 2 - 0.5, 0.0), extent - 1.0)
            low = int(position)
            return [(low, 1 - (position - low)), (min(low + 1, extent - 1), position - low)]

        rows = [(0.0, [((c * height + i) * width + j, a * b) for i, a in places(height, y) for j, b in places(width, z) if a * b > 0])
                for c in range(channels) for y in range(2 * height) for z in range(2 * width)]
        place = self.step(loops.Linear([x], rows, channels * height * width), (channels, 2 * height, 2 * width))
        self.constants["scales"] = ((4,), [1.0, 1.0, 2.0, 2.0], "float32")
        self.node("Resize", [self.names[x], "", "scales"], self.names[place], mode="linear", coordinate_transformation_mode="half_pixel")
        return place

    def flatten(self, x):
        """The values stay where they are."""
        size = loops.product(self.shapes[x])
        name = self.node("Reshape", [self.names[x], self.ints(0, -1)], self.between())
        self.shapes[x], self.names[x] = (size,), name
        return x

    def act(self, x, name, form=""):
        """`form` "written out": the activation from its parts."""
        place = self.step(loops.Activation([x], name), self.shapes[x])
        here, there = self.names[x], self.names[place]
        if name == "relu6":
            self.node("Clip", [here, self.scalar(0.0), self.scalar(6.0)], there)
        elif name == "leaky_relu":
            self.node("LeakyRelu", [here], there, alpha=0.125)
        elif name == "silu":
            self.node("Mul", [here, self.node("Sigmoid", [here], self.between())], there)
        elif name == "gelu":
            scaled = self.node("Div", [here, self.scalar(math.sqrt(2))], self.between())
            one = self.node("Add", [self.node("Erf", [scaled], self.between()), self.scalar(1.0)], self.between())
            self.node("Mul", [self.node("Mul", [here, one], self.between()), self.scalar(0.5)], there)
        elif name == "gelu_tanh":
            cubed = self.node("Mul", [self.node("Mul", [self.node("Mul", [here, here], self.between()), here], self.between()), self.scalar(0.044715)],
                              self.between())
            inner = self.node("Mul", [self.node("Add", [here, cubed], self.between()), self.scalar(math.sqrt(2 / math.pi))], self.between())
            one = self.node("Add", [self.node("Tanh", [inner], self.between()), self.scalar(1.0)], self.between())
            self.node("Mul", [self.node("Mul", [here, self.scalar(0.5)], self.between()), one], there)
        else:
            self.node({"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}[name], [here], there)
        return place

    def add(self, a, b, sign=1.0):
        place = self.step(loops.Add([a, b], sign), self.shapes[a])
        self.node("Add" if sign > 0 else "Sub", [self.names[a], self.names[b]], self.names[place])
        return place

    def product(self, a, b):
        place = self.step(loops.Product([a, b]), self.shapes[a])
        self.node("Mul", [self.names[a], self.names[b]], self.names[place])
        return place

    def concat(self, a, b):
        place = self.step(loops.Concat([a, b]), (self.shapes[a][0] + self.shapes[b][0], *self.shapes[a][1:]))
        self.node("Concat", [self.names[a], self.names[b]], self.names[place], axis=1)
        return place

    def layer_norm(self, x, name, centred=True):
        width = self.shapes[x][-1]
        weight = self.draw(f"{name}.weight", width, low=8, high=24)
        bias = self.draw(f"{name}.bias", width, low=-8, high=8) if centred else [0.0] * width
        place = self.step(loops.LayerNorm([x], width, weight, bias, 1e-5, centred), self.shapes[x])
        here, there = self.names[x], self.names[place]
        if centred:
            self.node("LayerNormalization", [here, f"{name}.weight", f"{name}.bias"], there, axis=-1, epsilon=1e-5)
        else:
            square = self.node("Mul", [here, here], self.between())
            mean = self.node("ReduceMean", [square], self.between(), axes=[-1], keepdims=1)
            root = self.node("Sqrt", [self.node("Add", [mean, self.scalar(1e-5)], self.between())], self.between())
            self.node("Mul", [self.node("Div", [here, root], self.between()), f"{name}.weight"], there)
        return place

    def attend(self, q, k, v, heads):
        tokens, width = self.shapes[q]
        place = self.step(loops.Attention([q, k, v], tokens, width, heads), (tokens, width))
        split = self.ints(0, 0, heads, width // heads)
        parts = [self.node("Transpose", [self.node("Reshape", [self.names[part], split], self.between())], self.between(), perm=perm)
                 for part, perm in ((q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3]))]
        scores = self.node("Div", [self.node("MatMul", parts[:2], self.between()), self.scalar(math.sqrt(width // heads))], self.between())
        mixed = self.node("MatMul", [self.node("Softmax", [scores], self.between(), axis=-1), parts[2]], self.between())
        self.node("Reshape", [self.node("Transpose", [mixed], self.between(), perm=[0, 2, 1, 3]), self.ints(0, 0, width)], self.names[place])
        return place
