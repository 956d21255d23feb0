"""The page of HTML: it stands on its own, says what ran, and in a browser its sliders move pixels (skipped without Chromium)."""

import base64
import html.parser
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

from support import DEMO, Case, fashion, fashion_pictures, network, rg


class Checker(html.parser.HTMLParser):
    """Tags that close, and what is fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.count = [], [], {}

    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "img", "input", "link", "br"):
            self.open.append(tag)
        for key, value in attributes:
            if key in ("src", "href") and not value.startswith(("data:", "#")):
                self.fetched.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def found_by_sliders(case, text):
    """What a browser shows on the first map: as it is, at another percentile, back again, and with the picture over it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        case.skipTest("Chromium is not installed")
    probe = """<script>
addEventListener('load',function begin(){
  if(!document.documentElement.dataset.ready){setTimeout(begin,20);return}
  const c=document.querySelector('canvas'),look=()=>{const d=c.getContext('2d').getImageData(0,0,c.width,c.height).data;let s=0,n=0;for(let i=0;i<d.length;i+=4){s+=d[i]+2*d[i+1]+3*d[i+2];if(d[i]!=255||d[i+1]!=255||d[i+2]!=255)n++}return s+':'+n};
  const move=(id,v)=>{const e=document.getElementById(id);e.value=v;e.dispatchEvent(new Event('input'))};
  const a=look();move('percentile',60);const b=look();move('percentile',99);const again=look();move('overlay',1);const o=look();
  document.body.insertAdjacentHTML('beforeend','<p id="found">'+[a,b,again,o].join(' ')+'</p>')})</script>"""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(text.replace("</body>", probe + "</body>"))
        # Virtual time passes while pictures are decoded in real time, on a busy machine all of it.
        for budget in (4000, 40000, 400000):
            done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--virtual-time-budget={budget}",
                                   f"--user-data-dir={folder}/profile{budget}", "--dump-dom", page.as_uri()],
                                  capture_output=True, text=True, timeout=180)
            found = re.search(r'<p id="found">([0-9][^<]*)</p>', done.stdout)
            if found:
                break
    case.assertIsNotNone(found, done.stderr[-500:])
    return found.group(1).split()


class Reports(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = fashion()
        cls.x = fashion_pictures(cls.model)
        cls.e = cls.model.explain(cls.x[:3], ["gradient", "lrp.epsilon"])

    def checked(self, text):
        checker = Checker()
        checker.feed(text)
        self.assertEqual((checker.open, checker.fetched), ([], []))
        self.assertNotIn("http", re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", text))
        return checker

    def test_page(self):
        text = self.e.report()
        count = self.checked(text).count
        self.assertEqual((count["canvas"], count["img"]), (6, 3))
        for words in ("ankle boot", "rules/lrp.rules", "lrp.epsilon", self.model.digest(), rg.__version__, "stabiliser", "percentile", "overlay"):
            self.assertIn(words, text)

    def test_features_and_tokens(self):
        mlp = rg.load(DEMO / "mlp.onnx")
        e = mlp.explain(np.load(DEMO / "features.npy"), "lrp.epsilon")
        text = e.report(features=[f"<f{k}>" for k in range(22)])
        self.checked(text)
        self.assertIn("&lt;f3&gt;", text)
        rng = np.random.default_rng(0)
        words = network("""%0 = input() {name = "x", shape = shape[B, 5, 4]} : float32[B, 5, 4]
%1 = constant() {value = @w} : float32[2, 20]
%2 = constant() {value = float32[](0)} : float32[]
%3 = reshape(%0) {shape = shape[B, 20]} : float32[B, 20]
%4 = dense(%3, %1, %2) : float32[B, 2]
return %4
""", {"w": rng.standard_normal((2, 20)).astype("f")})
        e = words.explain(rng.standard_normal((1, 5, 4)).astype("f"), "input_times_gradient")
        self.close(e.token_relevance().sum(), e.target_scores[0])
        text = e.report(tokens=[["the", "cat", "<b>", "on", "mats"]])
        self.checked(text)
        self.assertIn('class="token"', text)
        self.assertIn("&lt;b&gt;", text)
        self.assertIn("f3", e._repr_html_())

    def test_series_are_lines_over_their_colours(self):
        rng = np.random.default_rng(0)
        model = network("""%0 = input() {name = "x", shape = shape[B, 2, 90]} : float32[B, 2, 90]
%1 = constant() {value = @w} : float32[2, 180]
%2 = constant() {value = float32[](0)} : float32[]
%3 = reshape(%0) {shape = shape[B, 180]} : float32[B, 180]
%4 = dense(%3, %1, %2) : float32[B, 2]
return %4
""", {"w": rng.standard_normal((2, 180)).astype("f")})
        e = model.explain(rng.standard_normal((3, 2, 90)).astype("f"), ["gradient", "input_times_gradient"])
        count = self.checked(e.report()).count
        self.assertEqual((count["svg"], count["polyline"]), (6, 12))
        self.assertIsNone(e._repr_html_())
        height, width, _ = e.image().shape
        self.assertGreater(height, 3 * 2 * 96)
        self.assertEqual(width, 2 * 560)

    def test_volumes_are_slices(self):
        rng = np.random.default_rng(0)
        w = rng.standard_normal((2, 2 * 6 * 4 * 5)).astype("f")
        model = network("""%0 = input() {name = "x", shape = shape[B, 2, 6, 4, 5]} : float32[B, 2, 6, 4, 5]
%1 = constant() {value = @w} : float32[2, 240]
%2 = constant() {value = float32[](0)} : float32[]
%3 = reshape(%0) {shape = shape[B, 240]} : float32[B, 240]
%4 = dense(%3, %1, %2) : float32[B, 2]
return %4
""", {"w": w})
        e = model.explain(rng.standard_normal((2, 2, 6, 4, 5)).astype("f"), ["gradient", "input_times_gradient"], 1)
        text = e.report()
        count = self.checked(text).count
        self.assertEqual((count["canvas"], count["img"]), (4, 2))
        # Six slices of 4 x 5 in two rows of three, a line between them.
        shown = np.frombuffer(base64.b64decode(re.search(r'"values": "([^"]+)"', text).group(1)), "<f4").reshape(2 * 5 - 1, 3 * 6 - 1)
        volume = w[1].reshape(2, 6, 4, 5).sum(axis=0)
        for k in range(6):
            row, column = divmod(k, 3)
            self.close(shown[5 * row:5 * row + 4, 6 * column:6 * column + 5], volume[k])
        self.assertFalse(shown[4].any())

    def test_functions_and_hidden_nodes(self):
        self.checked(self.model.explain(self.x[:1], "gradient", lambda o: o[:, 1]).report())
        self.checked(self.model.explain(self.x[:1], "gradient", 3, output="dense1").report())
        self.checked(self.model.explain(self.x[:1], ["gradient"], at=["conv1", "dense1"]).report(layers=False))

    def test_command(self):
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/page.html"
            run = [sys.executable, "-m", "rulegrad", "report", str(DEMO / "fashion.onnx"), "--input", *map(str, sorted((DEMO / "pictures").glob("*.png"))[:2]), "--preprocess", "unit",
                   "--labels", str(DEMO / "labels.txt"), "-m", "lrp.epsilon", "-o", out]
            done = subprocess.run(run, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout.strip()), (0, f"wrote {out}"), done.stderr)
            self.checked(Path(out).read_text())
            done = subprocess.run([*run[:-2], "-o", f"{folder}/none/page.html"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn("cannot write", done.stderr)
            done = subprocess.run([sys.executable, "-m", "rulegrad", "stream", str(DEMO / "fashion.onnx"), "--input", str(DEMO / "pictures"), "--preprocess", "unit", "-m", "gradient", "-o",
                                   f"{folder}/maps", "--shard", "4"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("3 shards, 0 left out", done.stdout)

    def test_sliders_move_pixels(self):
        first, wider, again, over = found_by_sliders(self, self.e.report())
        self.assertEqual(first, again)
        self.assertEqual(len({first, wider, over}), 3)
        self.assertGreater(int(first.split(":")[1]), 50)


if __name__ == "__main__":
    unittest.main()
