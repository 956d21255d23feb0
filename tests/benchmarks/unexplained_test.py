"""benchmarks/compare writes no page on which a difference is more than rounding and kinks explain, and says which."""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "benchmarks", "compare"))

import cases  # noqa: E402
import compare  # noqa: E402
import report  # noqa: E402


def result(**values):
    return {"title": "MLP, gradient, batch 8", **values}


class Unexplained(unittest.TestCase):
    def test_rounding_passes(self):
        self.assertEqual(report.unexplained([result(difference=3e-7), result(difference=9e-5, fast_difference=1e-6), result()]), [])

    def test_what_kinks_explain_passes(self):
        self.assertEqual(report.unexplained([result(difference=1e-2, difference_explained=4e-2)]), [])

    def test_the_rest_is_named(self):
        lines = report.unexplained([result(difference=1e-7), result(difference=2.0, difference_explained=1e-3), result(fast_difference=5e-2)])
        self.assertEqual(len(lines), 2)
        self.assertIn("MLP, gradient, batch 8: 2e+00 from the peer", lines[0])
        self.assertIn("--precision fast", lines[1])

    def test_a_peer_answers_for_its_own_rounding(self):
        self.assertEqual(report.unexplained([result(difference=6e-4, difference_explained=1e-4, difference_of_peer=6e-4)]), [])
        self.assertEqual(len(report.unexplained([result(difference=9e-4, difference_explained=1e-4, difference_of_peer=6e-4)])), 1)

    def test_bfloat16_costs_what_the_page_on_precision_says(self):
        self.assertEqual(report.unexplained([result(bf16_difference=7e-3)]), [])
        self.assertEqual(len(report.unexplained([result(bf16_difference=0.4)])), 1)

    def test_no_number_is_no_agreement(self):
        self.assertEqual(len(report.unexplained([result(difference=float("nan"))])), 1)

    def test_no_page_is_written(self):
        case = next(iter(cases.SETS["quick"](2)))
        measured = {"case": vars(case), "title": case.title(), "notes": [], "ms": {"rulegrad": [1.0], "pytorch": [2.0]}, "program": {}, "kernels": {"conv": 1.0}, "difference": 1.4,
                    "peak_kb": {"rulegrad": 1, "pytorch": 1}}
        with tempfile.TemporaryDirectory() as folder:
            page, timings = os.path.join(folder, "page.md"), os.path.join(folder, "timings.json")
            errors = io.StringIO()
            arguments = ["compare.py", folder, "--peers", "", "--markdown", page, "--json", timings, "--networks", case.network, "--methods", case.method,
                         "--batches", str(case.batch), "--threads", str(case.threads)]
            with mock.patch.object(sys, "argv", arguments), mock.patch.object(compare.Comparison, "run", lambda self, c: {**measured, "case": vars(c), "title": c.title()}), \
                    contextlib.redirect_stderr(errors):
                self.assertEqual(compare.main(), 1)
            self.assertFalse(os.path.exists(page))
            with open(timings) as file:
                self.assertTrue(json.load(file))
            self.assertIn(f"{case.title()}: 1e+00 from the peer", errors.getvalue())


class Chosen(unittest.TestCase):
    @staticmethod
    def of(**values):
        options = dict.fromkeys(["set", "networks", "methods", "batches", "threads"])
        return compare.chosen(argparse.Namespace(**{**options, **values}))

    def test_other_options_narrow_a_set(self):
        cores = compare.machine.cores()
        self.assertEqual(self.of(set="transformers", methods="attn_lrp", batches="8"), cases.product(cases.TRANSFORMERS, ["attn_lrp"], [8], [cores]))
        with self.assertRaises(SystemExit):
            self.of(set="transformers", networks="vgg16")

    def test_without_a_set_they_are_the_cases(self):
        self.assertEqual(self.of(networks="lenet", methods="gradient", batches="3", threads="1"), cases.product(["lenet"], ["gradient"], [3], [1]))
        self.assertEqual(self.of(), cases.SETS["quick"](compare.machine.cores()))


if __name__ == "__main__":
    unittest.main()
