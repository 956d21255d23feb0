"""The notebooks of examples/notebooks run from the first cell to the last. Skipped where what they import is missing."""

import importlib.util
import json
import os
import unittest

from support import ROOT, Case

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


class Notebooks(Case):
    def test_there_are_some(self):
        self.assertGreaterEqual(len(NOTEBOOKS), 4)
        for notebook in NOTEBOOKS:
            for cell in json.loads(notebook.read_text())["cells"]:
                self.assertEqual(cell.get("outputs", []), [], notebook.name)

    def run_notebook(self, notebook):
        text = notebook.read_text()
        for package in ("torch", "keras", "onnxscript", "nbclient", "IPython"):
            if importlib.util.find_spec(package) is None and (package in ("nbclient", "IPython") or f"import {package}" in text or package == "onnxscript" and "from_torch" in text):
                self.skipTest(f"{package} is not installed")
        import nbclient
        import nbformat

        made = nbformat.reads(text, as_version=4)
        nbclient.NotebookClient(made, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
        kinds = {kind for cell in made.cells if cell.cell_type == "code" for output in cell.outputs for kind in output.get("data", {})}
        self.assertTrue(kinds & {"image/png", "text/html"}, notebook.name)


for notebook in NOTEBOOKS:
    setattr(Notebooks, f"test_{notebook.stem}", lambda self, notebook=notebook: self.run_notebook(notebook))


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "torch")
    unittest.main()
