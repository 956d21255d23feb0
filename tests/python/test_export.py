"""Explanations as ONNX files: what the files give, read back by rulegrad and, where it is installed, run by onnxruntime."""

import importlib.util
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np

from support import COMMAND, Case, fashion, fashion_pictures, rg

METHODS = ["gradient", "lrp.epsilon_plus_flat", "integrated_gradients:steps=20"]


class Export(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = fashion()
        cls.x = fashion_pictures(cls.model)
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_names_and_values(self):
        file = self.folder / "heat.onnx"
        names = self.model.export(file, METHODS)
        self.assertEqual(names, {"inputs": ["x", "target"], "outputs": ["scores", "gradient", "lrp.epsilon_plus_flat", "integrated_gradients"]})
        targets = np.arange(len(self.x), dtype=np.int64) % 10
        e = self.model.explain(self.x, METHODS, targets.tolist())
        found = rg.load(file).predict({"x": self.x, "target": targets})
        self.close(found["scores"], e.scores)
        for method in names["outputs"][1:]:
            self.close(found[method], e[method])
        self.assertEqual(rg.load(file).labels, self.model.labels)
        about = rg.inspect(file).about["metadata"]
        self.assertEqual(about["rulegrad.methods"], "\n".join(METHODS))
        self.assertEqual(about["rulegrad.model"], self.model.digest())

    def test_explainer(self):
        file = self.folder / "largest.onnx"
        explainer = self.model.explainer("lrp.epsilon", at=["conv2"])
        self.assertEqual(explainer.export_onnx(file, target="largest", seed="value"), {"inputs": ["x"], "outputs": ["scores", "lrp.epsilon"]})
        self.close(rg.load(file).predict(self.x)["lrp.epsilon"], explainer(self.x, seed="value").attribution)

    def test_baseline(self):
        file = self.folder / "baseline.onnx"
        self.model.export(file, "deeplift.rescale", baseline=0.25, target="largest")
        self.close(rg.load(file).predict(self.x)["deeplift.rescale"], self.model.explain(self.x, "deeplift.rescale", baseline=0.25).attribution)

    def test_what_is_refused(self):
        file = self.folder / "never.onnx"
        self.raises(ValueError, "is not given or largest", self.model.export, file, "gradient", target="3")
        self.raises(ValueError, "must end in .onnx", self.model.export, self.folder / "heat.npy", "gradient")
        self.raises(ValueError, "arrays are no part of a file", self.model.export, file, "gradient", seed=np.ones(10))
        self.raises(ValueError, "those from 13 to 23", self.model.export, file, "gradient", opset=7)
        self.raises(ValueError, "only from the folder", self.model.export, file, "gradient", share_weights=True)
        self.raises(KeyError, "gradient", self.model.export, file, "gradeint")
        self.assertFalse(file.exists())

    def test_noise_reads_back_whatever_cuts_the_batch(self):
        file = self.folder / "noise.onnx"
        names = self.model.export(file, ["random", "random:key=5"], target="largest")["outputs"]
        x = np.concatenate([self.x] * 40)[:37]
        e = self.model.explain(x, ["random", "random:key=5"])
        found = rg.load(file).predict(x, batch_size=16)
        for name, method in zip(names[1:], e.methods):
            np.testing.assert_array_equal(found[name], e[method])
        if COMMAND.exists():
            np.save(self.folder / "x.npy", x)
            told = subprocess.run([COMMAND, "predict", file, "--input", self.folder / "x.npy", "--output-node", names[1], "--top", "1", "--batch-size", "5", "--json"], check=True, capture_output=True, text=True)
            largest = [sample["scores"][0]["index"] for sample in json.loads(told.stdout)["samples"]]
            self.assertEqual(largest, e["random"].reshape(37, -1).argmax(axis=1).tolist())

    @unittest.skipUnless(importlib.util.find_spec("onnxruntime"), "onnxruntime is not installed")
    def test_noise_of_another_runtime(self):
        # float32 numbers are those of rulegrad, whose last bits of float64 are lost in rounding.
        import onnxruntime

        file = self.folder / "noise.onnx"
        names = self.model.export(file, ["random", "random:key=5"], target="largest")["outputs"]
        x = np.concatenate([self.x] * 40)[:37]
        e = self.model.explain(x, ["random", "random:key=5"])
        found = dict(zip(names, onnxruntime.InferenceSession(str(file)).run(names, {"x": x})))
        for name, method in zip(names[1:], e.methods):
            self.close(found[name], e[method], 1e-7)
            self.assertLess(np.mean(found[name] != e[method]), 1e-4)

    @unittest.skipUnless(importlib.util.find_spec("onnxruntime"), "onnxruntime is not installed")
    def test_onnxruntime(self):
        import onnxruntime

        file = self.folder / "runtime.onnx"
        names = self.model.export(file, [*METHODS, "smoothgrad:n=20", "vargrad:n=20"])
        for wide in (1, len(self.x)):
            targets = np.full(wide, 3, np.int64)
            found = onnxruntime.InferenceSession(str(file)).run(names["outputs"], {"x": self.x[:wide], "target": targets})
            e = self.model.explain(self.x[:wide], [*METHODS, "smoothgrad:n=20", "vargrad:n=20"], targets.tolist())
            for method, array in zip(names["outputs"][1:], found[1:]):
                self.close(array, e[method])

    @unittest.skipUnless(importlib.util.find_spec("onnxruntime"), "onnxruntime is not installed")
    def test_shared_weights(self):
        import onnxruntime

        # A dense layer of more than 1 MB, in the model's own file and beside it.
        from rulegrad import _core

        rng = np.random.default_rng(1)
        text = """%0 = input() {name = "x", shape = shape[B, 512]} : float32[B, 512]
%1 = constant() {value = @w} : float32[600, 512]
%2 = constant() {value = @v} : float32[3, 600]
%3 = constant() {value = float32[](0)} : float32[]
%4 = dense(%0, %1, %3) : float32[B, 600]
%5 = relu(%4) : float32[B, 600]
%6 = dense(%5, %2, %3) : float32[B, 3]
return %6
"""
        weights = {"w": rng.standard_normal((600, 512)).astype("f"), "v": rng.standard_normal((3, 600)).astype("f")}
        _core.save(_core.parse(text, weights, ["y"]), str(self.folder / "wide.onnx"), [], {})
        model = rg.load(self.folder / "wide.onnx")
        file = self.folder / "wide_heat.onnx"
        model.export(file, ["gradient", "lrp.epsilon"], share_weights=True)
        self.assertLess(file.stat().st_size, 200_000)
        x = rng.standard_normal((2, 512)).astype("f")
        found = onnxruntime.InferenceSession(str(file)).run(None, {"x": x, "target": np.array([1, 2])})
        e = model.explain(x, ["gradient", "lrp.epsilon"], [1, 2])
        self.close(found[1], e["gradient"])
        self.close(found[2], e["lrp.epsilon"])


if __name__ == "__main__":
    unittest.main()
