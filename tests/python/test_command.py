"""The command beside the package: what it prints as JSON is what the schema says, the folders of its streams are those of the package, byte by
byte, and either goes on with the other's; its page is the package's page."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

from support import DEMO, Case, dense_pair, fashion, rg
from rulegrad import _core, stream
from schema_check import matches
from test_report import Checker, found_by_sliders

COMMAND = os.environ.get("RULEGRAD_COMMAND")
SCHEMA = json.loads((Path(rg.__file__).parent / "schema.json").read_text())
FASHION = [str(DEMO / "fashion.onnx"), "--preprocess", "unit", "--labels", str(DEMO / "labels.txt")]


@unittest.skipUnless(COMMAND, "RULEGRAD_COMMAND does not say where the command is")
class Command(Case):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_command(self, *arguments, code=0):
        done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def answer(self, kind, *arguments, code=0):
        found = json.loads(self.run_command(kind, *arguments, "--json", code=code).stdout)
        matches(found, SCHEMA["$defs"][kind], kind)
        return found


class Answers(Command):
    def test_every_answer_is_what_the_schema_says(self):
        picture = str(DEMO / "pictures" / "sneaker_9.png")
        predicted = self.answer("predict", *FASHION, "--input", picture)
        self.assertEqual(predicted["samples"][0]["scores"][0]["name"], "sneaker")
        self.assertEqual(self.answer("inspect", FASHION[0])["refused"], "")
        self.assertIn("gradient", [row["name"] for row in self.answer("methods")])
        bare = self.answer("explain", FASHION[0], "--method", "lrp.epsilon")
        self.assertIsNone(bare["sample"])
        table = fashion().explain_rules("lrp.epsilon", rg.pictures(picture, fashion()))
        flow = self.answer("explain", *FASHION[:3], "--input", picture, "--method", "lrp.epsilon")
        self.assertEqual([(row["node"], row["rule"], row["place"]) for row in flow["steps"]], [(row["node"], row["rule"], row["place"]) for row in table])
        self.close([row["in"] for row in flow["steps"]], [row["in"] for row in table])
        self.assertEqual({row["node"] for row in self.answer("explain", FASHION[0], "--method", "lrp.epsilon", "--node", "conv1")["steps"]}, {"conv1"})
        both = self.answer("diff", *FASHION[:3], "--input", picture, "--method", "lrp.epsilon", "--method", "lrp.gamma")
        self.assertGreater(len(both["differences"]), 0)
        self.assertGreater(both["differences"][0]["relative_l1"], 0)
        labels = self.folder / "labels.npy"
        np.save(labels, np.array([7]))
        self.answer("evaluate", *FASHION[:3], "--input", picture, "--labels", labels, "--method", "gradient")

    def test_check_counts_what_it_finds(self):
        good, bad = self.folder / "good.rules", self.folder / "bad.rules"
        good.write_text("rulegrad 1\nrules r { grad(relu(x), g) => g }\nanalyzer mine { use r default gradient }\n")
        found = self.answer("check", good)
        self.assertEqual((found["errors"], found["sets"], found["analyzers"]), (0, 1, 1))
        bad.write_text("rulegrad 1\nrules r { grad(relo(x), g) => g }\n")
        found = self.answer("check", bad, code=2)
        self.assertEqual(found["errors"], 1)
        self.assertEqual((found["findings"][0]["line"], found["findings"][0]["severity"]), (2, "error"))
        self.assertIn("relu", found["findings"][0]["text"])
        bad.write_text("rulegrad 1\nrules r {\n")
        self.assertGreaterEqual(self.answer("check", bad, code=2)["errors"], 1)


class Streams(Command):
    def contents(self, folder):
        return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.npy"))}

    def test_the_folders_are_the_same(self):
        calls = ["gradient", "lrp.epsilon:epsilon=0.1", "smoothgrad:n=2"]
        options = [part for call in calls for part in ("--method", call)]
        explainer = fashion().explainer(calls)
        data = self.folder / "data"
        shutil.copytree(DEMO / "pictures", data)
        (data / "broken.png").write_bytes(b"no picture")
        mine, theirs = self.folder / "mine", self.folder / "theirs"
        explainer.map(data, mine, shard=4, on_error="skip")
        self.run_command("analyze", *FASHION, "--input", data, *options, "--output", theirs, "--shard", "4", "--on-error", "skip", "--pictures", "0")
        self.assertEqual(self.contents(mine), self.contents(theirs))
        self.assertEqual(len(self.contents(mine)), 3 * 3)
        first, second = (json.loads((folder / "manifest.json").read_text()) for folder in (mine, theirs))
        matches(second, stream.SCHEMA)
        self.assertEqual({**first, "failed": [row["name"] for row in first["failed"]]}, {**second, "failed": [row["name"] for row in second["failed"]]})
        self.assertEqual(len(stream.open(theirs).load("gradient")), 10)
        self.assertEqual(stream.open(theirs)[0]["label"], "ankle boot")

        # Either goes on where the other was ended.
        for folder in (mine, theirs):
            (folder / "manifest.json").unlink()
            (folder / "records" / "000001.json").unlink()
        explainer.map(data, theirs, shard=4, on_error="skip", resume=True)
        self.run_command("analyze", *FASHION, "--input", data, *options, "--output", mine, "--on-error", "skip", "--pictures", "0", "--resume")
        self.assertEqual(self.contents(mine), self.contents(theirs))
        self.assertEqual(json.loads((mine / "manifest.json").read_text())["samples"], first["samples"])
        refused = self.run_command("analyze", *FASHION, "--input", data, *options, "--target", "3", "--output", mine, "--on-error", "skip", "--resume", code=2)
        self.assertIn("another target", refused.stderr)

    def test_targets_and_names(self):
        x = np.random.default_rng(0).random((7, 1, 28, 28), dtype=np.float32)
        np.save(self.folder / "x.npy", x)
        np.save(self.folder / "targets.npy", np.arange(7))
        explainer = fashion().explainer("gradient", at=["conv1", "dense1"])
        for name, target, option in (("index", 3, "3"), ("label", "bag", "bag"), ("each", np.arange(7), self.folder / "targets.npy")):
            mine, theirs = self.folder / f"mine-{name}", self.folder / f"theirs-{name}"
            explainer.map(self.folder / "x.npy", mine, shard=3, target=target)
            self.run_command("analyze", *FASHION, "--input", self.folder / "x.npy", "--method", "gradient", "--at", "conv1", "--at", "dense1", "--target", option, "--output", theirs, "--shard", "3", "--pictures", "0")
            self.assertEqual(self.contents(mine), self.contents(theirs))
            self.assertEqual(json.loads((mine / "manifest.json").read_text()), json.loads((theirs / "manifest.json").read_text()))

    def test_several_inputs_targets_and_zarr(self):
        model, _ = dense_pair()
        file = self.folder / "pair.onnx"
        _core.save(model._network, str(file), [], {})
        model = rg.load(file)
        rng = np.random.default_rng(2)
        arrays = {name: self.folder / f"{name}.npy" for name in ("a", "b")}
        for name, width in (("a", 3), ("b", 2)):
            np.save(arrays[name], rng.standard_normal((7, width)).astype("f"))
        mine, theirs = self.folder / "mine.zarr", self.folder / "theirs.zarr"
        model.explainer(["gradient", "smoothgrad:n=2"]).map(arrays, mine, shard=3, targets="all")
        self.run_command("analyze", file, "--input", f"a={arrays['a']}", "--input", f"b={arrays['b']}", "--method", "gradient", "--method", "smoothgrad:n=2", "--target", "all",
                         "--shard", "3", "--pictures", "0", "--output", theirs)
        first, second = ({str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()} for folder in (mine, theirs))
        self.assertEqual(first, second)
        self.assertEqual(stream.open(theirs).load("smoothgrad", "b")[6].shape, (4, 2))
        by_python = self.folder / "by_python.zarr"
        done = subprocess.run([sys.executable, "-m", "rulegrad", "stream", file, "--input", f"a={arrays['a']}", "-i", f"b={arrays['b']}", "-m", "gradient", "-m", "smoothgrad:n=2", "--target", "all",
                               "--shard", "3", "-o", by_python], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("7 samples in 3 shards, 0 left out", done.stdout)
        self.assertEqual({str(file.relative_to(by_python)): file.read_bytes() for file in sorted(by_python.rglob("*")) if file.is_file()}, first)

    def test_an_ordinary_directory_has_a_manifest_too(self):
        self.run_command("analyze", *FASHION, "--input", DEMO / "pictures" / "sneaker_9.png", "--method", "gradient", "--output", self.folder / "maps")
        manifest = json.loads((self.folder / "maps" / "manifest.json").read_text())
        matches(manifest, stream.SCHEMA)
        self.assertEqual([row["label"] for row in manifest["samples"]], ["sneaker"])
        self.assertEqual(manifest["model"]["digest"], fashion().digest())


class Pages(Command):
    def page(self, *more):
        out = self.folder / "page.html"
        done = self.run_command("report", *FASHION, "--input", DEMO / "pictures" / "sneaker_9.png", "--input", DEMO / "pictures" / "bag_18.png", "--method", "gradient", "--method", "lrp.epsilon", "--output", out, *more)
        self.assertEqual(done.stdout, f"wrote {out}\n")
        return out

    def test_page(self):
        text = self.page().read_text()
        checker = Checker()
        checker.feed(text)
        self.assertEqual((checker.open, checker.fetched), ([], []))
        self.assertNotIn("http", re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", text))
        self.assertEqual((checker.count["canvas"], checker.count["img"], checker.count["section"]), (4, 2, 2))
        for words in ("sneaker_9: sneaker, logit", "rules/lrp.rules", fashion().digest(), rg.__version__, "stabiliser", "<summary>lrp.epsilon, sneaker_9</summary>"):
            self.assertIn(words, text)
        self.assertNotIn("stabiliser", self.page("--no-layers").read_text())
        # The same numbers are drawn as by the package.
        ours = fashion().explain(rg.pictures([DEMO / "pictures" / "sneaker_9.png", DEMO / "pictures" / "bag_18.png"], fashion()), ["gradient", "lrp.epsilon"]).report()
        values = lambda page: re.findall(r'"values": "([^"]+)"', page)
        self.assertEqual(values(text), values(ours))

    def test_tables_and_refusals(self):
        out = self.folder / "page.html"
        names = self.folder / "names.txt"
        names.write_text("".join(f"<f{k}>\n" for k in range(22)))
        self.run_command("report", DEMO / "mlp.onnx", "--input", DEMO / "features.npy", "--features", names, "--method", "lrp.epsilon", "--output", out)
        self.assertIn("&lt;f3&gt;", out.read_text())
        self.assertIn("x.html", self.run_command("report", DEMO / "mlp.onnx", "--input", DEMO / "features.npy", "--method", "gradient", "--output", "x.png", code=2).stderr)

    def test_sliders_move_pixels(self):
        first, wider, again, over = found_by_sliders(self, self.page().read_text())
        self.assertEqual(first, again)
        self.assertEqual(len({first, wider, over}), 3)


if __name__ == "__main__":
    unittest.main()
