"""benchmarks/compare/best.py compares with the quickest of a peer's configurations at the same precision, and writes nothing that is off."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "benchmarks", "compare"))

import best  # noqa: E402
import rivals  # noqa: E402


def result(network="resnet50", analysis="gradient", off=None, **ms):
    names = {name.replace("_in_", " "): times for name, times in ms.items()}
    return {"title": "case", "network": network, "batch": 1, "threads": 2, "analysis": analysis, "ms": names, "off": off or {}, "notes": []}


MEASURED = {"rulegrad": [12.0, 10.0], "rulegrad_in_fast": [9.0], "rulegrad_in_bf16": [5.0, 6.0], "PyTorch": [40.0], "PyTorch_in_compiled": [25.0, 19.0],
            "PyTorch_in_bf16": [15.0, 30.0]}


class Verdicts(unittest.TestCase):
    def test_the_best_of_each_precision_is_what_counts(self):
        exact, narrow = best.verdicts(result(**MEASURED))
        self.assertEqual((exact["theirs"], exact["ratio"], exact["asked"], exact["reached"]), ("PyTorch compiled", 1.9, 2.0, False))
        self.assertEqual((narrow["ours"], narrow["theirs"], narrow["ratio"], narrow["reached"]), ("rulegrad bf16", "PyTorch bf16", 3.0, True))

    def test_composites_are_held_against_float32(self):
        exact, narrow = best.verdicts(result(analysis="epsilon_plus_flat", **{"rulegrad": [10.0], "rulegrad_in_bf16": [4.0], "Zennit": [55.0], "Zennit_in_channels_last": [45.0]}))
        self.assertFalse(exact["reached"])
        self.assertEqual((narrow["theirs"], narrow["asked"], narrow["reached"]), ("Zennit channels_last", 10.0, True))

    def test_without_a_peer_there_is_none(self):
        self.assertEqual(best.verdicts(result(rulegrad=[1.0])), (None, None))

    def test_what_was_not_reached_is_said(self):
        exact, _ = best.verdicts(result(**MEASURED))
        self.assertIn("1.90x PyTorch compiled; 2x asked, **not reached**", best.verdict_cell(exact))


class Unexplained(unittest.TestCase):
    def test_float32_and_fast_agree_to_rounding_and_bfloat16_to_its_bound(self):
        self.assertEqual(best.unexplained([result(off={"PyTorch": 9e-5, "rulegrad fast": 1e-6, "rulegrad bf16": 1e-2, "PyTorch bf16": 0.3})]), [])
        lines = best.unexplained([result(off={"PyTorch compiled": 2e-3, "rulegrad fast": float("nan"), "rulegrad bf16": 0.4})])
        self.assertEqual(len(lines), 3)

    def test_kinks_may_explain(self):
        self.assertEqual(best.unexplained([{**result(off={"JAX": 2e-3}), "explained": {"JAX": 5e-3}}]), [])


class Rivals(unittest.TestCase):
    def test_every_configuration_has_a_name_of_its_own(self):
        for analysis in rivals.ANALYSES.values():
            titles = [rival.title() for rival in analysis.rivals]
            self.assertEqual(len(titles), len(set(titles)))


if __name__ == "__main__":
    unittest.main()
