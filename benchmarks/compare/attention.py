"""Transformers as torch modules with random weights, computed as torch computes them or with the functions of LXT's efficient mode in their place.

What is explained is the embedding: tokens of a sentence, patches of a picture. The sizes are those of BERT-base and ViT-B/16, and of a small encoder.
"""

import torch
from torch import nn
from torch.nn import functional

# Layers, features, heads, tokens; whether norms stand in front of what they feed, as in ViT, or behind each sum, as in BERT.
SIZES = {"encoder": (4, 256, 4, 128, True), "bert_base": (12, 768, 12, 128, False), "vit_b16": (12, 768, 12, 197, True)}


class Plain:
    """What LXT changes, unchanged."""

    @staticmethod
    def norm(module, x):
        return functional.layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps)

    @staticmethod
    def activation(function, x):
        return function(x)

    @staticmethod
    def attention(q, k, v):
        return functional.scaled_dot_product_attention(q, k, v)


class Efficient:
    """AttnLRP by LXT's own functions (Achtibat et al. 2024, arXiv 2402.05602), as its patches of attention in transformers place them: half of each
    product of two values, so that queries and keys get a quarter and values a half."""

    def __init__(self):
        from lxt.efficient import patches, rules

        self.patches, self.rules = patches, rules

    def norm(self, module, x):
        return self.patches.layer_norm_forward(module, x)

    def activation(self, function, x):
        return self.rules.identity_rule_implicit(function, x)

    def attention(self, q, k, v):
        half = self.rules.divide_gradient
        return functional.scaled_dot_product_attention(half(q, 4), half(k, 4), half(v, 2))


class Block(nn.Module):
    def __init__(self, features, heads, norm_first, way):
        super().__init__()
        self.heads, self.norm_first, self.way = heads, norm_first, way
        self.norms = nn.ModuleList([nn.LayerNorm(features), nn.LayerNorm(features)])
        self.project, self.merge = nn.Linear(features, 3 * features), nn.Linear(features, features)
        self.widen, self.narrow = nn.Linear(features, 4 * features), nn.Linear(4 * features, features)

    def attend(self, x):
        batch, tokens, features = x.shape
        parts = [part.view(batch, tokens, self.heads, -1).transpose(1, 2) for part in self.project(x).chunk(3, dim=-1)]
        return self.merge(self.way.attention(*parts).transpose(1, 2).reshape(batch, tokens, features))

    def feed(self, x):
        return self.narrow(self.way.activation(functional.gelu, self.widen(x)))

    def forward(self, x):
        for norm, part in zip(self.norms, (self.attend, self.feed)):
            x = x + part(self.way.norm(norm, x)) if self.norm_first else self.way.norm(norm, x + part(x))
        return x


class Encoder(nn.Module):
    """The first token is what the head reads; pictures are cut into patches of 16 x 16 in front of it."""

    def __init__(self, layers, features, heads, tokens, norm_first, patches, way):
        super().__init__()
        self.way = way
        self.patches = nn.Conv2d(3, features, 16, stride=16) if patches else None
        if patches:
            self.first = nn.Parameter(0.02 * torch.randn(1, 1, features))
            self.places = nn.Parameter(0.02 * torch.randn(1, tokens, features))
        self.blocks = nn.Sequential(*[Block(features, heads, norm_first, way) for _ in range(layers)])
        self.norm = nn.LayerNorm(features)
        self.head = nn.Linear(features, 1000 if patches else 10)

    def forward(self, x):
        if self.patches is not None:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        return self.head(self.way.norm(self.norm, self.blocks(x))[:, 0])


def make(name, efficient=False):
    torch.manual_seed(0)
    network = Encoder(*SIZES[name], patches=name.startswith("vit"), way=Efficient() if efficient else Plain)
    network.requires_grad_(False)
    return network.eval()
