#!/usr/bin/env python3
"""Times exported explanations on onnxruntime beside Zennit and Captum on PyTorch, on a GPU: same networks, same inputs, in turns.

usage: run.py FOLDER [--device cuda|cpu] [--seconds 480] [--rounds 5] [--case NETWORK.METHOD]... [--batch N]... [--json FILE]

FOLDER is what prepare.py wrote. Needs torch with CUDA, onnxruntime-gpu, numpy, and Zennit and Captum where they are to be timed; with
--device cpu it runs on the CPU provider, which shows that it works and compares nothing. Every contender has its inputs on the device
before the clock starts and is waited for before it stops; a turn lasts at least a fifth of a second, contenders take turns, rounds are
told by their least and their median. The error is that of the first sample, relative to the largest value of rulegrad's in float64. No case is
begun once --seconds are over.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import numpy
import onnx
import torch
from onnx import numpy_helper

here = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent / "compare"), str(here)]

import networks  # noqa: E402
from cases import INPUTS  # noqa: E402
from prepare import FORMS, digest  # noqa: E402


class NotOffered(Exception):
    pass


def largest(scores):
    return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores)


class Onnxruntime:
    """The whole graph in one call: scores and attribution."""

    def __init__(self, case, folder, x, device):
        import onnxruntime

        self.version = onnxruntime.__version__
        parameters = {name: value.numpy() for name, value in networks.make(case["network"]).named_parameters()}
        model = onnx.load(folder / case["file"])
        for tensor in model.graph.initializer:
            how = case["left_out"].get(tensor.name)
            if how is None:
                continue
            value = FORMS[how["form"]](parameters[how["parameter"]])
            if digest(value) != how["digest"]:
                raise SystemExit(f"{how['parameter']} of {case['network']} is not what it was where {case['file']} was written: this torch draws other numbers")
            tensor.CopyFrom(numpy_helper.from_array(numpy.ascontiguousarray(value).reshape(tuple(tensor.dims)), tensor.name))
        provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise NotOffered(f"onnxruntime {self.version} has no {provider}; install onnxruntime-gpu")
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=[provider])
        if self.session.get_providers()[0] != provider:
            raise NotOffered(f"{provider} did not start")
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x, device, 0))
        for output in self.session.get_outputs():
            self.binding.bind_output(output.name, device, 0)
        self.place = [o.name for o in self.session.get_outputs()].index(case["output"])

    def run(self):
        self.session.run_with_iobinding(self.binding)
        self.binding.synchronize_outputs()

    def result(self):
        return self.binding.copy_outputs_to_cpu()[self.place]


class Torch:
    """What peers of PyTorch share."""

    def __init__(self, case, folder, x, device):
        self.version, self.device = torch.__version__, device
        self.net, self.x, self.found = networks.make(case["network"], self.sums()).to(device), torch.from_numpy(x).to(device), None
        self.prepare(case["method"])

    def sums(self):
        """The module of sums, if a tool needs one."""

    def prepare(self, method):
        raise NotImplementedError

    def explain(self):
        raise NotImplementedError

    def run(self):
        self.found = self.explain()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def result(self):
        return self.found.detach().cpu().numpy()


class Autograd(Torch):
    def prepare(self, method):
        if method not in ("gradient", "input_x_gradient"):
            raise NotOffered("autograd gives gradients")
        self.times = method == "input_x_gradient"

    def explain(self):
        x = self.x.clone().requires_grad_(True)
        scores = self.net(x)
        found = torch.autograd.grad(scores, x, largest(scores))[0]
        return found * x if self.times else found


class Zennit(Torch):
    def sums(self):
        from peer import import_zennit

        return import_zennit().layer.Sum

    def prepare(self, method):
        from peer import import_zennit

        zennit = import_zennit()
        from importlib.metadata import version

        self.version = version("zennit")
        if method not in ("gradient", "epsilon_plus_flat"):
            raise NotOffered(f"Zennit has no {method} with these conventions")
        composite = None if method == "gradient" else zennit.composites.EpsilonPlusFlat()
        # Hooks are hung once, before anything is timed.
        self.attributor = zennit.attribution.Gradient(model=self.net, composite=composite).__enter__()

    def explain(self):
        return self.attributor(self.x, largest)[1]


class Captum(Torch):
    def prepare(self, method):
        import captum
        from captum.attr import InputXGradient, IntegratedGradients, Saliency

        self.version = captum.__version__
        if method == "gradient":
            attribute = Saliency(self.net)
            self.ask = lambda target: attribute.attribute(self.x, target, abs=False)
        elif method == "input_x_gradient":
            attribute = InputXGradient(self.net)
            self.ask = lambda target: attribute.attribute(self.x, target)
        elif method == "integrated_gradients":
            attribute = IntegratedGradients(self.net)
            self.ask = lambda target: attribute.attribute(self.x, torch.zeros_like(self.x), target, n_steps=20)
        else:
            raise NotOffered(f"Captum has no {method}")

    def explain(self):
        with torch.no_grad():
            target = self.net(self.x).argmax(1)
        self.x = self.x.detach().requires_grad_(True)
        return self.ask(target)


CONTENDERS = {"onnxruntime": Onnxruntime, "PyTorch": Autograd, "Zennit": Zennit, "Captum": Captum}


def turn(contender, least=0.2):
    """Seconds of one run, the mean of as many as a turn takes."""
    start, runs = time.perf_counter(), 0
    while True:
        contender.run()
        runs += 1
        spent = time.perf_counter() - start
        if spent >= least:
            return spent / runs


def error(found, expected):
    size = float(numpy.abs(expected).max()) or 1.0
    return float(numpy.abs(found[:1].astype(numpy.float64).reshape(expected.shape) - expected).max() / size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--batch", action="append", type=int, default=[])
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device; --device cpu shows that the rest works")
    name = torch.cuda.get_device_name(0) if options.device == "cuda" else "CPU"
    # TensorFloat-32 would compare other precisions than float32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    begun, rows, left_out = time.perf_counter(), [], 0
    print(f"{name}, torch {torch.__version__}; milliseconds a run, least and median of {options.rounds} turns; largest error")
    for case in json.loads((options.folder / "cases.json").read_text()):
        label = f"{case['network']}.{case['method']}"
        if options.case and label not in options.case:
            continue
        expected = numpy.load(options.folder / case["expected"])
        for batch in case["batches"]:
            if options.batch and batch not in options.batch:
                continue
            if time.perf_counter() - begun > options.seconds:
                left_out += 1
                continue
            x = numpy.random.default_rng(7).standard_normal((batch, *INPUTS[case["network"]])).astype(numpy.float32)
            running = {}
            for word, kind in CONTENDERS.items():
                try:
                    contender = kind(case, options.folder, x, options.device)
                    contender.run()
                    contender.run()
                    running[word] = contender
                except (NotOffered, ImportError) as why:
                    print(f"  {label} batch {batch}: {word} is left out: {why}")
            times = {word: [] for word in running}
            for _ in range(options.rounds):
                for word, contender in running.items():
                    times[word].append(1e3 * turn(contender))
            for word, contender in running.items():
                row = {"case": label, "batch": batch, "contender": word, "version": contender.version, "least": min(times[word]),
                       "median": statistics.median(times[word]), "error": error(contender.result(), expected), "device": name}
                rows.append(row)
                print(f"{label:34} batch {batch:3}  {word:12} {row['least']:9.3f} {row['median']:9.3f}  {row['error']:.1e}", flush=True)
            running.clear()
    if left_out:
        print(f"{left_out} cases were not begun: {options.seconds:.0f} s were over")
    print(f"{time.perf_counter() - begun:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
