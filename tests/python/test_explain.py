"""Explanations against the command's arrays, plain NumPy and each other."""

import copy
import pickle
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

from support import COMMAND, DEMO, Case, dense_pair, fashion, fashion_pictures, network, rg, shared


class First(Case):
    """The first page: load, explain, look."""

    @classmethod
    def setUpClass(cls):
        cls.model = fashion()
        cls.x = fashion_pictures(cls.model)

    def test_first_page(self):
        e = self.model.explain(self.x, "lrp.epsilon_plus_flat")
        self.assertEqual(e.attribution.shape, self.x.shape)
        self.assertEqual(e.scores.shape, (10, 10))
        self.assertEqual(e.targets.tolist(), e.scores.argmax(axis=1).tolist())
        self.assertEqual(e.attribution.dtype, np.float32)
        self.assertEqual(e.labels[0], "ankle boot")
        self.close(e.target_scores, e.scores.max(axis=1))

    def test_same_bytes_as_the_command(self):
        command = COMMAND
        if not command.exists():
            self.skipTest("the command is not built")
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/x.npy", self.x)
            subprocess.run([command, "analyze", DEMO / "fashion.onnx", "--input", f"{folder}/x.npy", "--method", "lrp.epsilon", "--output", f"{folder}/r.npy"], check=True, capture_output=True)
            self.assertEqual(self.model.explain(self.x, "lrp.epsilon").attribution.tobytes(), np.load(f"{folder}/r.npy").tobytes())

    def test_several_methods_share_a_run(self):
        e = self.model.explain(self.x, ["gradient", "lrp.epsilon:epsilon=0.1", rg.method("lrp.epsilon", epsilon=0.25)])
        self.assertEqual(e.methods, ["gradient", "lrp.epsilon:epsilon=0.1", "lrp.epsilon:epsilon=0.25"])
        self.close(e["gradient"], self.model.explain(self.x, "gradient").attribution)
        self.close(e["lrp.epsilon:epsilon=0.25"], self.model.explain(self.x, "lrp.epsilon:epsilon=0.25").attribution)
        # As it was asked for, however the number is written.
        written = self.model.explain(self.x, ["gradient", "lrp.epsilon:epsilon=1e-9"])
        self.close(written["lrp.epsilon:epsilon=1e-9"], written[1])
        self.raises(rg.errors.ArgumentError, "name one", lambda: e.attribution)
        self.raises(rg.errors.UnknownNameError, "no method 'x'", lambda: e["x"])
        together = self.model.explainer(["gradient", "lrp.epsilon"]).stats()["contractions"]
        apart = sum(self.model.explainer(name).stats()["contractions"] for name in ("gradient", "lrp.epsilon"))
        self.assertLess(together, apart)

    def test_batches_do_not_show(self):
        whole = self.model.explain(self.x, ["gradient", "smoothgrad:n=4"], batch_size=10)
        parts = self.model.explain(self.x, ["gradient", "smoothgrad:n=4"], batch_size=3)
        for method in whole.methods:
            self.close(whole[method], parts[method])

    def test_gradient_is_the_limit_of_differences(self):
        model = rg.load(DEMO / "mlp_tanh.onnx", dtype="float64")
        x = np.load(DEMO / "features.npy")[:2].astype(np.float64)
        e = model.explain(x, "gradient", 0)
        for k in range(x.shape[1]):
            step = np.zeros_like(x)
            step[:, k] = 1e-5
            up, down = (model.explain(x + s, "gradient", 0).target_scores for s in (step, -step))
            self.close(e.attribution[:, k], (up - down) / 2e-5, 1e-4)

    def test_targets(self):
        one = self.model.explain(self.x, "gradient", 3)
        self.assertEqual(one.targets.tolist(), [3] * 10)
        for same in ("dress", np.int64(3), [3] * 10, np.full(10, 3), ["dress"] * 10, np.full((10, 1), 3, np.int32)):
            self.close(self.model.explain(self.x, "gradient", same).attribution, one.attribution)
        each = self.model.explain(self.x, "gradient", range(10))
        self.close(each.attribution[3], one.attribution[3])
        self.raises(rg.errors.ArgumentError, "out of range", self.model.explain, self.x, "gradient", 10)
        self.raises(rg.errors.ArgumentError, "out of range", self.model.explain, self.x, "gradient", -1)
        self.raises(rg.errors.ArgumentError, "integers", self.model.explain, self.x, "gradient", 3.0)
        self.raises(rg.errors.ShapeError, "10 samples", self.model.explain, self.x, "gradient", [1, 2])
        self.raises(rg.errors.UnknownNameError, ["did you mean 'dress'"], self.model.explain, self.x, "gradient", "dres")

    def test_several_targets_of_every_sample(self):
        e = self.model.explain(self.x, ["gradient", "lrp.epsilon"], targets=[3, "bag"])
        self.assertEqual((e["gradient"].shape, e.targets.tolist()), ((10, 2, 1, 28, 28), [[3, 8]] * 10))
        self.close(e["gradient"][:, 1], self.model.explain(self.x, "gradient", 8).attribution)
        self.close(e.of_target(0)["lrp.epsilon"], self.model.explain(self.x, "lrp.epsilon", 3).attribution)
        self.close(e.target_scores, e.scores[:, [3, 8]])
        self.assertEqual(self.model.explain(self.x[:1], "gradient", targets="all")["gradient"].shape, (1, 10, 1, 28, 28))
        self.assertEqual(e.image([0, 1]).shape[2], 3)
        self.raises(rg.errors.ArgumentError, "not both", self.model.explain, self.x, "gradient", 3, targets=[3])
        self.raises(rg.errors.ArgumentError, "out of range", self.model.explain, self.x, "gradient", targets=[3, 10])
        self.raises(rg.errors.ArgumentError, "a list", self.model.explain, self.x, "gradient", targets=3)
        self.raises(rg.errors.ArgumentError, "0 to 1", e.of_target, 2)

    def test_what_attributions_should_add_up_to(self):
        e = self.model.explain(self.x, ["integrated_gradients:steps=256", "gradient"], totals=True)
        row = e.totals[0]
        self.assertEqual((row["method"], row["nodes"]), ("integrated_gradients", ["x"]))
        self.close(row["reached"], e["integrated_gradients"].reshape(10, -1).sum(axis=1))
        self.close(row["reached"], row["expected"], 2e-2)
        self.assertNotIn("gradient", e.totals.column("method"))
        several = self.model.explain(self.x, "integrated_gradients:steps=8", targets=[3, 8], totals=True)
        self.close(several.totals[0]["reached"], several.attribution.reshape(10, 2, -1).sum(axis=2))
        self.close(several.of_target(1).totals[0]["reached"], several.of_target(1).attribution.reshape(10, -1).sum(axis=1))

    def test_results_may_be_written_to(self):
        e = self.model.explain(self.x, "gradient")
        e.attribution[0] = 0
        e.scores += 1
        self.model.predict(self.x)["y"][:] = 0
        self.assertEqual(np.abs(self.model.explain(self.x, "gradient").attribution[0]).max() > 0, True)

    def test_results_are_nobody_elses(self):
        """Outputs that are an input, a weight or each other, and a gradient that is a weight."""
        w, x = np.arange(1, 7, dtype="f").reshape(2, 3), np.ones((4, 3), "f")
        model = network("""%0 = input() {name = "x", shape = shape[B, 3]} : float32[B, 3]
%1 = constant() {value = @w} : float32[2, 3]
%2 = constant() {value = float32[](0)} : float32[]
%3 = dense(%0, %1, %2) : float32[B, 2]
return %3, %0, %0, %1
""", {"w": w}, ["y", "x1", "x2", "w"])
        given = model.predict(x)
        for array in given.values():
            array[:] = 7
        self.assertEqual((x.max(), given["x1"].max(), w.max()), (1, 7, 6))
        given["x1"][:] = 8
        self.assertEqual(given["x2"].max(), 7)
        e = model.explain(x, ["gradient", "gradient"], 1)
        for method in e.methods:
            e[method][:] = 9
        again = model.explain(x, ["gradient", "input_times_gradient"], 1)
        self.close(again["gradient"], np.tile(w[1], (4, 1)))
        self.close(model.predict(x)["y"], x @ w.T)

    def test_functions_name_scores(self):
        difference = self.model.explain(self.x, "gradient", lambda outputs: outputs[:, 3] - 2 * outputs[:, 5])
        three, five = (self.model.explain(self.x, "gradient", k).attribution for k in (3, 5))
        self.close(difference.attribution, three - 2 * five)
        self.close(difference.scores[:, 0], self.model.explain(self.x, "gradient").scores @ np.eye(10)[3] - 2 * self.model.explain(self.x, "gradient").scores[:, 5])
        named = self.model.explain(self.x, "gradient", lambda outputs: outputs["y"][..., 3])
        self.close(named.attribution, three)
        everything = self.model.explain(self.x, "gradient", lambda outputs: outputs[0].sum())
        self.close(everything.attribution, sum(self.model.explain(self.x, "gradient", k).attribution for k in range(10)), 1e-4)
        self.raises(rg.errors.ShapeError, "one number for each sample", self.model.explain, self.x, "gradient", lambda outputs: outputs[:, :3])
        self.raises(rg.errors.ArgumentError, "samples", self.model.explain, self.x, "gradient", lambda outputs: outputs[0][2])
        self.raises(rg.errors.ArgumentError, "float", self.model.explain, self.x, "gradient", lambda outputs: 1.0)

    def test_score_at_a_hidden_neuron(self):
        hidden = self.model.predict(self.x, "dense1")["dense1"]
        e = self.model.explain(self.x, "gradient", 5, output="dense1")
        self.close(e.target_scores, hidden[:, 5])
        conv = self.model.explain(self.x, "gradient", (3, 7, 8), output="conv1")
        self.assertEqual(conv.scores.shape, (10, 16, 28, 28))
        self.assertEqual(conv.targets[0].tolist(), [3, 7, 8])
        # A neuron of the first layer sees 3 x 3 or 5 x 5 pixels and nothing else.
        seen = np.argwhere(conv.attribution[0, 0] != 0)
        self.assertGreater(len(seen), 0)
        self.assertLessEqual(np.abs(seen - [7, 8]).max(), 2)
        self.raises(rg.errors.ArgumentError, "tuple", self.model.explain, self.x, "gradient", 3, output="conv1")
        self.raises(rg.errors.UnknownNameError, "dense1", self.model.explain, self.x, "gradient", 3, output="dense9")

    def test_hidden_layers(self):
        e = self.model.explain(self.x, ["gradient", "lrp.epsilon"], at=["conv2", "x"])
        self.assertEqual(e["gradient", "conv2"].shape, (10, 32, 14, 14))
        self.close(e["lrp.epsilon", "x"], self.model.explain(self.x, "lrp.epsilon").attribution)
        self.raises(rg.errors.ArgumentError, "name one", lambda: e["gradient"])

    def test_seeds(self):
        logits = self.model.explain(self.x, "gradient")
        value = self.model.explain(self.x, "gradient", seed="value")
        self.close(value.attribution, logits.attribution * logits.target_scores[:, None, None, None])
        seed = np.zeros(10)
        seed[3], seed[5] = 1, -2
        both = self.model.explain(self.x, "gradient", seed=seed)
        self.close(both.attribution, self.model.explain(self.x, "gradient", lambda o: o[:, 3] - 2 * o[:, 5]).attribution)
        self.raises(rg.errors.ShapeError, "[10]", self.model.explain, self.x, "gradient", seed=np.zeros(7))
        self.raises(rg.errors.ArgumentError, "seed 'two'", self.model.explain, self.x, "gradient", seed="two")

    def test_baselines(self):
        base = np.full((1, 28, 28), 0.5, np.float32)
        by_array = self.model.explain(self.x, ["integrated_gradients", "gradient"], baseline=base)
        by_number = self.model.explain(self.x, "integrated_gradients:baseline=0.5")
        self.close(by_array["integrated_gradients"], by_number.attribution)
        missed = by_number.attribution.reshape(10, -1).sum(axis=1) - (by_number.target_scores - self.model.explain(np.broadcast_to(base, self.x.shape), "gradient", by_number.targets).target_scores)
        self.assertLess(np.abs(missed).max(), 0.05 * np.abs(by_number.target_scores).max())

    def test_heads_and_precision(self):
        logit = self.model.explain(self.x, "gradient", 3)
        probability = self.model.explain(self.x, "gradient", 3, head="probability")
        self.assertGreater(np.abs(logit.scores.sum(axis=1) - 1).max(), 0.1)
        self.close(probability.scores.sum(axis=1), np.ones(10))
        for precision in ("fast", "automatic"):
            self.close(self.model.explain(self.x, "lrp.epsilon_plus", precision=precision).attribution, self.model.explain(self.x, "lrp.epsilon_plus").attribution, 1e-3)
        narrow = self.model.explain(self.x, "lrp.epsilon_plus", precision="bfloat16").attribution
        self.close(narrow, self.model.explain(self.x, "lrp.epsilon_plus").attribution, 0.03)
        self.raises(rg.errors.UnknownNameError, "precision", self.model.explain, self.x, "gradient", precision="quick")
        self.raises(rg.errors.UnknownNameError, "head", self.model.explain, self.x, "gradient", head="feet")

    def test_threads_give_the_same(self):
        self.close(self.model.explain(self.x, "lrp.epsilon", threads=1).attribution, self.model.explain(self.x, "lrp.epsilon", threads=2).attribution)

    def test_saved_and_pickled(self):
        e = self.model.explain(self.x[:2], ["gradient", "lrp.epsilon"])
        with tempfile.TemporaryDirectory() as folder:
            e.save(f"{folder}/e.npz")
            arrays = np.load(f"{folder}/e.npz")
            self.close(arrays["gradient"], e["gradient"], 0)
            self.close(arrays["scores"], e.scores, 0)
            e.save(f"{folder}/e.png")
            self.assertEqual(Path(folder, "e.png").read_bytes()[:4], b"\x89PNG")
            e.save(f"{folder}/e.json")
            self.raises(rg.errors.ArgumentError, "must end in", e.save, f"{folder}/e.bmp")
        again = pickle.loads(pickle.dumps(self.model.explainer(["gradient"])))
        self.close(again(self.x[:2]).attribution, e["gradient"], 0)
        self.assertEqual(again._model.labels, self.model.labels)
        self.assertEqual(set(e.to_dict()), {"model", "methods", "nodes", "targets", "labels", "scores", "attributions"})

    def test_pictures_of_explanations(self):
        e = self.model.explain(self.x[:2], ["gradient", "lrp.epsilon"])
        pixels = e.image()
        self.assertEqual((pixels.dtype, pixels.ndim, pixels.shape[2]), (np.dtype("uint8"), 3, 3))
        self.assertGreater(len(np.unique(pixels.reshape(-1, 3), axis=0)), 20)
        self.assertEqual(e._repr_png_()[:4], b"\x89PNG")
        self.assertIsNone(e._repr_html_())
        self.raises(rg.errors.ArgumentError, "nothing that a heat map has", e.image, color="red")
        self.raises(rg.errors.ArgumentError, "the explanation has 2", e.image, [2])


class Tables(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = fashion()
        cls.x = fashion_pictures(cls.model)

    def test_predict(self):
        all_of_them = self.model.predict(self.x)["y"]
        self.close(all_of_them.sum(axis=1), np.ones(10))
        self.close(self.model.predict(self.x, batch_size=3)["y"], all_of_them)
        self.assertEqual(self.model.predict(self.x, ["conv1", "y"])["conv1"].shape, (10, 16, 28, 28))
        self.raises(rg.errors.UnknownNameError, "conv1", self.model.predict, self.x, "konv1")
        top = self.model.top(self.x, 2)
        self.assertEqual([row["label"] for row in top if row["rank"] == 1][:3], ["ankle boot", "bag", "coat"])

    def test_rules_that_ran(self):
        table = self.model.explain_rules("lrp.epsilon_plus_flat")
        self.assertEqual(table[0]["node"], "dense2")
        self.assertIn("rules/", table[0]["place"])
        self.assertEqual(set(table.to_dict()) >= {"rows", "rewrites", "notes", "dot"}, True)
        followed = self.model.explain_rules("lrp.epsilon", self.x[:1])
        self.assertAlmostEqual(followed[0]["in"], 1.0, places=5)
        self.assertIn("stabiliser", str(followed))
        self.assertIn("dense1", str(self.model.explain_rules("lrp.epsilon", node="dense1")))
        self.raises(rg.errors.ArgumentError, "x[:1]", self.model.explain_rules, "lrp.epsilon", self.x)
        self.raises(rg.errors.UnknownNameError, "dense1", self.model.explain_rules, "lrp.epsilon", node="dens1")

    def test_diff(self):
        table = self.model.diff("lrp.epsilon", "lrp.epsilon:epsilon=0.1", self.x[:1], 3)
        self.assertTrue(all(row["relative_l1"] >= 0 for row in table))
        self.assertIn("conv1", table.column("node"))
        self.assertGreater(table.about["common"], 0)
        self.assertNotIn("relative_l1", self.model.diff("gradient", "lrp.epsilon").columns)

    def test_evaluate(self):
        table = self.model.evaluate(self.x, ["lrp.epsilon", rg.method("gradient")], randomisation="independent")
        self.assertEqual(table.column("method"), ["lrp.epsilon", "gradient", "random"])
        self.assertGreater(table[0]["aopc"], table[2]["aopc"])
        self.assertEqual(len(table[0]["fractions"]), len(table[0]["most_relevant_first"]))
        self.assertEqual(table.about["randomisation"]["layers"], ["dense2", "dense1", "conv2", "conv1"])
        labelled = self.model.evaluate(self.x, "gradient", labels=np.arange(10) % 10, steps=4)
        self.assertEqual(len(labelled[0]["fractions"]), 5)
        self.raises(rg.errors.ArgumentError, "fill", self.model.evaluate, self.x, "gradient", fill="nothing")

    def test_evaluate_says_what_the_command_says(self):
        command = COMMAND
        if not command.exists():
            self.skipTest("the command is not built")
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/x.npy", self.x)
            subprocess.run([command, "evaluate", DEMO / "fashion.onnx", "--input", f"{folder}/x.npy", "--method", "lrp.epsilon", "--csv", f"{folder}/m.csv"], check=True, capture_output=True)
            lines = [line.split(",") for line in Path(folder, "m.csv").read_text().splitlines()]
        table = self.model.evaluate(self.x, "lrp.epsilon")
        compared = 0
        for method, measure, at, value in lines[1:]:
            if at:
                continue  # a point of a curve
            row = next(row for row in table if row["method"] == method)
            self.assertAlmostEqual(row[measure], float(value), places=4, msg=f"{method} {measure}")
            compared += 1
        self.assertEqual(compared, 14)  # seven measures of two methods

    def test_inspect(self):
        table = rg.inspect(DEMO / "fashion.onnx")
        self.assertEqual({row["operator"] for row in table} >= {"Conv", "Relu"}, True)
        self.assertEqual(self.model.inspect().about["parameters"], table.about["parameters"])
        self.assertEqual(len(self.model.digest()), 16)
        self.assertIn("conv2", self.model.nodes.column("name"))

    def test_tables_in_pandas(self):
        try:
            import pandas
        except ImportError:
            self.raises(rg.errors.MissingFeatureError, "pip install pandas", self.model.top(self.x).to_frame)
            return
        frame = self.model.top(self.x).to_frame()
        self.assertIsInstance(frame, pandas.DataFrame)
        self.assertEqual(len(frame), 50)

    def test_tables_show_themselves(self):
        table = self.model.top(self.x, 1)
        self.assertIn("<table>", table._repr_html_())
        self.assertEqual(len(str(table).splitlines()), 11)
        features = rg.load(DEMO / "mlp.onnx")
        e = features.explain(np.load(DEMO / "features.npy")[:2], "gradient")
        rows = e.to_table(features=[f"f{k}" for k in range(e.attribution.shape[1])])
        self.assertGreater(len(np.unique(features.explain(np.load(DEMO / "features.npy"), ["gradient", "lrp.epsilon"]).image())), 10)
        self.assertEqual(rows[0]["feature"], "f0")
        self.assertAlmostEqual(rows[1]["gradient"], float(e.attribution[0, 1]), places=6)
        self.raises(rg.errors.ShapeError, "feature names", e.to_table, ["a"])
        self.assertIn("f1", e.to_table([f"f{k}" for k in range(e.attribution.shape[1])])._repr_html_())

    def test_patterns(self):
        patterns = self.model.patterns(self.x)
        self.assertEqual(patterns["conv1/pattern"].shape[0], 16)
        e = self.model.explain(self.x, "pattern.net", aux=patterns)
        self.assertEqual(e.attribution.shape, self.x.shape)


class SeveralInputs(Case):
    def setUp(self):
        self.model, (self.w, self.v, self.u) = dense_pair()
        rng = np.random.default_rng(1)
        self.a, self.b = rng.standard_normal((5, 3)).astype("f"), rng.standard_normal((5, 2)).astype("f")

    def test_tuple_and_dict(self):
        e = self.model.explain((self.a, self.b), "gradient", 1, output="y")
        mask = (self.a @ self.w.T + self.b @ self.v.T > 0)[:, 1:2]
        self.close(e["gradient", "a"], mask * self.w[1])
        self.close(e["gradient", "b"], mask * self.v[1])
        by_name = self.model.explain({"b": self.b, "a": self.a}, "gradient", 1, output="y")
        self.close(by_name["gradient", "b"], e["gradient", "b"], 0)

    def test_output_of_rank_three(self):
        hidden = np.maximum(self.a @ self.w.T + self.b @ self.v.T, 0)
        z = (hidden @ self.u.T).reshape(5, 2, 3)
        e = self.model.explain((self.a, self.b), "gradient", (1, 2), output="z")
        self.close(e.scores, z)
        self.assertEqual(e.targets.tolist(), [[1, 2]] * 5)
        self.close(e["gradient", "a"], (hidden > 0) * self.u[5] @ self.w)
        largest = self.model.explain((self.a, self.b), "gradient", output=1)
        self.assertEqual(largest.targets.tolist(), [list(np.unravel_index(row.argmax(), (2, 3))) for row in z])
        each = self.model.explain((self.a, self.b), "gradient", largest.targets, output=1)
        self.close(each["gradient", "a"], largest["gradient", "a"], 0)

    def test_baselines_by_input(self):
        base = np.random.default_rng(2).standard_normal(3).astype("f")
        e = self.model.explain((self.a, self.b), "integrated_gradients", 1, output="y", baseline={"a": base, "b": 0.5}, totals=True)
        # The path from both baselines to both inputs, its 64 midpoints, in plain NumPy.
        slopes = np.zeros((5, 1))
        for t in (np.arange(64) + 0.5) / 64:
            a, b = base + t * (self.a - base), 0.5 + t * (self.b - 0.5)
            slopes += (a.astype(np.float64) @ self.w.T + b @ self.v.T > 0)[:, 1:2] / 64
        self.close(e["integrated_gradients", "a"], slopes * self.w[1] * (self.a - base))
        self.close(e["integrated_gradients", "b"], slopes * self.v[1] * (self.b - 0.5))
        score = lambda a, b: np.maximum(a @ self.w.T + b @ self.v.T, 0)[:, 1]
        self.close(e.totals[0]["expected"], score(self.a, self.b) - score(np.broadcast_to(base, (5, 3)), np.full((5, 2), 0.5)), 1e-4)
        one = self.model.explain((self.a, self.b), "integrated_gradients", 1, output="y", baseline={"b": 0.5})
        other = self.model.explain((self.a, self.b), "integrated_gradients:baseline=0,baseline@b=0.5", 1, output="y")
        self.close(one["integrated_gradients", "a"], other["integrated_gradients", "a"], 0)
        self.assertGreater(np.abs(one["integrated_gradients", "b"] - e["integrated_gradients", "b"]).max(), 1e-3)
        self.raises(rg.errors.UnknownNameError, "no input 'c'", self.model.explain, (self.a, self.b), "integrated_gradients", 1, output="y", baseline={"c": 0})
        self.raises(rg.errors.UnknownNameError, "'speed@a'", self.model.explain, (self.a, self.b), "integrated_gradients:speed@a=1", 1, output="y")

    def test_what_does_not_fit(self):
        self.raises(rg.errors.ArgumentError, "2 inputs ('a', 'b')", self.model.explain, self.a, "gradient")
        self.raises(rg.errors.ArgumentError, "'b' is missing", self.model.explain, {"a": self.a}, "gradient")
        self.raises(rg.errors.UnknownNameError, "no input 'c'", self.model.explain, {"a": self.a, "b": self.b, "c": self.b}, "gradient")
        self.raises(rg.errors.ShapeError, ["'a' 5", "'b' 4"], self.model.explain, (self.a, self.b[:4]), "gradient")
        self.raises(rg.errors.ArgumentError, "output 2", self.model.explain, (self.a, self.b), "gradient", output=2)


class Tokens(Case):
    def test_ids_are_explained_by_what_looks_them_up(self):
        rng = np.random.default_rng(0)
        table, w = rng.standard_normal((7, 4)).astype("f"), rng.standard_normal((3, 20)).astype("f")
        model = network("""%0 = input() {name = "ids", dtype = int64, shape = shape[B, 5]} : int64[B, 5]
%1 = constant() {value = @table} : float32[7, 4]
%2 = gather(%1, %0) : float32[B, 5, 4]
%3 = reshape(%2) {shape = shape[B, 20]} : float32[B, 20]
%4 = constant() {value = @w} : float32[3, 20]
%5 = constant() {value = float32[](0)} : float32[]
%6 = dense(%3, %4, %5) : float32[B, 3]
return %6
""", {"table": table, "w": w})
        ids = rng.integers(0, 7, (2, 5))
        e = model.explain(ids, "input_times_gradient", 1)
        self.close(e.attribution, (table[ids] * w[1].reshape(5, 4)).sum(axis=2))
        self.close(e.token_relevance(), e.attribution, 0)
        several = model.explain(ids, "input_times_gradient", targets=[0, 1])
        self.close(several.token_relevance()[:, 1], e.attribution)
        self.assertEqual(several.token_relevance().shape, (2, 2, 5))
        self.raises(rg.errors.DTypeError, "float64", model.explain, ids + 0.5, "gradient")
        self.assertIn('class="token"', e.report(tokens=[list("abcde"), list("fghij")]))
        # A vocabulary of seven words, or the ids themselves.
        words = ["zero", "one", "two", "three", "four", "five", "six"]
        for shown, names in ((e.report(tokens=words), words), (e.report(), list("0123456")), (e._repr_html_(), list("0123456"))):
            self.assertEqual(re.findall(r'class="token"[^>]*>([^<]*)<', shown), [names[k] for k in ids.reshape(-1)])
        self.assertEqual(re.findall(r'class="token"[^>]*>([^<]*)<', e.report(tokens=list("abcde"))), 2 * list("abcde"))
        self.raises(rg.errors.ShapeError, ["4 tokens", "7", "10 together"], e.report, tokens=list("abcd"))


class Typed(Case):
    def test_pydoc_reads_well(self):
        text = subprocess.run([sys.executable, "-m", "pydoc", "rulegrad"], check=True, capture_output=True, text=True).stdout
        for words in ("rg.load(", "class Explanation", "from_torch(", "def load(path", "Raises FileError"):
            self.assertIn(words, text.replace("load(path: 'str", "def load(path: 'str") if words == "def load(path" else text)

    def test_everything_is_explained(self):
        import inspect

        for name in rg.__all__:
            item = getattr(rg, name)
            if inspect.ismodule(item):
                continue
            self.assertTrue(inspect.getdoc(item), name)
            if inspect.isclass(item):
                for member, value in vars(item).items():
                    if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                        self.assertTrue(inspect.getdoc(value), f"{name}.{member}")


class References(Case):
    def test_zennits_numbers(self):
        folder = shared("nets/lenet")
        model = rg.load(folder / "model.onnx", dtype="float64")
        x = np.load(folder / "x.npy")
        e = model.explain(x, ["gradient", "zennit.epsilon_plus"], 1)
        self.close(e["gradient"], np.load(folder / "gradient.npy"))
        self.close(e["zennit.epsilon_plus"], np.load(folder / "zennit.epsilon_plus.npy"))


if __name__ == "__main__":
    unittest.main()
