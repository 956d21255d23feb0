"""Programs that take turns: each is a process that answers one request a line with a JSON object."""

import json
import os
import subprocess
import time


class Failed(Exception):
    """A program could not do its part; the text says which and why."""


class Program:
    def __init__(self, name, command, threads):
        self.name, self.command = name, command
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.ready = self._answer()

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended, and says why below
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            words = self.process.communicate()[1].strip().splitlines()
            raise Failed(f"{self.name}: {words[-1] if words else f'ended with {self.process.returncode}'}")
        return json.loads(line)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()


# A turn of something quick is many runs, so that its caches are warm, its threads are spread over the cores, which takes the system some
# milliseconds, and the clock is fine enough.
TURN_MS = 100
MOST_RUNS = 10000
SLOW_MS = 1000  # so long is one turn to warm up enough
PAUSE_S = 0.05  # before a turn: threads of the one before spin for a while before they sleep


def take_turns(programs, rounds):
    """Milliseconds of each program, by its name; one turn of each in every round. Those that fail give the reason instead."""
    times, runs, slow, failed = {}, {}, set(), {}
    for turn in range(-2, rounds):
        for program in programs:
            if program.name in failed or (turn == -1 and program.name in slow):
                continue
            time.sleep(PAUSE_S)
            try:
                ms = program.ask(f"run {runs.get(program.name, 1)}")["ms"]
            except Failed as failure:
                failed[program.name] = failure
                times.pop(program.name, None)
                continue
            if turn < 0:  # to warm up
                runs[program.name] = max(1, min(MOST_RUNS, int(TURN_MS / max(ms, 1e-3))))
                if ms > SLOW_MS:
                    slow.add(program.name)
            else:
                times.setdefault(program.name, []).append(ms)
    return times, failed
