#!/usr/bin/env python3
"""Runs the commands of the documentation's console blocks and writes what they print below them.

Usage: update_console_blocks.py BUILD_DIRECTORY PAGE.md...   (look at the difference before you commit it)
"""
import os
import pathlib
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
build = pathlib.Path(sys.argv[1]).resolve()
environment = dict(os.environ, COLUMNS="160", PATH=f"{build}/src/cli:{build}/examples:{os.environ['PATH']}")

for name in sys.argv[2:]:
    page = pathlib.Path(name)
    lines, inside, command = [], False, None
    with tempfile.TemporaryDirectory() as place:
        for folder in ("examples", "rules", "docs"):
            os.symlink(root / folder, os.path.join(place, folder))
        source = page.read_text().split("\n")
        for number, line in enumerate(source):
            if line == "```console":
                inside = True
            elif line == "```":
                inside = False
            if not inside or line == "```console":
                lines.append(line)
                continue
            more = command is not None
            if not more and not line.startswith("$ "):
                continue
            lines.append(line)
            text = line[2:] if not more or line.startswith("> ") else "" if line == ">" else line
            command = text if not more else command + "\n" + text
            if line.endswith("\\") or source[number + 1] == ">" or source[number + 1].startswith("> "):
                continue
            done = subprocess.run(["bash", "-c", command], cwd=place, env=environment, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            lines.extend(done.stdout.rstrip("\n").split("\n") if done.stdout else [])
            command = None
    page.write_text("\n".join(lines))
