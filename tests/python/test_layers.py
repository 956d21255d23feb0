"""The files of the package stand in layers: none imports, at whatever place, a file that imports it."""

import ast
import unittest
from pathlib import Path

from support import ROOT


def imports_of(file):
    """The files of the package that a file imports, inside of functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found.update([node.module] if node.module else [name.name for name in node.names])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rulegrad."):
            found.add(node.module.split(".")[1])
    return {name for name in found if (file.parent / f"{name}.py").exists()}


class Layers(unittest.TestCase):
    def test_no_circle(self):
        left = {file.stem: imports_of(file) for file in sorted(Path(ROOT / "python" / "rulegrad").glob("*.py"))}
        while left:
            lowest = [name for name, others in left.items() if not others & set(left)]
            self.assertTrue(lowest, f"these import each other in a circle: {left}")
            for name in lowest:
                del left[name]

    def test_files_stay_small(self):
        long = {file.name: count for file in (ROOT / "python").rglob("*.py") if (count := len(file.read_text().splitlines())) > 400}
        self.assertEqual(long, {})


if __name__ == "__main__":
    unittest.main()
