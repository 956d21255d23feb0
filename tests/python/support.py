"""What the tests of the package share."""

import os
import pathlib
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo"
SHARED = ROOT.parent / "shared" / "data"
COMMAND = pathlib.Path(os.environ.get("RULEGRAD_COMMAND", "none"))

import rulegrad as rg  # noqa: E402
from rulegrad import _core  # noqa: E402


def fashion(**options):
    return rg.load(DEMO / "fashion.onnx", **{"labels": DEMO / "labels.txt", "preprocess": "unit", **options})


def fashion_pictures(model):
    return rg.pictures(sorted((DEMO / "pictures").glob("*.png")), model)


def network(text, constants=None, names=()):
    """A model from the printed form of its graph."""
    return rg.Model(_core.parse(text, {key: np.ascontiguousarray(value) for key, value in (constants or {}).items()}, list(names)),
                    {"path": "text", "name": "text", "dtype": "float32"})


def dense_pair(seed=0):
    """Two inputs a [B, 3] and b [B, 2]; outputs y = relu(a W + b V) [B, 4] and z = y U [B, 2, 3]."""
    rng = np.random.default_rng(seed)
    w, v, u = (rng.standard_normal(shape).astype("f") for shape in ((4, 3), (4, 2), (6, 4)))
    text = """%0 = input() {name = "a", shape = shape[B, 3]} : float32[B, 3]
%1 = input() {name = "b", shape = shape[B, 2]} : float32[B, 2]
%2 = constant() {value = @w} : float32[4, 3]
%3 = constant() {value = @v} : float32[4, 2]
%4 = constant() {value = @u} : float32[6, 4]
%5 = constant() {value = float32[](0)} : float32[]
%6 = dense(%0, %2, %5) : float32[B, 4]
%7 = dense(%1, %3, %5) : float32[B, 4]
%8 = add(%6, %7) : float32[B, 4]
%9 = relu(%8) : float32[B, 4]
%10 = dense(%9, %4, %5) : float32[B, 6]
%11 = reshape(%10) {shape = shape[B, 2, 3]} : float32[B, 2, 3]
return %9, %11
"""
    return network(text, {"w": w, "v": v, "u": u}, ["y", "z"]), (w, v, u)


def peak_megabytes():
    """The most memory that this program has held. ru_maxrss would begin with that of the program that started it."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise unittest.SkipTest("the system does not tell the peak of a program's memory")


class Case(unittest.TestCase):
    def close(self, a, b, tolerance=1e-5):
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        self.assertEqual(a.shape, b.shape)
        scale = max(float(np.abs(b).max(initial=0.0)), 1e-30)
        self.assertLessEqual(float(np.abs(a - b).max(initial=0.0)), tolerance * scale)

    def raises(self, kind, words, call, *arguments, **options):
        """`call` raises `kind`, whose text has all the words."""
        with self.assertRaises(kind) as caught:
            call(*arguments, **options)
        for word in words if isinstance(words, (list, tuple)) else [words]:
            self.assertIn(word, str(caught.exception))
        return caught.exception


def shared(name):
    """A file beside the checkout, or a skip."""
    path = SHARED / name
    if not path.exists():
        raise unittest.SkipTest(f"{name} is not there")
    return path
