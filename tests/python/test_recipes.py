"""How pictures become inputs, where the model's file or a file beside it says so: read as the command reads it."""

import json
import os
import pickle
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np

from support import DEMO, Case, rg
from rulegrad import _core, _pictures

COMMAND = os.environ.get("RULEGRAD_COMMAND")
PICTURE = DEMO / "pictures" / "sneaker_9.png"


class Recipes(Case):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.file = self.folder / "model.onnx"
        shutil.copy(DEMO / "fashion.onnx", self.file)
        # Larger than the model takes, and no square: how it is cut shows.
        self.large = self.folder / "large.png"
        self.large.write_bytes(_pictures.png(np.random.default_rng(0).integers(0, 256, (40, 56, 1), np.uint8)))

    def beside(self, text):
        (self.folder / "model.onnx.preprocess").write_text(text)

    def with_metadata(self, text):
        _core.save(rg.load(DEMO / "fashion.onnx")._network, str(self.file), [], {"preprocess": text})

    def test_a_file_beside_the_model(self):
        self.beside("unit short_side=32 mean=0.5 std=0.25\nwhat follows is for people\n")
        model = rg.load(self.file)
        self.assertEqual(model.preprocessing, {"name": "unit", "short_side": 32, "mean": [0.5], "std": [0.25]})
        said = rg.pictures(self.large, rg.load(DEMO / "fashion.onnx"), {"name": "unit", "short_side": 32, "mean": [0.5], "std": [0.25]})
        self.close(rg.pictures(self.large, model), said, 0)
        # By its meaning: pixels / 255, minus the mean, by the deviation; of 32 pixels and not 28 other ones are cut.
        plain = rg.pictures(self.large, model, "unit")
        self.assertGreater(np.abs(said - (plain - 0.5) / 0.25).max(), 0.1)
        self.beside("scale=0.00392156862745098 mean=0.5 std=0.25 color=rgb layout=nchw")
        self.close(rg.pictures(self.large, rg.load(self.file)), (plain - 0.5) / 0.25)

    def test_the_models_metadata(self):
        self.with_metadata("unit")
        self.assertEqual(rg.load(self.file).preprocessing, {"name": "unit"})
        self.beside("signed")  # the model knows better
        self.assertEqual(rg.load(self.file).preprocessing, {"name": "unit"})
        # And what the caller says stands above both.
        self.assertEqual(rg.load(self.file, preprocess="imagenet").preprocessing["name"], "imagenet")
        self.assertEqual(pickle.loads(pickle.dumps(rg.load(self.file))).preprocessing, {"name": "unit"})

    def test_streams_and_explanations_take_it(self):
        self.beside("unit")
        model, said = rg.load(self.file), rg.load(DEMO / "fashion.onnx", preprocess="unit")
        done = model.explainer("gradient").map([PICTURE], self.folder / "maps")
        self.close(np.asarray(done.load()), said.explain(rg.pictures(PICTURE, said), "gradient").attribution, 0)
        self.assertEqual(done.manifest["preprocessing"]["scale"], 1 / 255)

    def test_nobody_has_said_it(self):
        for text in (None, "", "  \nunit\n"):
            if text is not None:
                self.beside(text)
            model = rg.load(self.file)
            self.assertEqual(model.preprocessing, {})
            self.raises(rg.errors.ArgumentError, "how does the model want its pictures", rg.pictures, PICTURE, model)
            self.raises(rg.errors.ArgumentError, "how does the model want its pictures", model.explainer("gradient").map, [PICTURE], self.folder / "none")

    def test_what_is_no_recipe(self):
        self.beside("unit gamma=2")
        self.raises(rg.errors.UnknownNameError, ["gamma=2", "short_side"], rg.load, self.file)
        self.beside("unot")
        self.raises(rg.errors.UnknownNameError, ["unot", "imagenet"], rg.load, self.file)
        self.beside("unit mean=much")
        self.raises(rg.errors.ArgumentError, ["mean=much", "numbers"], rg.load, self.file)
        self.beside("unit layout=chw")
        self.raises(rg.errors.UnknownNameError, ["layout=chw", "nchw"], rg.load, self.file)
        self.beside("unit short_side=")
        self.raises(rg.errors.ArgumentError, ["short_side=", "number"], rg.load, self.file)
        self.raises(rg.errors.UnknownNameError, "chw", rg.pictures, PICTURE, rg.load(DEMO / "fashion.onnx"), {"layout": "chw"})
        (self.folder / "model.onnx.preprocess").write_bytes(b"\xff\xfe")
        self.raises(rg.errors.FileError, "model.onnx.preprocess", rg.load, self.file)

    @unittest.skipUnless(COMMAND, "RULEGRAD_COMMAND does not say where the command is")
    def test_the_command_reads_the_same(self):
        for text in ("unit", "unit mean=0.2 std=0.5", "signed short_side=36", "scale=0.01"):
            self.beside(text)
            told = subprocess.run([COMMAND, "predict", str(self.file), "--input", str(self.large), "--top", "10", "--json"], check=True, capture_output=True, text=True)
            scores = {row["index"]: row["score"] for row in json.loads(told.stdout)["samples"][0]["scores"]}
            model = rg.load(self.file)
            found = next(iter(model.predict(rg.pictures(self.large, model)).values()))[0]
            self.close([scores[k] for k in range(10)], found)
        for text in ("scale=", "unit mean=much", "unit layout=chw", "unit gamma=2"):
            self.beside(text)
            refused = subprocess.run([COMMAND, "predict", str(self.file), "--input", str(self.large)], capture_output=True, text=True)
            self.assertEqual(refused.returncode, 2, text)
            self.assertIn(text.partition("unit ")[2].partition("=")[0] or "scale", refused.stderr)


if __name__ == "__main__":
    unittest.main()
