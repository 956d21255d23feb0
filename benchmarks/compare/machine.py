"""The machine and the peers, as the report names them."""

import json
import os
import platform
import subprocess
import sys

# Run apart, so that measuring does not carry the peers' libraries along.
PROBES = {
    "pytorch": "import torch; print(json.dumps(['PyTorch ' + torch.__version__, torch.__config__.show()]))",
    "lxt": "import peer; peer.import_lxt(); import importlib.metadata as m; print(json.dumps(['LXT ' + m.version('lxt'), '']))",
    "zennit": "import peer; peer.import_zennit(); import importlib.metadata as m; print(json.dumps(['Zennit ' + m.version('zennit'), '']))",
    "captum": "import captum; print(json.dumps(['Captum ' + captum.__version__, '']))",
    "innvestigate": "import innvestigate, tensorflow; import importlib.metadata as m; print(json.dumps(['iNNvestigate ' + m.version('innvestigate') + ' on TensorFlow ' + tensorflow.__version__, '']))",
}
# Beside them, what runs a network forwards, or compiles it (best.py).
RUNNERS = {
    "onnxruntime": "import onnxruntime; print(json.dumps(['onnxruntime ' + onnxruntime.__version__, '']))",
    "openvino": "import openvino; print(json.dumps(['OpenVINO ' + openvino.__version__, '']))",
    "jax": "import jax, jaxlib; print(json.dumps(['JAX ' + jax.__version__ + ', jaxlib ' + jaxlib.__version__, '']))",
}
# Of what PyTorch says of itself, what bears on speed.
BUILD_WORDS = ("Math Kernel Library", "MKL-DNN", "OpenMP", "CPU capability")


def peers(wanted, interpreters, probes=PROBES):
    """By name: what it is and how it was built; None where it does not work here, or is not wanted. `interpreters` may name a Python
    of its own for a peer."""
    found = dict.fromkeys(probes)
    for name, probe in probes.items():
        if name not in wanted:
            continue
        here = os.path.dirname(os.path.abspath(__file__))
        run = subprocess.run([interpreters.get(name, sys.executable), "-W", "ignore", "-c", "import json; " + probe], capture_output=True, text=True, cwd=here)
        if run.returncode == 0:
            version, build = json.loads(run.stdout.strip().splitlines()[-1])
            found[name] = (version, [line.strip(" -") for line in build.splitlines() if any(word in line for word in BUILD_WORDS)])
    return found


def cores():
    return len(os.sched_getaffinity(0))


def processor():
    with open("/proc/cpuinfo") as file:
        lines = file.read().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    vector = next((title for flag, title in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("sse4_2", "SSE4.2")) if flag in flags), "no vector units")
    return name, vector


def memory_gigabytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def busy():
    """How many processes ran in the last minute, apart from what is measured."""
    return os.getloadavg()[0]


def rulegrad_build(build):
    """How rulegrad was built, as Meson knows it."""
    run = subprocess.run(["meson", "introspect", "--buildoptions", build], capture_output=True, text=True)
    if run.returncode != 0:
        return "build options unknown"
    values = {option["name"]: option["value"] for option in json.loads(run.stdout)}
    words = [f"{name}={values[name]}" for name in ("buildtype", "optimization", "b_ndebug", "onednn", "cpp_args") if values.get(name) not in (None, [], "")]
    return ", ".join(words)
