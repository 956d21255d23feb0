"""Models of Keras 3: names of layers, files, the same answers. Skipped without Keras."""

import importlib.util
import os
import tempfile
import unittest

import numpy as np

from support import Case, rg, shared

if importlib.util.find_spec("keras") and importlib.util.find_spec("torch") and importlib.util.find_spec("onnxscript"):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
else:
    keras = None


@unittest.skipIf(keras is None, "keras, torch and onnxscript are not installed")
class FromKeras(Case):
    @classmethod
    def setUpClass(cls):
        layers = keras.layers
        keras.utils.set_random_seed(0)
        cls.net = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(8, 3, activation="relu", name="first"), layers.BatchNormalization(name="norm"),
                                    layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, activation="softmax", name="answer")])
        cls.model = rg.from_keras(cls.net)
        cls.x = np.random.default_rng(0).random((4, 28, 28, 1), dtype=np.float32)

    def test_layers_name_nodes(self):
        names = {name for row in self.model.nodes for name in row["names"]}
        self.assertLessEqual({"first", "norm", "max_pooling2d", "flatten", "answer"}, names)
        self.close(self.model.predict(self.x, "first")["first"], keras.ops.convert_to_numpy(self.net.layers[0](self.x)))

    def test_answers(self):
        self.close(next(iter(self.model.predict(self.x).values())), self.net.predict(self.x, verbose=0))
        self.assertEqual(self.model.preprocessing["layout"], "nhwc")
        e = self.model.explain(self.x, ["gradient", "lrp.epsilon"])
        self.assertEqual(e["gradient"].shape, self.x.shape)
        self.assertEqual(e.image().shape[2], 3)

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            for ending in ("keras", "h5"):
                file = f"{folder}/net.{ending}"
                self.net.save(file)
                loaded = rg.load(file)
                self.assertEqual(loaded.name, "net")
                self.close(loaded.explain(self.x, "gradient", 3).attribution, self.model.explain(self.x, "gradient", 3).attribution)

    def test_files_of_others(self):
        folder = shared("keras")
        read = 0
        for file in sorted(folder.glob("*.h5")) + sorted(folder.glob("*.hdf5")):
            with self.subTest(file.name):
                try:
                    net = keras.models.load_model(file, compile=False)
                except (ValueError, TypeError) as problem:
                    print(f"Keras {keras.__version__} itself cannot read {file.name}: {str(problem).splitlines()[0][:100]}")
                    continue
                model = rg.load(file)
                shape = [extent if isinstance(extent, int) else 2 for extent in model.inputs[0]["shape"]]
                x = np.random.default_rng(0).random(shape, dtype=np.float32)
                self.close(next(iter(model.predict(x).values())), keras.ops.convert_to_numpy(net(x, training=False)), 1e-4)
                self.assertEqual(model.explain(x, "lrp.epsilon_plus").attribution.shape, x.shape)
                read += 1
        self.assertGreater(read, 0)

    def test_dense_30_3_1(self):
        """The reported case: 22 features, tanh, a rule of one's own for it."""
        layers = keras.layers
        net = keras.Sequential([keras.Input((22,)), layers.Dense(30, activation="tanh", name="a"), layers.Dense(3, activation="tanh", name="b"), layers.Dense(1, name="c")])
        model = rg.from_keras(net, rules=rg.rules(
            "rulegrad 1\nanalyzer guided_tanh { use guided default gradient }\nrules guided { grad(tanh(x), g) => where(x > 0, clip_pos(vjp(tanh(x), g)), 0) }\n"))
        x = np.random.default_rng(0).standard_normal((5, 22)).astype("f")
        e = model.explain(x, ["guided_tanh", "gradient"])
        w = [np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.float64) for layer in net.layers]
        b = [np.asarray(keras.ops.convert_to_numpy(layer.bias), np.float64) for layer in net.layers]
        z1 = x @ w[0] + b[0]
        z2 = np.tanh(z1) @ w[1] + b[1]
        for guided in (True, False):
            g = np.broadcast_to(w[2][:, 0], z2.shape)
            for z, weight in ((z2, w[1]), (z1, w[0])):
                g = g * (1 - np.tanh(z) ** 2)
                if guided:
                    g = np.where(z > 0, np.maximum(g, 0), 0)
                g = g @ weight.T
            self.close(e["guided_tanh" if guided else "gradient"], g, 1e-4)
        self.assertEqual(e.image().shape[2], 3)

    def test_what_cannot_be(self):
        self.raises(rg.errors.ArgumentError, "Keras 3 model", rg.from_keras, 3)


if __name__ == "__main__":
    unittest.main()
