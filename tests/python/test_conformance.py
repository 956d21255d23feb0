"""The conformance cases: their references come out of the loops again, and rulegrad answers every question right."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import ROOT

FOLDER = ROOT / "conformance"


class Conformance(unittest.TestCase):
    def same(self, a, b, place):
        if isinstance(a, dict):
            self.assertEqual(list(a), list(b), place)
            for key in a:
                self.same(a[key], b[key], f"{place}/{key}")
        elif isinstance(a, list):
            self.assertEqual(len(a), len(b), place)
            for i, (x, y) in enumerate(zip(a, b)):
                self.same(x, y, f"{place}[{i}]")
        elif isinstance(a, float):
            # exp and tanh are the C library's.
            self.assertLessEqual(abs(a - b), 1e-12 * max(1.0, abs(a)), place)
        else:
            self.assertEqual(a, b, place)

    def test_cases_are_what_the_loops_give(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, FOLDER / "make.py", folder, "--no-onnx"], check=True, capture_output=True)
            made = sorted(Path(folder).glob("*.json"))
            self.assertEqual([f.name for f in made], [f.name for f in sorted((FOLDER / "cases").glob("*.json"))])
            for file in made:
                self.same(json.loads((FOLDER / "cases" / file.name).read_text()), json.loads(file.read_text()), file.name)

    def test_rulegrad_is_right(self):
        adapter = f"{sys.executable} {FOLDER / 'adapters' / 'rulegrad_onnx.py'}"
        done = subprocess.run([sys.executable, FOLDER / "run.py", "--tool", adapter, "--require"], capture_output=True, text=True)
        wrong = [line for line in done.stdout.splitlines() if " right " not in line]
        self.assertEqual(done.returncode, 0, "\n".join([*wrong, done.stderr]))
        self.assertGreater(done.stdout.count(" right "), 100)

    def test_the_runner_tells_wrong_answers(self):
        liar = ("import sys; sys.path.insert(0, %r)\n"
                "import warnings\n"
                "from adapter import NotOffered, serve\n"
                "def ask(case, question):\n"
                "    right = question['expected'][-1]['attribution']['data']\n"
                "    if question['method'] == 'gradient': warnings.warn('never mind'); return right\n"
                "    if question['method'] == 'guided_backprop': warnings.warn('never mind'); return [2 * v for v in right]\n"
                "    if question['method'] == 'deconvnet': warnings.warn('beware'); return [2 * v for v in right]\n"
                "    if question['method'] == 'lrp.epsilon': raise ValueError('no rule')\n"
                "    if question['method'] == 'lrp.z_plus': raise SystemExit(3)\n"
                "    raise NotOffered('it has none')\n"
                "serve('liar', {}, ask)\n" % str(FOLDER))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "liar.py"
            file.write_text(liar)
            results = Path(folder) / "results.json"
            for case, crashes in (("dense", True), ("biases", False)):
                done = subprocess.run([sys.executable, FOLDER / "run.py", "--tool", f"{sys.executable} {file}", "--case", case,
                                       "--results", results, "--require"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 1, done.stderr)
                found = {row["method"]: row["outcome"] for row in json.loads(results.read_text())["tools"][0]["answers"]}
                if crashes:
                    self.assertEqual(set(found.values()), {"crashed"})
                else:
                    self.assertEqual(found, {"gradient": "right", "guided_backprop": "silent", "deconvnet": "told", "lrp.epsilon": "refused",
                                             "deeplift.rescale": "-", "integrated_gradients": "-"})


if __name__ == "__main__":
    unittest.main()
