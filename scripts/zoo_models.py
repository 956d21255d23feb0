"""The models of zoo.py, all of them: importing this fills MODELS."""

import re
import sys

import torch

import zoo_keras  # noqa: F401
import zoo_own  # noqa: F401
import zoo_packages  # noqa: F401
import zoo_pictures  # noqa: F401
import zoo_sklearn  # noqa: F401
import zoo_transformers  # noqa: F401
from zoo_registry import MODELS  # noqa: F401


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
