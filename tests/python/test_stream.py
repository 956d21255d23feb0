"""Many samples: the same as at once, bounded memory, errors that do not end a run, and going on after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import numpy as np

from support import DEMO, Case, dense_pair, fashion, fashion_pictures, rg
from rulegrad import stream
from schema_check import matches


def digest(folder):
    """The bytes of everything in a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(Path(folder).rglob("*")) if file.is_file()}


class Streams(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = fashion()
        cls.x = np.concatenate([fashion_pictures(cls.model)] * 3)[:23]
        cls.explainer = cls.model.explainer(["gradient", "lrp.epsilon:epsilon=0.1"])

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def test_shards_are_what_one_call_gives(self):
        done = self.explainer.map(self.x, self.folder / "out", shard=5)
        whole = self.explainer(self.x)
        self.assertEqual((len(done), len(done.load("gradient"))), (23, 23))
        for method in self.explainer.methods:
            self.close(np.asarray(done.load(method)), whole[method])
        self.close(done.load("gradient")[17], whole["gradient"][17])
        self.close(done.load("gradient")[3:7], whole["gradient"][3:7])
        self.assertEqual(done.column("target"), whole.targets.tolist())
        self.assertEqual(done[0]["label"], "ankle boot")
        self.assertEqual(len(list((self.folder / "out").rglob("000004.npy"))), 2)

    def test_manifest(self):
        self.explainer.map(self.x, self.folder / "out", shard=10, target=3)
        manifest = json.loads((self.folder / "out" / "manifest.json").read_text())
        matches(manifest, stream.SCHEMA)
        self.assertEqual(manifest["model"]["digest"], self.model.digest())
        self.assertEqual(manifest["methods"][1]["parameters"], {"epsilon": 0.1})
        self.assertEqual([row["count"] for row in manifest["shards"]], [10, 10, 3])
        self.assertEqual(stream.open(self.folder / "out").to_dict()["complete"], True)
        self.raises(rg.errors.FileError, "manifest.json", stream.open, self.folder)

    def test_files_lists_and_maps(self):
        pictures = self.explainer.map(DEMO / "pictures", self.folder / "a", shard=4)
        self.assertEqual(pictures[0]["name"], "ankle_boot_0.png")
        files = self.folder / "files.txt"
        files.write_text("".join(f"{file}\n" for file in sorted((DEMO / "pictures").glob("*.png"))))
        listed = self.explainer.map(files, self.folder / "b", shard=4)
        self.close(np.asarray(listed.load("gradient")), np.asarray(pictures.load("gradient")), 0)
        np.save(self.folder / "x.npy", self.x)
        mapped = self.explainer.map(self.folder / "x.npy", self.folder / "c", shard=9)
        self.close(np.asarray(mapped.load("gradient")), self.explainer(self.x)["gradient"])
        lazily = self.explainer.map((row for row in self.x), self.folder / "d", shard=9)
        self.close(np.asarray(lazily.load("gradient")), self.explainer(self.x)["gradient"])
        each = list(self.explainer.map(self.x, shard=9))
        self.assertEqual([len(e) for e in each], [9, 9, 5])

    def test_arrays_of_other_libraries(self):
        expected = self.explainer(self.x)["gradient"]
        tried = 0
        try:
            import h5py
        except ImportError:
            pass
        else:
            with h5py.File(self.folder / "x.h5", "w") as file:
                file["x"] = self.x
                self.close(np.asarray(self.explainer.map(file["x"], self.folder / "h5", shard=9).load("gradient")), expected)
            tried += 1
        try:
            import zarr
        except ImportError:
            pass
        else:
            array = zarr.create_array(store=str(self.folder / "x.zarr"), shape=self.x.shape, chunks=(4, 1, 28, 28), dtype="f4") if hasattr(zarr, "create_array") else zarr.open(str(self.folder / "x.zarr"), mode="w", shape=self.x.shape, chunks=(4, 1, 28, 28), dtype="f4")
            array[:] = self.x
            self.close(np.asarray(self.explainer.map(array, self.folder / "zarr", shard=9).load("gradient")), expected)
            tried += 1
        if not tried:
            self.skipTest("neither h5py nor zarr is installed")

    def test_errors_stop_or_are_counted(self):
        bad = self.folder / "bad"
        bad.mkdir()
        for file in sorted((DEMO / "pictures").glob("*.png"))[:5]:
            shutil.copy(file, bad)
        (bad / "broken.png").write_bytes(b"no picture")
        np.save(bad / "nan.npy", np.full((1, 28, 28), np.nan, np.float32))
        np.save(bad / "wide.npy", np.zeros((1, 28, 29), np.float32))
        self.raises(rg.errors.FileError, "broken.png", self.explainer.map, bad, self.folder / "stop")
        done = self.explainer.map(bad, self.folder / "skip", shard=3, on_error="skip")
        self.assertEqual(sorted(row["name"] for row in done.failed), ["broken.png", "nan.npy", "wide.npy"])
        self.assertEqual(len(done), 5)
        self.assertTrue(all(row["error"] for row in done.failed))
        self.assertEqual(len(np.asarray(done.load("gradient"))), 5)

    def test_goes_on_where_it_stopped(self):
        whole, again = self.folder / "whole", self.folder / "again"
        explainer = self.model.explainer(["gradient", "smoothgrad:n=3"])
        explainer.map(self.x, whole, shard=4)
        shutil.copytree(whole, again)
        (again / "manifest.json").unlink()
        (again / "records" / "000003.json").unlink()
        next(again.rglob("000004.npy")).write_bytes(b"half written")
        (again / "records" / "000005.json").unlink()
        (again / "records" / "000004.json").unlink()
        explainer.map(self.x, again, shard=4, resume=True)
        self.assertEqual(digest(again), digest(whole))
        self.raises(rg.errors.FileError, "resume=True", explainer.map, self.x, whole, shard=4)
        self.raises(rg.errors.ArgumentError, "another shard_size", explainer.map, self.x, whole, shard=5, resume=True)
        self.raises(rg.errors.ArgumentError, "another methods", self.explainer.map, self.x, whole, shard=4, resume=True)
        self.raises(rg.errors.ArgumentError, "another target", explainer.map, self.x, whole, shard=4, target=2, resume=True)
        for text in ("{", "[1]", '{"shard_size": 4}'):
            (whole / "asked.json").write_text(text)
            self.raises(rg.errors.Error, "asked.json" if text != '{"shard_size": 4}' else "another", explainer.map, self.x, whole, shard=4, resume=True)

    def test_a_killed_run_gives_the_same_bytes(self):
        code = f"""
import numpy as np, rulegrad as rg, sys
m = rg.load({str(DEMO / "fashion.onnx")!r})
x = np.random.default_rng(0).random((60, 1, 28, 28), dtype=np.float32)
m.explainer(["gradient", "smoothgrad:n=64"]).map(x, sys.argv[1], shard=2, resume=True, threads=1)
"""
        killed, whole = self.folder / "killed", self.folder / "whole"
        run = subprocess.Popen([sys.executable, "-c", code, str(killed)])
        deadline = time.time() + 120
        while time.time() < deadline and run.poll() is None and len(list(killed.glob("records/*.json"))) < 3:
            time.sleep(0.005)
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
        run.wait()
        began = len(list(killed.glob("records/*.json")))
        self.assertGreaterEqual(began, 3)
        for folder in (killed, whole):
            subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
        for leftover in killed.rglob(".*"):  # what the kill left half written has a name of its own
            leftover.unlink()
        for leftover in killed.rglob("tmp*"):
            leftover.unlink()
        self.assertEqual(digest(killed), digest(whole))

    def test_memory_is_bounded(self):
        # 400 MB of samples and as much of results, in shards of 8 MB.
        code = f"""
import numpy as np, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from support import network, peak_megabytes
import rulegrad as rg
m = network('''%0 = input() {{name = "x", shape = shape[B, 262144]}} : float32[B, 262144]
%1 = mul(%0, %0) : float32[B, 262144]
%2 = sum(%1) {{axes = [1], keep = true}} : float32[B, 1]
return %2
''')
explainer = m.explainer("gradient")
explainer(np.ones((8, 262144), np.float32))
before = peak_megabytes()
def samples():
    for k in range(400):
        yield np.full(262144, k, np.float32)
done = explainer.map(samples(), sys.argv[1], shard=8)
assert (done.load()[399] == 798).all() and len(done) == 400
print(peak_megabytes() - before)
"""
        grown = int(subprocess.run([sys.executable, "-c", code, str(self.folder / "out")], check=True, capture_output=True, text=True).stdout)
        self.assertLess(grown, 120)

    def test_what_cannot_be(self):
        for data, kind, words in ((self.folder / "none", rg.errors.FileError, "no such file"), (self.folder, rg.errors.FileError, "holds no picture"), (3, rg.errors.ArgumentError, "int"),
                                  (np.zeros((3, 28, 28)), rg.errors.ShapeError, "[3, 28, 28]"), (self.folder / "a.h5", rg.errors.ArgumentError, "h5py.File")):
            self.raises(kind, words, self.explainer.map, data, self.folder / "out")
        self.raises(rg.errors.ShapeError, "2 targets", self.explainer.map, self.x, self.folder / "out", target=[1, 2])
        self.raises(rg.errors.ArgumentError, "on_error", self.explainer.map, self.x, self.folder / "out", on_error="hide")
        pair, _ = dense_pair()
        self.raises(rg.errors.ArgumentError, "2", pair.explainer("gradient").map, self.x, self.folder / "out")

    def test_what_an_iterable_raises_ends_the_run(self):
        def samples():
            yield from self.x[:3]
            raise RuntimeError("the reader is broken")

        for skip in ("stop", "skip"):
            self.raises(RuntimeError, "the reader is broken", self.explainer.map, samples(), self.folder / skip, shard=2, on_error=skip)
        rows = [*self.x[:3], np.zeros((1, 28, 29)), self.x[4]]
        self.raises(rg.errors.ShapeError, "sample 3 is [1, 28, 29]", self.explainer.map, iter(rows), self.folder / "stopped", shard=2)
        done = self.explainer.map(iter(rows), self.folder / "skipped", shard=2, on_error="skip")
        self.assertEqual([row["name"] for row in done.failed], ["3"])
        self.close(np.asarray(done.load("gradient")), self.explainer(self.x[[0, 1, 2, 4]])["gradient"])
        self.assertEqual(done.manifest["source"]["count"], None)
        pieces = list(self.explainer.map(iter(rows), shard=2, on_error="skip"))
        self.assertEqual([len(piece) for piece in pieces], [2, 1, 1])
        self.close(np.concatenate([piece["gradient"] for piece in pieces]), np.asarray(done.load("gradient")))

    def test_an_iterable_goes_on_where_it_stopped(self):
        whole, again = self.folder / "whole", self.folder / "again"
        self.explainer.map(iter(self.x), whole, shard=4)
        shutil.copytree(whole, again)
        (again / "manifest.json").unlink()
        for number in (4, 5):
            (again / "records" / f"00000{number}.json").unlink()
        self.explainer.map(iter(self.x), again, shard=4, resume=True)
        self.assertEqual(digest(again), digest(whole))

    def test_targets_for_each(self):
        targets = [k % 10 for k in range(23)]
        done = self.explainer.map(self.x, self.folder / "out", shard=5, target=targets)
        self.assertEqual(done.column("target"), targets)
        self.close(np.asarray(done.load("gradient")), self.explainer(self.x, targets)["gradient"])

    def test_several_targets(self):
        explainer = self.model.explainer(["gradient", "smoothgrad:n=2"])
        done = explainer.map(self.x, self.folder / "out", shard=5, targets="all")
        whole = explainer(self.x[:5], targets="all")
        self.close(np.asarray(done.load("gradient"))[:5], whole["gradient"])
        self.close(np.asarray(done.load("smoothgrad"))[:5], whole["smoothgrad"])
        self.assertEqual((len(done), len(done.load("gradient")), done.manifest["stacked"]), (230, 23, 10))
        self.assertEqual(done.column("target")[:12], [*range(10), 0, 1])
        named = explainer.map(self.x, self.folder / "named", shard=5, targets=["bag", 2])
        self.close(np.asarray(named.load("gradient")), np.asarray(done.load("gradient"))[:, [8, 2]], 0)
        self.assertEqual(named.column("label")[:2], ["bag", "pullover"])
        self.raises(rg.errors.ArgumentError, "another stacked", explainer.map, self.x, self.folder / "out", shard=5, target=[3] * 23, resume=True)
        self.raises(rg.errors.ArgumentError, "not both", explainer.map, self.x, self.folder / "none", target=3, targets=[3])
        pieces = list(explainer.map(self.x, shard=9, targets=[8, 2]))
        self.close(np.concatenate([piece["gradient"] for piece in pieces]), np.asarray(named.load("gradient")))


class Overlap(Case):
    """Reading, computing and writing wait for what a run does one after another in no order: each of these tests would wait for ever."""

    PATIENCE = 60

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model = fashion()
        self.x = np.concatenate([fashion_pictures(self.model)] * 2)[:12]
        self.explainer = self.model.explainer("gradient")
        self.began = [threading.Event() for _ in self.x]
        self.late: list[str] = []

    def samples(self):
        test = self

        class Samples:
            shape = test.x.shape

            def __getitem__(self, k):
                test.began[k].set()
                return test.x[k]

        return Samples()

    def wait(self, sample, what):
        if not self.began[sample].wait(self.PATIENCE):
            self.late.append(what)

    def run_it(self, data, **options):
        done = self.explainer.map(data, self.folder / "maps", shard=2, threads=1, **options)
        self.assertEqual(self.late, [])
        self.close(np.asarray(done.load()), self.explainer(self.x)["gradient"])

    def test_the_next_shards_are_read_while_one_is_computed(self):
        # The first shard is not over before the third is being read.
        self.run_it(self.samples(), progress=lambda done, samples: done == 2 and self.wait(4, "reading waited for computing"))

    def test_an_iterable_is_read_ahead_too(self):
        def rows():
            for k, row in enumerate(self.x):
                self.began[k].set()
                yield row

        self.run_it(rows(), progress=lambda done, samples: done == 2 and self.wait(2, "reading waited for computing"))

    def test_a_shard_is_written_while_the_next_are_read_and_computed(self):
        # Labels are asked for by what writes: that of the first shard waits until the one behind the second's is read,
        # which is not begun before the second has been taken up.
        label = self.model.label
        first = threading.Event()

        def slow(index):
            if not first.is_set():
                first.set()
                self.wait(6, "reading and computing waited for writing")
            return label(index)

        self.model.label = slow
        self.run_it(self.samples())
        self.assertTrue(first.is_set())

    def test_two_shards_are_decoded_at_once(self):
        # Samples of the first shard wait until those of the second are asked for.
        test = self

        class Samples(type(self.samples())):
            def __getitem__(self, k):
                row = super().__getitem__(k)
                if k == 1:
                    test.wait(2, "one reader waited for the other")
                return row

        self.run_it(Samples())


class SeveralInputs(Case):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model, _ = dense_pair()
        rng = np.random.default_rng(1)
        self.a, self.b = (rng.standard_normal((7, n)).astype("f") for n in (3, 2))
        (self.folder / "a").mkdir()
        for k, row in enumerate(self.a):
            np.save(self.folder / "a" / f"{k}.npy", row)
        np.save(self.folder / "b.npy", self.b)
        self.explainer = self.model.explainer("input_times_gradient")

    def test_go_together_sample_by_sample(self):
        whole = self.explainer((self.a, self.b), targets="all")
        for place, data in enumerate(({"a": self.folder / "a", "b": self.folder / "b.npy"}, (self.a, self.b), {"b": self.b, "a": sorted((self.folder / "a").iterdir())})):
            done = self.explainer.map(data, self.folder / f"out{place}", shard=3, targets="all")
            for node in ("a", "b"):
                self.close(np.asarray(done.load(node=node)), whole["input_times_gradient", node])
        each = np.concatenate([e["input_times_gradient", "b"] for e in self.explainer.map(data, shard=3, targets="all")])
        self.close(each, whole["input_times_gradient", "b"])
        self.assertEqual(stream.open(self.folder / "out0").column("name")[:5], ["0.npy"] * 4 + ["1.npy"])
        iterables = self.explainer.map({"a": iter(self.a), "b": (row for row in self.b)}, self.folder / "iterables", shard=3, targets="all")
        self.close(np.asarray(iterables.load(node="a")), whole["input_times_gradient", "a"])

    def test_the_same_bytes_when_it_goes_on(self):
        data = {"a": self.folder / "a", "b": self.folder / "b.npy"}
        self.explainer.map(data, self.folder / "whole", shard=3)
        shutil.copytree(self.folder / "whole", self.folder / "again")
        (self.folder / "again" / "manifest.json").unlink()
        (self.folder / "again" / "records" / "000001.json").unlink()
        self.explainer.map(data, self.folder / "again", shard=3, resume=True)
        self.assertEqual(digest(self.folder / "again"), digest(self.folder / "whole"))
        other = sorted((self.folder / "a").iterdir())[:0:-1] + [self.folder / "a" / "0.npy"]
        self.raises(rg.errors.ArgumentError, "another source", self.explainer.map, {"a": other, "b": self.b}, self.folder / "whole", shard=3, resume=True)

    def test_a_bad_sample_is_left_out_whole(self):
        self.b[4, 1] = np.nan
        (self.folder / "a" / "2.npy").write_bytes(b"no array")
        data = {"a": self.folder / "a", "b": self.b}
        self.raises(rg.errors.FileError, "2.npy", self.explainer.map, data, self.folder / "stopped", shard=3)
        done = self.explainer.map(data, self.folder / "out", shard=3, on_error="skip")
        self.assertEqual([row["name"] for row in done.failed], ["2.npy", "4.npy"])
        good = [0, 1, 3, 5, 6]
        self.close(np.asarray(done.load(node="b")), self.explainer((self.a[good], self.b[good]))["input_times_gradient", "b"])

    def test_what_cannot_be(self):
        self.raises(rg.errors.ShapeError, "'a' holds 7 samples but 'b' holds 6", self.explainer.map, {"a": self.a, "b": self.b[:6]}, self.folder / "out")
        self.raises(rg.errors.UnknownNameError, "no input 'c'", self.explainer.map, {"a": self.a, "c": self.b}, self.folder / "out")
        self.raises(rg.errors.ArgumentError, "'b' is missing", self.explainer.map, {"a": self.a}, self.folder / "out")
        self.raises(rg.errors.ShapeError, "one input ends after 6 samples", self.explainer.map, (iter(self.a), iter(self.b[:6])), self.folder / "uneven", shard=4)
        self.raises(rg.errors.ArgumentError, "of one of them only", self.explainer.map, (self.a, iter(self.b)), self.folder / "out")


class Zarr(Case):
    """A folder `*.zarr` holds Zarr arrays whose chunks are the shards."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model = fashion()
        self.x = fashion_pictures(self.model)
        self.explainer = self.model.explainer(["gradient", "lrp.epsilon"])

    @staticmethod
    def read(folder):
        """As the specification of version 2 says, by NumPy alone."""
        about = json.loads((folder / ".zarray").read_text())
        assert (about["zarr_format"], about["compressor"], about["filters"], about["order"]) == (2, None, None, "C")
        result = np.full(about["shape"], float(about["fill_value"]), about["dtype"])
        rows = about["chunks"][0]
        for number in range(-(-len(result) // rows)):
            file = folder / ".".join([str(number), *["0"] * (result.ndim - 1)])
            if file.exists():
                part = np.fromfile(file, about["dtype"]).reshape(about["chunks"])
                result[number * rows:(number + 1) * rows] = part[:len(result) - number * rows]
        return result

    def test_the_numbers_are_those_of_shards(self):
        plain = self.explainer.map(self.x, self.folder / "maps", shard=4)
        done = self.explainer.map(self.x, self.folder / "maps.zarr", shard=4)
        for method in self.explainer.methods:
            expected = np.asarray(plain.load(method))
            self.close(self.read(self.folder / "maps.zarr" / method / "x"), expected, 0)
            self.close(np.asarray(done.load(method)), expected, 0)
            self.close(done.load(method)[9], expected[9], 0)
        self.assertEqual(plain.manifest, done.manifest)
        lazily = self.explainer.map(iter(self.x), self.folder / "lazily.zarr", shard=4)
        self.close(self.read(lazily.folder / "gradient" / "x"), self.read(done.folder / "gradient" / "x"), 0)

    def test_what_is_left_out_is_nan(self):
        self.x[[1, 2]] = np.nan
        self.x[4:8] = np.nan
        done = self.explainer.map(self.x, self.folder / "maps.zarr", shard=4, on_error="skip")
        whole = self.read(self.folder / "maps.zarr" / "gradient" / "x")
        good = [0, 3, 8, 9]
        self.assertTrue(np.isnan(np.delete(whole, good, axis=0)).all())
        self.close(whole[good], self.explainer(self.x[good])["gradient"])
        self.close(np.asarray(done.load("gradient")), whole[good], 0)
        matches(done.manifest, stream.SCHEMA)

    def test_it_goes_on_with_the_same_bytes(self):
        self.explainer.map(self.x, self.folder / "whole.zarr", shard=3)
        shutil.copytree(self.folder / "whole.zarr", self.folder / "again.zarr")
        (self.folder / "again.zarr" / "manifest.json").unlink()
        (self.folder / "again.zarr" / "records" / "000002.json").unlink()
        next((self.folder / "again.zarr").rglob("2.0.0.0")).write_bytes(b"half written")
        self.explainer.map(self.x, self.folder / "again.zarr", shard=3, resume=True)
        self.assertEqual(digest(self.folder / "again.zarr"), digest(self.folder / "whole.zarr"))

    def test_zarr_reads_it(self):
        try:
            import zarr
        except ImportError:
            self.skipTest("zarr is not installed")
        self.x[5] = np.nan
        self.explainer.map(self.x, self.folder / "maps.zarr", shard=4, targets=[0, 3], on_error="skip")
        store = zarr.open_group(str(self.folder / "maps.zarr"), mode="r")
        for method in self.explainer.methods:
            np.testing.assert_array_equal(np.asarray(store[f"{method}/x"]), self.read(self.folder / "maps.zarr" / method / "x"))
        self.assertEqual((store["gradient/x"].shape, store["gradient/x"].chunks), ((10, 2, 1, 28, 28), (4, 2, 1, 28, 28)))
        # And what it holds is an input again.
        again = self.explainer.map(zarr.open_array(str(self._samples()), mode="r"), self.folder / "again", shard=4)
        self.close(np.asarray(again.load("gradient")), self.explainer(np.nan_to_num(self.x))["gradient"])

    def _samples(self):
        """The samples as such a store, written by NumPy."""
        folder = self.folder / "x.zarr"
        folder.mkdir()
        (folder / ".zarray").write_text(json.dumps({"zarr_format": 2, "shape": [10, 1, 28, 28], "chunks": [10, 1, 28, 28], "dtype": "<f4", "compressor": None, "fill_value": 0, "filters": None, "order": "C"}))
        np.nan_to_num(self.x).astype("<f4").tofile(folder / "0.0.0.0")
        return folder


if __name__ == "__main__":
    unittest.main()
