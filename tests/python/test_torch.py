"""Models of PyTorch: names of modules, the same outputs and gradients, and what PyTorch itself computes. Skipped without torch."""

import unittest

import numpy as np

from support import Case, rg
from rulegrad._torch import scope_names

try:
    import onnxscript  # noqa: F401
    import torch
except ImportError:
    torch = None


class Names(Case):
    def test_scopes(self):
        self.assertEqual(scope_names([("conv1", "Conv"), ("", "Relu"), ("fc", "Gemm")]), ["conv1", "relu", "fc"])
        self.assertEqual(scope_names([("a.conv", "Conv"), ("a.bn", "BatchNormalization"), ("a", "Add"), ("a", "Relu"), ("b", "Gemm")]), ["a.conv", "a.bn", "a/add", "a", "b"])
        self.assertEqual(scope_names([("act", "Relu"), ("fc", "Gemm"), ("act", "Relu")]), ["act", "fc", "act#2"])
        self.assertEqual(scope_names([("", "Add"), ("", "Add")]), ["add", "add#2"])
        self.assertEqual(scope_names([]), [])


@unittest.skipIf(torch is None, "torch and onnxscript are not installed")
class FromTorch(Case):
    @classmethod
    def setUpClass(cls):
        class Block(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = torch.nn.Conv2d(8, 8, 3, padding=1)
                self.bn = torch.nn.BatchNorm2d(8)
                self.act = torch.nn.ReLU()

            def forward(self, x):
                return self.act(self.bn(self.conv(x)) + x)

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = torch.nn.Conv2d(3, 8, 3, padding=1)
                self.layer1 = torch.nn.Sequential(Block(), Block())
                self.pool = torch.nn.MaxPool2d(2)
                self.fc = torch.nn.Linear(8 * 64, 10)

            def forward(self, x):
                return self.fc(self.pool(self.layer1(torch.relu(self.conv1(x)))).flatten(1))

        torch.manual_seed(0)
        cls.net = Net().train()
        cls.model = rg.from_torch(cls.net, torch.randn(1, 3, 16, 16))
        cls.x = torch.randn(5, 3, 16, 16)

    def gradient(self, target):
        self.net.eval()
        x = self.x.detach().clone().requires_grad_(True)
        self.net(x)[:, target].sum().backward()
        return x.grad.numpy()

    def test_modules_name_nodes(self):
        names = {name for row in self.model.nodes for name in row["names"]}
        self.assertLessEqual({"conv1", "layer1.0.conv", "layer1.0.bn", "layer1.0", "layer1", "pool", "fc"}, names)
        e = self.model.explain(self.x, "lrp.epsilon", at="layer1.0")
        self.assertEqual(e.attribution.shape, (5, 8, 16, 16))
        mine = rg.rules('rulegrad 1\nanalyzer mine { use flat on name("conv1") use lrp.epsilon default gradient }\nrules flat { grad(y: conv(x, w, b), g) => 0 * vjp(y, g) }\n')
        self.assertEqual(np.abs(self.model.explain(self.x, "mine", rules=mine).attribution).max(), 0)

    def test_the_module_stays_as_it_was(self):
        self.assertTrue(rg.from_torch(self.net.train(), self.x).inputs and self.net.training and self.net.layer1[0].bn.training)

    def test_outputs_and_gradients(self):
        self.net.eval()
        with torch.no_grad():
            self.close(self.model.predict(self.x)[self.model.outputs[0]["name"]], self.net(self.x).numpy(), 1e-5)
        self.close(self.model.explain(self.x, "gradient", 3).attribution, self.gradient(3), 1e-4)
        self.assertIn("differs from the module's by", self.model.notes[-1])

    def test_tensors_are_read_where_they_lie(self):
        from rulegrad._arrays import as_inputs

        x = self.x.contiguous()
        self.assertTrue(np.shares_memory(as_inputs(x, self.model.inputs)["x"], x.numpy()))
        self.close(self.model.explain(self.x.clone().requires_grad_(True), "gradient", 3).attribution, self.gradient(3), 1e-4)
        self.close(self.model.explain(self.x.detach().to(torch.bfloat16), "gradient", 3).scores, self.model.explain(self.x.detach().to(torch.bfloat16).float(), "gradient", 3).scores, 0)

    def test_several_inputs_and_outputs(self):
        class Two(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.left, self.right = torch.nn.Linear(3, 4), torch.nn.Linear(2, 4)

            def forward(self, a, b):
                h = torch.tanh(self.left(a) + self.right(b))
                return h, h.reshape(-1, 2, 2)

        a, b = torch.randn(4, 3), torch.randn(4, 2)
        model = rg.from_torch(Two(), (a, b))
        e = model.explain((a, b), "gradient", (1, 0), output=1)
        self.assertEqual([e["gradient", node].shape for node in e.nodes], [(4, 3), (4, 2)])

    def test_pickles(self):
        import pickle

        again = pickle.loads(pickle.dumps(self.model))
        self.close(again.explain(self.x, "gradient", 3).attribution, self.gradient(3), 1e-4)

    def test_what_cannot_be(self):
        self.raises(rg.errors.ArgumentError, "torch.nn.Module", rg.from_torch, lambda x: x, self.x)

        class Random(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = torch.nn.Linear(3, 2)

            def forward(self, x):
                return self.fc(x) + torch.randn_like(x)[:, :2]

        self.raises(rg.errors.ModelError, "", rg.from_torch, Random(), torch.randn(2, 3))


if __name__ == "__main__":
    unittest.main()
