#!/usr/bin/env python3
"""Runs the same networks, inputs and methods through rulegrad and its peers, in turns within one run, beside the floor.

usage: compare.py BUILD [--set quick|headline|documented|transformers|all] [--networks N,..] [--methods M,..] [--batches B,..] [--threads T,..] [--repeat 7]
                  [--peers P,..] [--python PEER=PYTHON ..] [--precisions fast,bf16] [--costs] [--floors] [--markdown FILE] [--plot FILE.svg] [--json FILE [--resume]]

BUILD is a build directory of rulegrad. The peers are PyTorch, Zennit, Captum, LXT and iNNvestigate, installed apart (pip install torch onnx
zennit captum lxt "transformers<5"; pip install "tensorflow<2.15" innvestigate in an environment of its own); whichever is missing is left out, and the report
says so. The floor needs oneDNN at build time. A peer may have an interpreter of its own, as an older PyTorch needs it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import cases
import costs
import machine
import report
from turns import Failed, Program, take_turns

HERE = os.path.dirname(os.path.abspath(__file__))


class Comparison:
    def __init__(self, build, directory, peers, interpreters, repeat):
        self.build, self.directory, self.peers, self.interpreters, self.repeat = build, directory, peers, interpreters, repeat
        self.precisions = []  # less exact ones, timed too

    def network(self, name):
        """The ONNX file of a network: exported by PyTorch, or, where that is missing, written by rulegrad."""
        path = os.path.join(self.directory, name + ".onnx")
        if os.path.exists(path):
            return path
        if self.peers["pytorch"]:
            run = self.torch(f"networks.export({name!r}, {path!r})")
        else:
            run = subprocess.run([os.path.join(self.build, "benchmarks", "write_network"), name, path], capture_output=True, text=True)
        if run.returncode != 0:
            raise Failed(f"{name} could not be written: {run.stderr.strip().splitlines()[-1]}")
        return path

    def input(self, network, batch):
        """What all programs are given; without peers rulegrad makes its own."""
        if not any(self.peers.values()):
            return ["--batch", str(batch)]
        import numpy

        path = os.path.join(self.directory, f"{network}-{batch}.npy")
        if not os.path.exists(path):
            values = numpy.random.default_rng(batch).standard_normal((batch, *cases.INPUTS[network]))
            numpy.save(path, values.clip(-4, 4).astype(numpy.float32))
        return ["--input", path]

    def floor(self, call, threads, model, data):
        """The program that measures bare primitives of the shapes that an analysis multiplies; None without oneDNN."""
        command = os.path.join(self.build, "benchmarks", "floor")
        if not os.path.exists(command):
            return None
        shapes = os.path.join(self.directory, "shapes.txt")
        analyze = os.path.join(self.build, "benchmarks", "analyze")
        run = subprocess.run([analyze, model, call, *data, "--shapes"], capture_output=True, text=True)
        if run.returncode != 0:
            raise Failed(run.stderr.strip())
        with open(shapes, "w") as file:
            file.write(run.stdout)
        return Program("floor", [command, shapes, "--threads", str(threads), "--serve"], threads)

    def peer(self, case):
        """The command of a case's peer."""
        method = cases.METHODS[case.method]
        python = [self.interpreters.get(method.peer, sys.executable), "-W", "ignore"]
        if method.peer != "innvestigate":
            return [*python, os.path.join(HERE, "peer.py"), method.peer, case.network, method.peer_method]
        layers = os.path.join(self.directory, case.network + ".npz")
        if not os.path.exists(layers):
            self.torch(f"networks.save_layers({case.network!r}, {layers!r})")
        return [*python, os.path.join(HERE, "keras_peer.py"), layers, method.peer_method]

    def torch(self, script):
        """Something that needs the torch modules, apart, so that measuring does not carry torch along."""
        return subprocess.run([sys.executable, "-W", "ignore", "-c", "import networks; " + script], cwd=HERE, capture_output=True, text=True)

    def difference(self, ours, theirs):
        """The largest difference between what two programs answer, relative to the largest value."""
        import numpy

        arrays = []
        for program in (ours, theirs):
            path = os.path.join(self.directory, program.name + ".npy")
            program.ask("write " + path)
            arrays.append(numpy.load(path))
        apart = abs(arrays[0] - arrays[1])
        sample = int(apart.reshape(len(apart), -1).max(1).argmax())
        return float(apart.max() / abs(arrays[1]).max()), sample

    def explained(self, network, batch, threads, call, model, sample, precision):
        """The largest difference that rounding explains at one sample of the input: what masks and signs that float32 may take the other way
        change there (rulegrad/prove/verify.hpp). Where rulegrad itself is further off the plain float64 path, nothing is explained."""
        import numpy

        whole = numpy.load(os.path.join(self.directory, f"{network}-{batch}.npy"))
        path = os.path.join(self.directory, "sample.npy")
        numpy.save(path, whole[sample : sample + 1])
        command = [os.path.join(self.build, "benchmarks", "analyze"), model, call, "--input", path, "--verify"]
        try:
            check = costs.lines_of(command + (["--precision", precision] if precision else []), threads)[-1]
        except RuntimeError as error:
            raise Failed(f"what explains a difference could not be computed: {error}") from error
        return check["explained"] if check["difference"] <= check["explained"] else 0.0

    def rounding_of_peer(self, case):
        """The largest difference between what a peer answers in float32 and in float64 for the sample that `explained` has written."""
        command = [*self.peer(case), "--input", os.path.join(self.directory, "sample.npy"), "--threads", str(case.threads)]
        programs = []
        try:
            for name, options in (("narrow", []), ("wide", ["--float64"])):
                programs.append(Program(name, command + options, case.threads))
            return self.difference(*programs)[0]
        finally:
            for program in programs:
                program.close()

    def hold(self, result, key, programs, case, model, precision=None):
        """Notes a difference, and, where it is more than rounding alone makes, what explains it."""
        result[key], sample = self.difference(*programs)
        if result[key] <= report.MOST_ROUNDING or precision == "bf16":
            return
        result[key + "_explained"] = self.explained(case.network, case.batch, case.threads, cases.METHODS[case.method].call, model, sample, precision)
        if result[key] > max(report.MOST_ROUNDING, result[key + "_explained"]) and precision is None and cases.METHODS[case.method].peer != "innvestigate":
            result[key + "_of_peer"] = self.rounding_of_peer(case)

    def kernels(self, case, model, data):
        """Milliseconds by kernel, and what is left beside them."""
        analyze = os.path.join(self.build, "benchmarks", "analyze")
        command = [analyze, model, cases.METHODS[case.method].call, *data, "--threads", str(case.threads), "--repeat", "3", "--overhead"]
        lines = costs.lines_of(command, case.threads)
        split = next(line["kernels_ms"] for line in lines if "kernels_ms" in line)
        return {**split, "beside kernels": statistics.median(line["overhead_ms"] for line in lines if "overhead_ms" in line)}

    def turns_beside_floor(self, network, batch, threads, call):
        """Milliseconds of rulegrad and the floor in turns, without peers, and what rulegrad says of its program."""
        model, data = self.network(network), self.input(network, batch)
        analyze = os.path.join(self.build, "benchmarks", "analyze")
        programs = []
        try:
            programs.append(Program("rulegrad", [analyze, model, call, *data, "--threads", str(threads), "--serve"], threads))
            floor = self.floor(call, threads, model, data)
            if floor:
                programs.append(floor)
            return take_turns(programs, self.repeat)[0], programs[0].ready
        finally:
            for program in programs:
                program.close()

    def beside_floor(self, case):
        result = {"case": vars(case), "ms": self.turns_beside_floor(case.network, case.batch, case.threads, cases.METHODS[case.method].call)[0]}
        print(report.line({**result, "title": case.title(), "notes": []}), file=sys.stderr, flush=True)
        return result

    def run(self, case):
        method = cases.METHODS[case.method]
        model, data = self.network(case.network), self.input(case.network, case.batch)
        programs = []
        result = {"case": vars(case), "title": case.title(), "notes": []}
        try:
            analyze = os.path.join(self.build, "benchmarks", "analyze")
            ours = Program("rulegrad", [analyze, model, method.call, *data, "--threads", str(case.threads), "--serve"], case.threads)
            programs.append(ours)
            result["program"] = ours.ready
            others = []
            if case.shown == 2:
                others += [(f"rulegrad {precision}", [*ours.command, "--precision", precision]) for precision in self.precisions]
            if self.peers[method.peer]:
                others.append((method.peer, [*self.peer(case), *data, "--threads", str(case.threads)]))
            for name, command in others:
                try:
                    programs.append(Program(name, command, case.threads))
                except Failed as failed:
                    result["notes"].append(str(failed))
            floor = self.floor(method.call, case.threads, model, data)
            if floor:
                programs.append(floor)
                result["floor"] = floor.ready
            result["ms"], failed = take_turns(programs, self.repeat)
            if "rulegrad" in failed:
                raise failed["rulegrad"]
            result["notes"] += [str(failure) for failure in failed.values()]
            measured = [program for program in programs if program.name not in failed and (program.name == "rulegrad" or program.name not in report.OURS)]
            for program in measured:
                result.setdefault("peak_kb", {})[program.name] = program.ask("peak")["peak_kb"]
                result.setdefault("idle_kb", {})[program.name] = program.ready["idle_kb"]
            if len(measured) == 2:
                self.hold(result, "difference", measured, case, model)
            for program in programs:
                precision = program.name.removeprefix("rulegrad ")
                if precision in self.precisions and program.name in result["ms"]:
                    self.hold(result, f"{precision}_difference", (program, ours), case, model, precision)
        finally:
            for program in programs:
                program.close()
        result["kernels"] = self.kernels(case, model, data)
        return result


def chosen(options):
    """The cases of the set, of those only what the other options name; without a set, whatever they name."""
    cores = machine.cores()
    words = lambda text, otherwise: text.split(",") if text else otherwise  # noqa: E731
    networks, methods = words(options.networks, list(cases.TITLES)), words(options.methods, list(cases.METHODS))
    for name, known in [(n, cases.TITLES) for n in networks] + [(m, cases.METHODS) for m in methods]:
        if name not in known:
            sys.exit(f"compare.py: error: there is no {name}; there are {', '.join(known)}")
    numbers = lambda text, otherwise: [int(word) or cores for word in text.split(",")] if text else otherwise  # noqa: E731
    batches, threads = numbers(options.batches, [1, 8, 32]), numbers(options.threads, [1, cores])
    if options.set is None and (options.networks or options.methods or options.batches or options.threads):
        return cases.product(networks, methods, batches, threads)
    wanted = [case for case in cases.SETS[options.set or "quick"](cores) if case.network in networks and case.method in methods
              and (not options.batches or case.batch in batches) and (not options.threads or case.threads in threads)]
    if not wanted:
        sys.exit(f"compare.py: error: the set {options.set} has no such case; without --set any network, method, batch and number of threads is measured")
    return wanted


def read_results(options):
    """Those of a run that was interrupted."""
    if not options.resume or not os.path.exists(options.json):
        return []
    with open(options.json) as file:
        return json.load(file)


def write_results(options, results):
    """Those of this run, and those of the file that this run does not ask for."""
    if options.json:
        with open(options.json, "w") as file:
            json.dump(list(results), file, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--set", choices=cases.SETS, help="quick, if nothing else is named; other options narrow it")
    parser.add_argument("--networks")
    parser.add_argument("--methods")
    parser.add_argument("--batches")
    parser.add_argument("--threads", help="0: as many as there are cores")
    parser.add_argument("--peers", help="only these; empty: rulegrad and the floor alone")
    parser.add_argument("--python", metavar="PEER=PYTHON", action="append", default=[],
                        help="the interpreter of a peer, if it is another; TensorFlow wants older packages than PyTorch")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--precisions", default="", help=f"time rulegrad with these less exact ones too: {','.join(report.PRECISIONS)}")
    parser.add_argument("--floors", action="store_true", help="measure too every method on every network beside its floor alone")
    parser.add_argument("--costs", action="store_true", help="measure too what an analysis costs beside its kernels")
    parser.add_argument("--directory", help="where networks and inputs are kept for the next run; else they are temporary")
    parser.add_argument("--markdown", help="write the tables there, between its marks if it has them; else to standard output")
    parser.add_argument("--plot", help="write an SVG there")
    parser.add_argument("--json", help="write every timing there, after each case")
    parser.add_argument("--resume", action="store_true", help="take from the JSON file what was measured before")
    options = parser.parse_args()
    if options.resume and not options.json:
        parser.error("--resume takes up the results of an earlier run: name its file with --json")

    precisions = options.precisions.split(",") if options.precisions else []
    if not set(precisions) <= set(report.PRECISIONS):
        sys.exit(f"compare.py: error: --precisions takes {', '.join(report.PRECISIONS)}, not {options.precisions}")
    wanted = options.peers.split(",") if options.peers is not None else list(machine.PROBES)
    interpreters = dict(word.split("=", 1) for word in options.python)
    for name in interpreters:
        if name not in machine.PROBES:
            sys.exit(f"compare.py: error: there is no peer {name}; there are {', '.join(machine.PROBES)}")
    peers = machine.peers(wanted, interpreters)
    results, failures = [], []
    load = machine.busy()
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or temporary
        os.makedirs(directory, exist_ok=True)
        comparison = Comparison(options.build, directory, peers, interpreters, options.repeat)
        comparison.precisions = precisions
        known = {cases.Case(**result["case"]): result for result in read_results(options)}
        for case in chosen(options):
            try:
                result = known.get(case) or comparison.run(case)
                results.append({**result, "case": vars(case)})
                print(report.line(result), file=sys.stderr, flush=True)
                known[case] = results[-1]
                write_results(options, known.values())
            except Failed as failed:
                failures.append(f"{case.title()}: {failed}")
                print(failures[-1], file=sys.stderr, flush=True)
        floors = report.floors([comparison.beside_floor(case) for case in cases.floors(machine.cores())]) if options.floors else ""
        beside = costs.markdown(comparison, machine.cores(), options.repeat) if options.costs else ""
    wrong = report.unexplained(results)
    if wrong:
        print("\n".join(["compare.py: error: nothing is written, as these differences are more than rounding and kinks explain:", *wrong]), file=sys.stderr)
        return 1
    text = report.markdown(results, failures, peers, options.build, options.repeat, load)
    if floors:
        text += "\n**Every method beside its floor**\n\n" + floors
    if beside:
        text += "\n**Beside the kernels**\n\n" + beside
    if options.markdown:
        report.write(options.markdown, text, f"compare.py --set {options.set or 'quick'}")
    else:
        print(text)
    if options.plot:
        with open(options.plot, "w") as file:
            file.write(report.plot(results))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
