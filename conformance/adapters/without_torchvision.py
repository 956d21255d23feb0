"""Zennit and LXT ask torchvision for classes of models that no case has. Where it is not installed, or was built for another torch, empty
ones stand in; import this before them."""
import importlib.machinery
import sys
import types

import torch

try:
    import torchvision  # noqa: F401
except Exception:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name, classes in {"torchvision": (), "torchvision.models": (), "torchvision.models.resnet": ("Bottleneck", "BasicBlock"),
                          "torchvision.models.vgg": ("VGG",), "torchvision.models.vision_transformer": ("VisionTransformer",)}.items():
        module = sys.modules[name] = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        for word in classes:
            setattr(module, word, type(word, (torch.nn.Module,), {}))
