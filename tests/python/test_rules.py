"""Rules of one's own: as text, as files, checked with the words of the command."""

import pickle
import tempfile
import unittest
from pathlib import Path

import numpy as np

from support import DEMO, Case, fashion, fashion_pictures, rg

TANH = """rulegrad 1
# Half of what a ReLU lets through.
analyzer mine.half(share = 0.5 in [0, 1]) {
  use mine.relu(share)
  default gradient
}
rules mine.relu(share) {
  grad(relu(x), g) => share * vjp(relu(x), g)
}
"""


class Rules(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = fashion()
        cls.x = fashion_pictures(cls.model)

    def test_text(self):
        mine = rg.rules(TANH)
        self.assertIn("mine.half", mine.names)
        plain = self.model.explain(self.x, "gradient").attribution
        self.close(self.model.explain(self.x, "mine.half", rules=mine).attribution, plain / 8)
        self.close(self.model.explain(self.x, rg.method("mine.half", share=1), rules=mine).attribution, plain)
        self.raises(rg.errors.UnknownNameError, "mine.half", self.model.explain, self.x, "mine.half")
        self.raises(rg.errors.Error, "share", self.model.explain, self.x, "mine.half:share=2", rules=mine)

    def test_file_and_model(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "mine.rules")
            file.write_text(TANH)
            model = rg.load(DEMO / "fashion.onnx", rules=rg.rules(file))
            self.close(model.explain(self.x, "mine.half").attribution, self.model.explain(self.x, "gradient").attribution / 8)
            self.assertEqual([row["severity"] for row in rg.check(file)], [])
            copies = pickle.loads(pickle.dumps(model))
            self.assertIn("mine.half", copies.rules.names)
        self.raises(rg.errors.FileError, "nothing.rules", rg.rules, "nothing.rules")
        self.raises(rg.errors.FileError, "nothing.rules", rg.check, "nothing.rules")

    def test_mistakes_are_told_as_the_command_tells_them(self):
        wrong = "rulegrad 1\nrules r {\n  grad(relo(x), g) => g\n}\n"
        error = self.raises(rg.errors.RuleError, ["did you mean", "relu", "^"], rg.rules, wrong, name="my.rules")
        self.assertEqual((error.diagnostics[0]["file"], error.diagnostics[0]["line"]), ("my.rules", 3))
        table = rg.check(wrong, name="my.rules")
        self.assertEqual((table[0]["severity"], table[0]["line"]), ("error", 3))
        self.assertEqual(table.about["errors"], len(table))
        self.assertIn("my.rules:3", str(table))
        self.assertEqual(str(rg.check(TANH)), "rules: no problems")
        self.assertGreater(rg.check("rulegrad 1\nrules { {").about["errors"], 0)

    def test_what_is_declared_is_tried(self):
        table = rg.check("rulegrad 1\nanalyzer absolute {\n  use gradients\n  declare linear\n  result abs(relevance)\n  default gradient\n}\nrules gradients { grad(relu(x), g) => vjp(relu(x), g) }\n")
        self.assertEqual(table[0]["code"], "R280")
        self.assertIn("linear", str(table))

    def test_unclaimed(self):
        mine = rg.rules("rulegrad 1\nanalyzer strict { use only_relu }\nrules only_relu { grad(relu(x), g) => g }\n")
        error = self.raises(rg.errors.UnclaimedError, ["conv", "dense"], self.model.explain, self.x, "strict", rules=mine)
        self.assertEqual(error.code, "unclaimed")

    def test_methods(self):
        table = rg.methods()
        self.assertIn("lrp.epsilon", table.column("name"))
        row = table[table.column("name").index("lrp.epsilon")]
        self.assertIn("epsilon=1e-07", row["parameters"])
        self.assertTrue(row["file"].endswith("lrp.rules"))
        self.assertIn("analyzer lrp.epsilon", rg.show("lrp.epsilon"))
        self.raises(rg.errors.UnknownNameError, "did you mean", rg.show, "lrp.epsilom")
        parameter = rg.rules().method("lrp.epsilon")["parameters"][0]
        self.assertEqual((parameter["name"], parameter["type"]), ("epsilon", "number"))


if __name__ == "__main__":
    unittest.main()
