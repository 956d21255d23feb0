"""What an analysis costs beside its kernels: starting up, reading large graphs, the order of calls, memory."""

import json
import os
import statistics
import subprocess
import time

import cases

METHOD = "zennit.epsilon_plus_flat"
# Zennit's composites, and its commonest rules in every layer.
TWELVE = [f"zennit.{name}" for name in ("epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box:low=-4,high=4",
                                        "guided_backprop", "deconvnet", "excitation_backprop", "beta_smooth", "epsilon", "gamma", "alpha_beta")]


def lines_of(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1")
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    return [json.loads(line) for line in run.stdout.splitlines()]


def start_up(comparison, repeat, threads=1):
    """Process start to a written heat map, and the analysis by itself. Threads do not help to start."""
    model = comparison.network("squeezenet")
    data = comparison.input("squeezenet", 1)
    if "--input" not in data:
        return None
    out = os.path.join(comparison.directory, "heat.png")
    command = [os.path.join(comparison.build, "src", "cli", "rulegrad"), "analyze", model, "-i", data[1], "-m", METHOD, "-o", out, "--threads", str(threads)]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    whole = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        whole.append((time.perf_counter() - start) * 1000)
    analyze = os.path.join(comparison.build, "benchmarks", "analyze")
    runs = [line["ms"] for line in lines_of([analyze, model, METHOD, *data, "--threads", str(threads), "--repeat", str(repeat)], threads) if "ms" in line]
    return statistics.median(whole[1:]), statistics.median(runs)


def large_graph(comparison, repeat):
    """Reading and compiling 10,000 operations: forward, and with their gradient."""
    path = os.path.join(comparison.directory, "deep.onnx")
    subprocess.run([os.path.join(comparison.build, "benchmarks", "write_network"), "deep", path], check=True)
    analyze = os.path.join(comparison.build, "benchmarks", "analyze")
    totals = []
    for method in ("forward", "gradient"):
        runs = [lines_of([analyze, path, method, "--repeat", "1"], 1)[0] for _ in range(repeat)]
        totals.append(statistics.median(r["load_ms"] + r["rewrite_ms"] + r["compile_ms"] for r in runs))
    return totals


def overhead(comparison):
    """What a run of LeNet takes beside its kernels, on one thread."""
    analyze = os.path.join(comparison.build, "benchmarks", "analyze")
    command = [analyze, comparison.network("lenet"), "zennit.epsilon_plus", *comparison.input("lenet", 1), "--threads", "1", "--repeat", "500", "--overhead"]
    runs = [line for line in lines_of(command, 1) if "overhead_ms" in line]
    return statistics.median(r["overhead_ms"] for r in runs), statistics.median(r["ms"] for r in runs)


def memory(comparison, network):
    """Megabytes of the process that are its own; those that the program says it needs; and copies of weights that could not be mapped."""
    analyze = os.path.join(comparison.build, "benchmarks", "analyze")

    def own(method):
        lines = lines_of([analyze, comparison.network(network), method, *comparison.input(network, 1), "--repeat", "1"], 1)
        return lines[-1]["own_kb"] * 1024 / 1e6, (lines[0]["folded_bytes"] + lines[0]["packed_bytes"]) / 1e6, lines[0]["arena_bytes"] / 1e6

    plain, plain_packed, plain_arena = own("forward")
    return *own(METHOD), max(plain - plain_packed - plain_arena, 0.0)


def together(comparison, network, methods, threads):
    """Milliseconds of several methods in one call, those of their floor (none without oneDNN), and their contractions."""
    times, program = comparison.turns_beside_floor(network, 1, threads, ";".join(methods))
    return [statistics.median(times[name]) for name in ("rulegrad", "floor") if name in times], program["contractions"]


def markdown(comparison, cores, repeat):
    rows = ["| what | measured | wanted |", "|---|---|---|"]
    started = start_up(comparison, repeat)
    if started:
        whole, analysis = started
        rows.append(f"| SqueezeNet, process start to written heat map, beyond the analysis | {whole - analysis:.0f} ms ({whole:.0f} - {analysis:.0f}) | 150 ms |")
    forward, gradient = large_graph(comparison, repeat)
    rows.append(f"| reading and compiling 10,000 operations | {forward:.0f} ms | 500 ms |")
    rows.append(f"| reading, differentiating and compiling them | {gradient:.0f} ms | |")
    beside, whole = overhead(comparison)
    rows.append(f"| LeNet, EpsilonPlus, batch 1, one thread: beside the kernels | {beside:.3f} ms of {whole:.3f} | 0.1 ms |")
    if comparison.peers["pytorch"]:
        own, folded, arena, copied = memory(comparison, "vgg16")
        rows.append(f"| {cases.TITLES['vgg16']}, EpsilonPlusFlat, batch 1: own memory beyond the mapped model | {own - copied:.0f} MB, "
                    f"{(own - copied) / (folded + arena):.2f} x (folded and packed weights {folded:.0f} + arena {arena:.0f}); and {copied:.0f} MB of weights, "
                    "copied where the exporter did not align them | 1.15 x |")
        one, one_count = together(comparison, "vgg16", TWELVE[:1], cores)
        for name, methods, wanted in (("Zennit's nine composites", TWELVE[:9], ""), ("twelve methods", TWELVE, "4.8 x")):
            several, count = together(comparison, "vgg16", methods, cores)
            ratios = [a / b for a, b in zip(several, one)]
            floors = f"floors {ratios[1]:.1f} x, " if len(ratios) > 1 else ""
            rows.append(f"| {cases.TITLES['vgg16']}, batch 1: {name} in one call against EpsilonPlus alone | {ratios[0]:.1f} x ({several[0]:.0f} / {one[0]:.0f} ms); "
                        f"{floors}contractions {count / one_count:.1f} x ({count} / {one_count}) | {wanted} |")
    return "\n".join(rows) + "\n"
