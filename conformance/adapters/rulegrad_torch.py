"""rulegrad, with what torch.onnx.export makes of the network of the case."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import rulegrad as rg  # noqa: E402
import torch  # noqa: E402
from adapter import serve  # noqa: E402
from adapters.rulegrad_onnx import asker  # noqa: E402
from torch_networks import input_of, network_of  # noqa: E402


def load(case):
    return rg.from_torch(network_of(case), input_of(case))


if __name__ == "__main__":
    serve("rulegrad, from_torch", {"rulegrad": rg.__version__, "torch": torch.__version__}, asker(load))
