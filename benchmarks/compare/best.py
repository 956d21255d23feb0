#!/usr/bin/env python3
"""rulegrad beside every configuration of its peers that a user would try (rivals.py), in turns within one run: which of them is the best, how many
times as fast rulegrad is at the same precision, and whether that is what was asked.

usage: best.py BUILD [--networks N,..] [--analyses A,..] [--batches 1,8] [--threads 0] [--repeat 5] [--directory D] [--markdown FILE] [--json FILE [--resume]]

BUILD is a build directory of rulegrad. The peers (pip install torch onnx onnxscript zennit captum onnxruntime openvino jax) are those of the Python that
runs this; whichever is missing is left out, and the report says so.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile

import cases
import compare
import machine
import report
from rivals import ANALYSES, NETWORKS
from turns import Failed, Program, take_turns

PEERS = ("pytorch", "zennit", "captum", *machine.RUNNERS)
OURS = {"rulegrad": None, "rulegrad fast": "fast", "rulegrad bf16": "bf16"}


def command_of(rival, network, analysis, model):
    """The program of a peer in a configuration, but for its input."""
    here = os.path.dirname(os.path.abspath(__file__))
    if rival.peer in ("onnxruntime", "openvino", "jax"):
        command = [os.path.join(here, "onnx_peer.py"), rival.peer, model, analysis.peer_method]
    else:
        command = [os.path.join(here, "peer.py"), rival.peer, network, analysis.peer_method]
    return [sys.executable, "-W", "ignore", *command, "--configuration", rival.configuration]


def measure(comparison, network, batch, threads, name):
    """Milliseconds of all, by name; how far the float32 peers and the less exact precisions are off the exact result; who failed."""
    analysis = ANALYSES[name]
    model, data = comparison.network(network), comparison.input(network, batch)
    programs, result = {}, {"network": network, "batch": batch, "threads": threads, "analysis": name, "off": {}, "notes": []}
    result["title"] = f"{cases.TITLES[network]}, batch {batch}, {threads} threads, {analysis.title}"
    commands = {ours: [os.path.join(comparison.build, "benchmarks", "analyze"), model, analysis.call, "--serve", *(["--precision", precision] if precision else [])]
                for ours, precision in OURS.items()}
    commands |= {rival.title(): command_of(rival, network, analysis, model) for rival in analysis.rivals if comparison.peers[rival.peer]}
    try:
        for title, command in commands.items():
            try:
                programs[title] = Program(title, [*command, *data, "--threads", str(threads)], threads)
            except Failed as failed:
                result["notes"].append(str(failed))
        result["program"] = programs["rulegrad"].ready if "rulegrad" in programs else {}
        result["ms"], failed = take_turns(list(programs.values()), comparison.repeat)
        result["notes"] += [str(failure) for failure in failed.values()]
        if "rulegrad" not in result["ms"]:
            raise Failed("; ".join(result["notes"]))
        precise = {rival.title() for rival in analysis.rivals if rival.precise}
        for title, program in programs.items():
            if title == "rulegrad" or title not in result["ms"] or (title not in OURS and not analysis.same_numbers):
                continue
            off, sample = comparison.difference(program, programs["rulegrad"])
            result["off"][title] = off
            # Beyond rounding, where exact results are meant to agree, the plain float64 path says what kinks explain.
            if not off <= report.MOST_ROUNDING and (title in precise or title == "rulegrad fast"):
                result.setdefault("explained", {})[title] = comparison.explained(network, batch, threads, analysis.call, model, sample, OURS.get(title))
    finally:
        for program in programs.values():
            program.close()
    return result


def quickest(result, titles):
    """The one of these with the least minimum: machines are shared, and whatever disturbs makes slower."""
    return min((title for title in titles if title in result["ms"]), key=lambda title: min(result["ms"][title]), default=None)


def beside(result, ours, theirs, asked):
    """How many times as fast, and what was asked."""
    if ours is None or theirs is None:
        return None
    ratio = min(result["ms"][theirs]) / min(result["ms"][ours])
    return {"ours": ours, "theirs": theirs, "ratio": ratio, "asked": asked, "reached": asked is None or ratio >= asked}


def verdicts(result):
    """Exact beside the best float32 configuration; the faster of the others beside the best of what it is to be compared with."""
    analysis = ANALYSES[result["analysis"]]
    precise = [rival.title() for rival in analysis.rivals if rival.precise]
    narrow = precise if analysis.against == "float32" else [rival.title() for rival in analysis.rivals if not rival.precise]
    return (beside(result, "rulegrad", quickest(result, precise), analysis.asked(result["network"], True)),
            beside(result, quickest(result, ["rulegrad fast", "rulegrad bf16"]), quickest(result, narrow), analysis.asked(result["network"], False)))


def unexplained(results):
    """A line for each answer that is further off the exact one than rounding, kinks or bfloat16 explain."""
    lines = []
    for result in results:
        analysis = ANALYSES[result["analysis"]]
        precise = {rival.title() for rival in analysis.rivals if rival.precise}
        for title, off in result["off"].items():
            most = report.MOST_ROUNDING if title in precise or title == "rulegrad fast" else report.MOST_BFLOAT16 if title == "rulegrad bf16" else None
            # How far a peer's own bfloat16 is off is shown, and its affair.
            if most is not None and not off <= max(most, result.get("explained", {}).get(title, 0.0)):
                lines.append(f"  {result['title']}: {title} is {off:.0e} off")
    return lines


def times(result, title):
    off = result["off"].get(title)
    return f"{title} {report.number(statistics.median(result['ms'][title]))} ({report.number(min(result['ms'][title]))}" + (f"; {off:.0e})" if off is not None else ")")


def verdict_cell(verdict):
    if verdict is None:
        return ""
    words = f"{verdict['ratio']:.2f}x {verdict['theirs']}"
    if verdict["ours"] != "rulegrad":
        words = f"{verdict['ours'].removeprefix('rulegrad ')}: {words}"
    if verdict["asked"] is None:
        return words
    return f"{words}; {verdict['asked']:g}x asked" + ("" if verdict["reached"] else ", **not reached**")


def markdown(results, failures, peers, build, repeat, load):
    name, vector = machine.processor()
    ours = next((program for result in results for program in [result.get("program")] if program), {})
    lines = [f"Machine: {name}, {machine.cores()} cores, {vector}, {machine.memory_gigabytes():.0f} GB; load before the run {load:.1f}.", "",
             f"- rulegrad {ours.get('version', '')}: {machine.rulegrad_build(build)}."]
    for peer in PEERS:
        lines.append(f"- {peers[peer][0]}: {'; '.join(peers[peer][1]) or 'as packaged'}." if peers[peer] else f"- {peer}: left out, it is not installed.")
    lines += ["", f"Milliseconds: median of {repeat} (minimum; how far off the exact result, as a part of the largest value), in turns. Ratios are of minima, beside the quickest "
              "configuration of the peers at that precision.", "",
              "| network | batch | analysis | exact | fast or bf16 | rulegrad | peers |", "|---" * 7 + "|"]
    for result in results:
        exact, narrow = verdicts(result)
        ours = [title for title in OURS if title in result["ms"]]
        lines.append("| " + " | ".join([
            cases.TITLES[result["network"]], str(result["batch"]), ANALYSES[result["analysis"]].title, verdict_cell(exact), verdict_cell(narrow),
            ", ".join(times(result, title).replace("rulegrad ", "", 1) for title in ours),
            ", ".join(times(result, title) for title in result["ms"] if title not in OURS)]) + " |")
    notes = [f"{result['title']}: {note}" for result in results for note in result["notes"]] + failures
    if notes:
        lines += ["", "Not measured:", ""] + [f"- {note}" for note in notes]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--analyses", default=",".join(ANALYSES))
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--directory", help="where networks and inputs are kept for the next run; else they are temporary")
    parser.add_argument("--markdown", help="write the table there, between its marks if it has them; else to standard output")
    parser.add_argument("--json", help="write every timing there, after each case")
    parser.add_argument("--resume", action="store_true", help="take from the JSON file what was measured before")
    options = parser.parse_args()
    networks, names = options.networks.split(","), options.analyses.split(",")
    for word, known in [(n, cases.TITLES) for n in networks] + [(a, ANALYSES) for a in names]:
        if word not in known:
            sys.exit(f"best.py: error: there is no {word}; there are {', '.join(known)}")
    if options.resume and not options.json:
        parser.error("--resume takes up the results of an earlier run: name its file with --json")
    peers, load = machine.peers(PEERS, {}, machine.PROBES | machine.RUNNERS), machine.busy()
    known = {}
    if options.resume and os.path.exists(options.json):
        with open(options.json) as file:
            known = {tuple(result[key] for key in ("network", "batch", "threads", "analysis")): result for result in json.load(file)}
    threads, results, failures = options.threads or machine.cores(), [], []
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or temporary
        os.makedirs(directory, exist_ok=True)
        comparison = compare.Comparison(options.build, directory, peers, {}, options.repeat)
        for key in [(n, int(b), threads, a) for n in networks for b in options.batches.split(",") for a in names]:
            try:
                result = known.get(key) or measure(comparison, key[0], key[1], key[2], key[3])
            except Failed as failed:
                failures.append(f"{cases.TITLES[key[0]]}, batch {key[1]}, {ANALYSES[key[3]].title}: {failed}")
                continue
            results.append(result)
            known[key] = result
            print(f"{result['title']}: {' | '.join(verdict_cell(v) for v in verdicts(result))}", file=sys.stderr, flush=True)
            if options.json:
                with open(options.json, "w") as file:
                    json.dump(list(known.values()), file, indent=1)
    wrong = unexplained(results)
    if wrong:
        print("\n".join(["best.py: error: nothing is written, as these differences are more than rounding and kinks explain:", *wrong]), file=sys.stderr)
        return 1
    text = markdown(results, failures, peers, options.build, options.repeat, load)
    if options.markdown:
        report.write(options.markdown, text, "best.py")
    else:
        print(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
