"""Several processes on one machine: the same as one, also when a worker is killed. Skipped without dask and distributed."""

import importlib.util
import os
import shutil
import signal
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np

from support import DEMO, Case, fashion, fashion_pictures, rg

HAVE = importlib.util.find_spec("dask") and importlib.util.find_spec("distributed")


@unittest.skipUnless(HAVE, "dask and distributed are not installed")
class Dask(Case):
    @classmethod
    def setUpClass(cls):
        from dask.distributed import Client, LocalCluster

        cls.model = fashion()
        cls.x = np.concatenate([fashion_pictures(cls.model)] * 3)[:26]
        cls.explainer = cls.model.explainer(["gradient", "smoothgrad:n=40"])
        cls.cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
        cls.client = Client(cls.cluster)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.cluster.close()

    def test_arrays(self):
        import dask.array as da
        import rulegrad.dask

        whole = self.explainer(self.x)["gradient"]
        found = rulegrad.dask.explain(self.explainer, da.from_array(self.x, chunks=(7, 1, 14, 28)))
        self.assertEqual((found.shape, found.dtype, found.chunks[0]), (self.x.shape, np.dtype("f4"), (7, 7, 7, 5)))
        self.close(found.compute(), whole)
        targets = np.arange(26) % 10
        each = rulegrad.dask.explain(self.explainer, self.x, targets)
        self.close(each.compute(), self.explainer(self.x, targets)["gradient"])
        hidden = rulegrad.dask.explain(self.model.explainer("gradient", at="dense1"), self.x, 3)
        self.close(hidden.compute(), self.model.explain(self.x, "gradient", 3, at="dense1").attribution)

    def test_files_and_a_killed_worker(self):
        import rulegrad.dask
        from rulegrad import stream

        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        files = []
        for k, sample in enumerate(self.x):
            files.append(folder / f"{k:03d}.npy")
            np.save(files[-1], sample)
        alone = stream.run(self.explainer, files, folder / "alone", shard=2, threads=1)
        victim = next(iter(self.client.scheduler_info()["workers"].values()))["pid"] if "pid" in next(iter(self.client.scheduler_info()["workers"].values())) else None
        victim = victim or next(iter(self.client.run(os.getpid).values()))
        import threading

        killer = threading.Thread(target=lambda: (_until(lambda: len(list(folder.glob("many/records/*.json"))) >= 2), os.kill(victim, signal.SIGKILL)))
        killer.start()
        many = rulegrad.dask.run(self.explainer, files, folder / "many", self.client, shard=2)
        killer.join()
        self.assertEqual(many.column("name"), alone.column("name"))
        for method in self.explainer.methods:
            self.assertEqual(np.asarray(many.load(method)).tobytes(), np.asarray(alone.load(method)).tobytes())
        first, second = ((folder / name / "manifest.json").read_bytes() for name in ("alone", "many"))
        self.assertEqual(first, second)


def _until(true, seconds=60):
    end = time.time() + seconds
    while not true() and time.time() < end:
        time.sleep(0.005)


if __name__ == "__main__":
    unittest.main()
