"""Attributions by literal loops over Python's floats (IEEE float64): no array library, no automatic differentiation.

A network is a list of steps on flat lists of numbers, one sample at a time. Every linear step is written out as its terms: for each output
its bias and a list of (input, weight). What a method does at a step is a loop over these terms that reads like the formula in the paper.

Methods: gradient; guided_backprop (Springenberg et al. 2015, arXiv 1412.6806, section 3.4); deconvnet (Zeiler and Fergus 2014, arXiv
1311.2901, section 2.1); lrp.epsilon (Bach et al. 2015, PLOS ONE 10(7), eq. 58); lrp.z_plus (the same, eq. 60 with alpha 1 and beta 0);
deeplift.rescale (Shrikumar et al. 2017, arXiv 1704.02685, eq. 12); integrated_gradients (Sundararajan et al. 2017, arXiv 1703.01365, eq. 1,
by Gauss-Legendre quadrature). At attention, norms and products LRP follows AttnLRP (Achtibat et al. 2024, arXiv 2402.05602) or CP-LRP
(Ali et al. 2022, arXiv 2202.07304).
"""
import math


def product(extents):
    result = 1
    for extent in extents:
        result *= extent
    return result


def stabilised(z, epsilon):
    return z + epsilon if z >= 0 else z - epsilon


# Activations: the value and the derivative.

def erf_gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def erf_gelu_slope(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2))) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def tanh_gelu(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def tanh_gelu_slope(x):
    t = math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


ACTIVATIONS = {
    "relu": (lambda x: max(x, 0.0), lambda x: 1.0 if x > 0 else 0.0),
    "relu6": (lambda x: min(max(x, 0.0), 6.0), lambda x: 1.0 if 0 < x < 6 else 0.0),
    "leaky_relu": (lambda x: x if x > 0 else 0.125 * x, lambda x: 1.0 if x > 0 else 0.125),
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "gelu": (erf_gelu, erf_gelu_slope),
    "gelu_tanh": (tanh_gelu, tanh_gelu_slope),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
}


class Step:
    """What a step reads: `inputs` are places in the list of values."""

    def __init__(self, inputs):
        self.inputs = inputs

    def forward(self, *xs):
        raise NotImplementedError

    def back(self, run, xs, y, g):
        """What goes back to each input, under the run's method."""
        raise NotImplementedError


class Linear(Step):
    """`rows`: for each output (bias, [(input, weight), ...]). `moves`: the step only moves numbers."""

    def __init__(self, inputs, rows, size):
        super().__init__(inputs)
        self.rows, self.size = rows, size

    def forward(self, x):
        return [bias + sum(weight * x[i] for i, weight in terms) for bias, terms in self.rows]

    def back(self, run, xs, y, g):
        x, result = xs[0], [0.0] * self.size
        for j, (bias, terms) in enumerate(self.rows):
            if run.method == "lrp.epsilon":
                for i, weight in terms:
                    result[i] += x[i] * weight / stabilised(y[j], run.epsilon) * g[j]
            elif run.method == "lrp.z_plus":
                whole = sum(max(x[i] * weight, 0.0) for i, weight in terms)
                for i, weight in terms:
                    result[i] += max(x[i] * weight, 0.0) / whole * g[j] if whole > 0 else 0.0
            else:
                for i, weight in terms:
                    result[i] += weight * g[j]
        if run.method == "lrp.epsilon":
            run.margin = min([run.margin] + [abs(z) for z, r in zip(y, g) if r != 0])
        return [result]


class Activation(Step):
    def __init__(self, inputs, name):
        super().__init__(inputs)
        self.name = name

    def forward(self, x):
        return [ACTIVATIONS[self.name][0](v) for v in x]

    def back(self, run, xs, y, g):
        x, slope = xs[0], ACTIVATIONS[self.name][1]
        if self.name in ("relu", "relu6"):
            run.margin = min([run.margin] + [abs(v) for v in x] + ([abs(v - 6) for v in x] if self.name == "relu6" else []))
        if run.method.startswith("lrp"):
            return [list(g)]
        if run.method == "guided_backprop" and (self.name == "relu" or (self.name == "relu6" and run.convention != "its derivative")):
            return [[max(r, 0.0) * slope(v) for r, v in zip(g, x)]]
        if run.method == "deconvnet" and self.name == "relu":
            return [[max(r, 0.0) for r in g]]
        if run.method == "deeplift.rescale":
            base = run.baseline_values[self.inputs[0]]
            f = ACTIVATIONS[self.name][0]
            return [[r * ((f(v) - f(b)) / (v - b) if v != b else slope(v)) for r, v, b in zip(g, x, base)]]
        return [[r * slope(v) for r, v in zip(g, x)]]


class Add(Step):
    """The sum of two values, or the difference."""

    def __init__(self, inputs, sign=1.0):
        super().__init__(inputs)
        self.sign = sign

    def forward(self, a, b):
        return [u + self.sign * v for u, v in zip(a, b)]

    def back(self, run, xs, y, g):
        if run.method == "lrp.epsilon":
            run.margin = min([run.margin] + [abs(z) for z in y])
            return [[s * u / stabilised(z, run.epsilon) * r for u, z, r in zip(x, y, g)] for x, s in zip(xs, (1.0, self.sign))]
        return [list(g), [self.sign * r for r in g]]


class Product(Step):
    """Of two values that both depend on the input. LRP: half to each, or all to the second, which is the signal."""

    def forward(self, a, b):
        return [u * v for u, v in zip(a, b)]

    def back(self, run, xs, y, g):
        a, b = xs
        if run.method == "lrp.epsilon":
            return [[0.0] * len(g), list(g)] if run.convention == "signal takes all" else [[r / 2 for r in g], [r / 2 for r in g]]
        return [[r * v for r, v in zip(g, b)], [r * u for r, u in zip(g, a)]]


class Concat(Step):
    def forward(self, a, b):
        return a + b

    def back(self, run, xs, y, g):
        return [g[:len(xs[0])], g[len(xs[0]):]]


class Maximum(Step):
    """`windows`: the inputs of each output in row-major order; the first of equal values wins, or they share."""

    def __init__(self, inputs, windows, size):
        super().__init__(inputs)
        self.windows, self.size = windows, size

    def forward(self, x):
        return [max(x[i] for i in window) for window in self.windows]

    def back(self, run, xs, y, g):
        x, result = xs[0], [0.0] * self.size
        for j, window in enumerate(self.windows):
            winners = [i for i in window if x[i] == y[j]]
            others = [y[j] - x[i] for i in window if x[i] != y[j]]
            run.margin = min([run.margin] + others)
            if run.convention == "equal values share":
                for i in winners:
                    result[i] += g[j] / len(winners)
            else:
                result[winners[0]] += g[j]
        return [result]


class LayerNorm(Step):
    """(x - mean) / std * weight + bias over each row; `centred` False: x / rms * weight. LRP holds std fixed."""

    def __init__(self, inputs, width, weight, bias, epsilon, centred=True):
        super().__init__(inputs)
        self.width, self.weight, self.bias, self.epsilon, self.centred = width, weight, bias, epsilon, centred

    def parts(self, row):
        mean = sum(row) / self.width if self.centred else 0.0
        d = [v - mean for v in row]
        return d, math.sqrt(sum(v * v for v in d) / self.width + self.epsilon)

    def forward(self, x):
        y = []
        for start in range(0, len(x), self.width):
            d, std = self.parts(x[start:start + self.width])
            y += [v / std * w + b for v, w, b in zip(d, self.weight, self.bias)]
        return y

    def back(self, run, xs, y, g):
        result = []
        for start in range(0, len(y), self.width):
            x, out, r = (values[start:start + self.width] for values in (xs[0], y, g))
            d, std = self.parts(x)
            if run.method == "lrp.epsilon":
                run.margin = min([run.margin] + [abs(z) for z in out])
                q = [w * s / stabilised(z, run.epsilon) / std for w, s, z in zip(self.weight, r, out)]
                mean = sum(q) / self.width if self.centred else 0.0
                result += [v * (s - mean) for v, s in zip(x, q)]
            else:
                q = [w * s / std for w, s in zip(self.weight, r)]
                mean = sum(q) / self.width if self.centred else 0.0
                along = sum(s * v for s, v in zip(q, d)) / self.width / std**2
                result += [s - mean - v * along for s, v in zip(q, d)]
        return [result]


class Attention(Step):
    """softmax(q k' / sqrt(d)) v for each head; q, k, v are [tokens, width] row by row.

    AttnLRP in gradient form: R = x g, where products send half of the gradient to each factor and softmax keeps its own derivative.
    CP-LRP: the attention weights are constants.
    """

    def __init__(self, inputs, tokens, width, heads):
        super().__init__(inputs)
        self.tokens, self.width, self.heads = tokens, width, heads

    def weights(self, q, k, head):
        d = self.width // self.heads
        rows = []
        for t in range(self.tokens):
            scores = [sum(q[t * self.width + head * d + c] * k[s * self.width + head * d + c] for c in range(d)) / math.sqrt(d)
                      for s in range(self.tokens)]
            top = max(scores)
            powers = [math.exp(v - top) for v in scores]
            rows.append([p / sum(powers) for p in powers])
        return rows

    def forward(self, q, k, v):
        d, y = self.width // self.heads, [0.0] * (self.tokens * self.width)
        for head in range(self.heads):
            p = self.weights(q, k, head)
            for t in range(self.tokens):
                for c in range(d):
                    y[t * self.width + head * d + c] = sum(p[t][s] * v[s * self.width + head * d + c] for s in range(self.tokens))
        return y

    def back(self, run, xs, y, g):
        q, k, v = xs
        d = self.width // self.heads
        lrp = run.method == "lrp.epsilon"
        if lrp:
            run.margin = min([run.margin] + [abs(z) for z in y])
            g = [r / stabilised(z, run.epsilon) for r, z in zip(g, y)]
        half = 0.5 if lrp and run.convention != "CP-LRP" else 1.0
        gq, gk, gv = ([0.0] * len(q) for _ in range(3))
        for head in range(self.heads):
            p = self.weights(q, k, head)
            for t in range(self.tokens):
                at = t * self.width + head * d
                gp = [0.0] * self.tokens
                for s in range(self.tokens):
                    for c in range(d):
                        there = s * self.width + head * d + c
                        gv[there] += half * p[t][s] * g[at + c]
                        gp[s] += half * g[at + c] * v[there]
                if lrp and run.convention == "CP-LRP":
                    continue
                mean = sum(p[t][s] * gp[s] for s in range(self.tokens))
                for s in range(self.tokens):
                    score = p[t][s] * (gp[s] - mean) / math.sqrt(d) * half
                    for c in range(d):
                        there = s * self.width + head * d + c
                        gq[at + c] += score * k[there]
                        gk[there] += score * q[at + c]
        if lrp:
            return [[u * s for u, s in zip(x, back)] for x, back in zip(xs, (gq, gk, gv))]
        return [gq, gk, gv]


class Run:
    """One question about one sample; `margin` is how near to a kink or a division by nothing it came."""

    def __init__(self, method, parameters, convention=""):
        self.method, self.convention = method, convention
        self.epsilon = parameters.get("epsilon", 0.0)
        self.steps_of_path = parameters.get("steps", 1)
        self.margin = math.inf


def values_of(steps, x):
    values = [x]
    for step in steps:
        values.append(step.forward(*[values[i] for i in step.inputs]))
    return values


def reverse(steps, values, run, target, seed):
    back = [None] * len(values)
    back[-1] = [seed if j == target else 0.0 for j in range(len(values[-1]))]
    for place in range(len(steps), 0, -1):
        step = steps[place - 1]
        if back[place] is None:
            continue
        for i, part in zip(step.inputs, step.back(run, [values[i] for i in step.inputs], values[place], back[place])):
            back[i] = part if back[i] is None else [a + b for a, b in zip(back[i], part)]
    return back[0]


def legendre(count):
    """Points and weights of Gauss-Legendre quadrature on [0, 1], by Newton's method from Chebyshev's points."""
    found = []
    for k in range(count):
        x = math.cos(math.pi * (k + 0.75) / (count + 0.5))
        for _ in range(100):
            before, now = 1.0, x
            for n in range(2, count + 1):
                before, now = now, ((2 * n - 1) * x * now - (n - 1) * before) / n
            slope = count * (x * now - before) / (x * x - 1)
            x, moved = x - now / slope, abs(now / slope)
            if moved < 1e-16:
                break
        found.append(((1 - x) / 2, 1 / ((1 - x * x) * slope * slope)))
    return found


def attribution(steps, x, target, run, seed):
    """`seed`: "value" sends the score's value back, "one" sends 1."""
    values = values_of(steps, x)
    if run.method == "integrated_gradients":
        mean = [0.0] * len(x)
        for point, weight in legendre(run.steps_of_path):
            there = values_of(steps, [point * v for v in x])
            mean = [m + weight * g for m, g in zip(mean, reverse(steps, there, run, target, 1.0))]
        # A path crosses kinks; only a point right on one would matter.
        run.margin = math.inf if run.margin > 1e-9 else 0.0
        return [v * m for v, m in zip(x, mean)]
    if run.method == "deeplift.rescale":
        run.baseline_values = values_of(steps, [0.0] * len(x))
        return [v * m for v, m in zip(x, reverse(steps, values, run, target, 1.0))]
    return reverse(steps, values, run, target, values[-1][target] if seed == "value" else 1.0)
