"""How a peer speaks: it says that it is ready, then answers `run N`, `write FILE.npy` and `peak` from standard input, a JSON object a
line, as the program `analyze` does for rulegrad."""

import json
import sys
import time

import numpy


def status_kb(key):
    with open("/proc/self/status") as file:
        return next((int(line.split()[1]) for line in file if line.startswith(key + ":")), 0)


def serve(run, **about):
    """`run` computes the explanation of one batch and gives a NumPy array."""

    def answer(**values):
        print(json.dumps(values), flush=True)

    answer(ready=True, idle_kb=status_kb("VmRSS"), **about)
    for line in sys.stdin:
        request, _, argument = line.strip().partition(" ")
        if request == "run":
            count = int(argument)
            start = time.perf_counter()
            for _ in range(count):
                run()
            answer(ms=(time.perf_counter() - start) * 1000 / count)
        elif request == "write":
            numpy.save(argument, run())
            answer(written=True)
        elif request == "peak":
            answer(peak_kb=status_kb("VmHWM"))
        else:
            sys.exit(f"error: '{request}' is no request; there are: run N, write FILE.npy, peak")
