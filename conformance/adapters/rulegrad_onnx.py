"""rulegrad, asked through its package for Python, with the ONNX file of the case."""
import os
import pathlib
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import rulegrad as rg  # noqa: E402
from adapter import NotOffered, serve  # noqa: E402

METHODS = {
    "gradient": "gradient",
    "guided_backprop": "guided_backprop",
    "deconvnet": "deconvnet",
    "lrp.epsilon": "lrp.epsilon:epsilon={epsilon}",
    "lrp.z_plus": "lrp.z_plus:epsilon=1e-12",
    "deeplift.rescale": "deeplift.rescale",
    "integrated_gradients": "integrated_gradients:steps={steps},rule=gauss_legendre",
}


def load(case):
    return rg.load(os.path.join(case["folder"], case["network"]["onnx"]), dtype="float64")


def asker(load):
    models = {}

    def ask(case, question):
        if question["method"] not in METHODS:
            raise NotOffered(f"no method {question['method']}")
        x = numpy.array(case["input"]["data"]).reshape(case["input"]["shape"])
        if case["name"] not in models:
            models.clear()
            models[case["name"]] = load(case)
        found = models[case["name"]].explain(x, METHODS[question["method"]].format(**question["parameters"]), case["targets"],
                              seed=None if question["seed"] == "one" else question["seed"])
        return found.attribution.ravel()
    return ask


if __name__ == "__main__":
    serve("rulegrad, ONNX", {"rulegrad": rg.__version__}, asker(load))
