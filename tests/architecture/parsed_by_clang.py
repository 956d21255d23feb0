"""Clang parses every source of the library and of the command as this build compiles it (parsed_by_clang.py BUILD CLANG): what only g++
takes (a captured structured binding, deduction for an aggregate) is found where it is written, not by whoever builds with clang."""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

build, clang = pathlib.Path(sys.argv[1]), sys.argv[2]


def as_clang(command):
    """The command of g++ as clang is to be asked it: nothing is written, nothing is said of names of options or warnings."""
    words = shlex.split(command)
    while not words[0].startswith("-"):
        words.pop(0)
    kept, skip = [], False
    for word in words:
        if skip or word in ("-MD", "-c"):
            skip = False
        elif word in ("-MQ", "-MF", "-o"):
            skip = True
        elif not word.startswith(("-W", "-f", "-O", "-D_FORTIFY_SOURCE", "-D_GLIBCXX_ASSERTIONS")) or word.startswith("-fopenmp"):
            kept.append(word)
    return [clang, "-fsyntax-only", "-w", *kept]


def parse(entry):
    done = subprocess.run(as_clang(entry["command"]), cwd=entry["directory"], capture_output=True, text=True)
    return entry["file"], done.returncode, done.stderr


entries = [e for e in json.loads((build / "compile_commands.json").read_text())
           if e["file"].endswith(".cpp") and e["output"].startswith("src/")]
if not entries:
    sys.exit(f"no source of src in {build}/compile_commands.json")
failed = 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for file, code, said in pool.map(parse, entries):
        if code != 0:
            failed += 1
            print(f"--- {file}", said[:4000], sep="\n")
print(f"{len(entries)} sources, {failed} that clang does not parse")
sys.exit(1 if failed else 0)
