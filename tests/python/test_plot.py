"""Figures of matplotlib, and what Jupyter shows. Skipped without matplotlib."""

import importlib.util
import io
import unittest

import numpy as np

from support import DEMO, Case, fashion, fashion_pictures, rg


@unittest.skipUnless(importlib.util.find_spec("matplotlib"), "matplotlib is not installed")
class Figures(Case):
    def drawn(self, figure):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]

    def test_pictures(self):
        model = fashion()
        e = model.explain(fashion_pictures(model)[:3], ["gradient", "lrp.epsilon"])
        figure = e.plot()
        self.assertEqual(len(figure.axes), 9)
        self.assertIn("ankle boot, 6.856", figure.axes[0].get_title())
        self.assertGreater(len(np.unique(self.drawn(figure).reshape(-1, 3), axis=0)), 100)
        self.assertEqual(len(e.plot(1, percentile=90, colormap="seismic").axes), 3)
        file = io.BytesIO()
        figure.savefig(file, format="svg")
        self.assertIn(b"<svg", file.getvalue())
        self.raises(rg.errors.UnknownNameError, "colour map", e.plot, colormap="nice")

    def test_features_and_tokens(self):
        e = rg.load(DEMO / "mlp.onnx").explain(np.load(DEMO / "features.npy"), ["gradient", "lrp.epsilon"])
        names = [f"feature {k}" for k in range(22)]
        figure = e.plot(features=names)
        self.assertEqual([label.get_text() for label in figure.axes[0].get_yticklabels()], names)
        bars = figure.axes[1].patches
        self.assertAlmostEqual(bars[3].get_width(), float(e["lrp.epsilon"][0, 3]), places=5)
        self.assertGreater(len(np.unique(self.drawn(figure).reshape(-1, 3), axis=0)), 20)
        self.assertEqual([label.get_text() for label in e.plot(tokens=[names]).axes[0].get_yticklabels()], names)
        self.raises(rg.errors.ShapeError, "names", e.plot, features=["a"])


@unittest.skipIf(importlib.util.find_spec("matplotlib"), "matplotlib is installed")
class Without(Case):
    def test_what_to_install(self):
        model = fashion()
        self.raises(rg.errors.MissingFeatureError, "pip install matplotlib", model.explain(fashion_pictures(model), "gradient").plot)


if __name__ == "__main__":
    unittest.main()
