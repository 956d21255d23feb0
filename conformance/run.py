#!/usr/bin/env python3
"""Asks tools the questions of the cases through their adapters (adapter.py) and tells what is right.

Usage: run.py --tool COMMAND [--tool COMMAND]... [--case NAME]... [--results FILE.json] [--page FILE.md] [--require]
       run.py --again FILE.json --page FILE.md

COMMAND starts an adapter: "python3 conformance/adapters/zennit_.py". An answer is
  right    within the tolerance of a reference, relative to its largest value
  told     wrong, and the tool said something that it never says of right answers
  silent   wrong, without a word
  refused  the tool raised an error
  crashed  the adapter ended
  -        the tool has no such method
Attributions are compared with every reference of a question; the best one counts. --page writes the tables between the markers of that page; --require exits with 1 unless every answer of every tool is right.
Needs the standard library; files are checked against schema.json where the package jsonschema is installed.
"""
import argparse
import collections
import json
import math
import pathlib
import re
import shlex
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: conformance/run.py --page -->", "<!-- end of tables -->"


def distance(found, expected):
    """The largest difference, relative to the largest expected value; infinity where the shapes differ."""
    if len(found) != len(expected):
        return math.inf
    size = max(map(abs, expected)) or 1.0
    worst = 0.0
    for a, b in zip(found, expected):
        if not math.isfinite(a):
            return math.inf
        worst = max(worst, abs(a - b) / size)
    return worst


class Adapter:
    def __init__(self, command):
        self.command, self.process, self.tool, self.versions = shlex.split(command), None, command, {}
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        hello = self.process.stdout.readline()
        if not hello:
            raise SystemExit(f"the adapter does not start: {' '.join(self.command)}")
        found = json.loads(hello)
        self.tool, self.versions = found["tool"], found["versions"]

    def ask(self, path, questions):
        try:
            self.process.stdin.write(f"{path}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        self.process.wait()
        self.start()
        return [{"crashed": True}] * questions

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def judge(question, answer):
    """An outcome without regard to words."""
    if "not_offered" in answer:
        return {"outcome": "-", "said": answer["not_offered"]}
    if "refused" in answer:
        return {"outcome": "refused", "said": answer["refused"]}
    if "crashed" in answer:
        return {"outcome": "crashed"}
    errors = [(distance(answer["attribution"], e["attribution"]["data"]), e.get("convention", "")) for e in question["expected"]]
    error, convention = min(errors)
    found = {"outcome": "right" if error <= question["tolerance"] else "wrong", "error": error, "words": answer.get("words", [])}
    if convention and found["outcome"] == "right":
        found["convention"] = convention
    return found


def shape_of(word):
    """A word without what differs from network to network."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", word)


def with_words(rows):
    """Wrong answers become silent or told: a word counts that is never said of a right answer."""
    usual = {shape_of(word) for row in rows if row["outcome"] == "right" for word in row["words"]}
    for row in rows:
        words = [word for word in row.pop("words", []) if shape_of(word) not in usual]
        if row["outcome"] == "wrong":
            row["outcome"] = "told" if words else "silent"
            if words:
                row["said"] = words[0]


def percent(error):
    if not math.isfinite(error):
        return ""
    return f" {error:.0e} times" if error >= 100 else f" {100 * error:.0f} %" if error >= 0.01 else f" {error:.0e}"


def cell(row):
    if row is None:
        return ""
    kind = row["outcome"]
    if kind == "right":
        return f"right ({row['convention']})" if "convention" in row else "right"
    if kind in ("silent", "told"):
        return f"**{kind}**{percent(row['error'])}"
    return {"-": "–"}.get(kind, kind)


def tables(results):
    """Markdown: counts a tool, then a table a method."""
    tools = [tool["tool"] for tool in results["tools"]]
    lines = ["| tool | versions | right | silent | told | refused | not offered |", "|---|---|---|---|---|---|---|"]
    for tool in results["tools"]:
        counts = collections.Counter(row["outcome"] for row in tool["answers"])
        refused = counts["refused"] + counts["crashed"]
        lines.append(f"| {tool['tool']} | {', '.join(f'{k} {v}' for k, v in tool['versions'].items())} | {counts['right']} | {counts['silent']} "
                     f"| {counts['told']} | {refused} | {counts['-']} |")
    found = {(tool["tool"], row["case"], row["method"]): row for tool in results["tools"] for row in tool["answers"]}
    methods = list(dict.fromkeys(question["method"] for case in results["cases"] for question in case["questions"]))
    for method in methods:
        lines += ["", f"### {method}", "", f"| construct | {' | '.join(tools)} |", f"|---|{'---|' * len(tools)}"]
        for case in results["cases"]:
            if any(question["method"] == method for question in case["questions"]):
                lines.append(f"| {case['construct']} | {' | '.join(cell(found.get((tool, case['name'], method))) for tool in tools)} |")
    return "\n".join(lines)


def write_page(page, results):
    before, rest = page.read_text().split(BEGIN)
    page.write_text(before + BEGIN + "\n\n" + tables(results) + "\n\n" + END + rest.split(END)[1])


def validate(cases):
    try:
        import jsonschema
    except ImportError:
        return
    schema = json.loads((here / "schema.json").read_text())
    for case in cases:
        jsonschema.validate(case, schema)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", action="append", default=[], metavar="COMMAND")
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--folder", type=pathlib.Path, default=here / "cases")
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--require", action="store_true")
    parser.add_argument("--again", type=pathlib.Path, metavar="FILE.json", help="the tables of results that were written before; nobody is asked")
    options = parser.parse_args()
    if options.again:
        write_page(options.page, json.loads(options.again.read_text()))
        return 0
    paths = sorted(options.folder.glob("*.json"))
    cases = [json.loads(path.read_text()) for path in paths]
    validate(cases)
    chosen = sorted(((case, path) for case, path in zip(cases, paths) if not options.case or case["name"] in options.case),
                    key=lambda pair: pair[0].get("place", 0))
    if not chosen:
        raise SystemExit(f"no case {', '.join(options.case)} in {options.folder}")
    results = {"cases": [{"name": case["name"], "construct": case["construct"], "questions": [{"method": q["method"]} for q in case["questions"]]}
                         for case, _ in chosen], "tools": []}
    failed = 0
    for command in options.tool:
        adapter, rows = Adapter(command), []
        for case, path in chosen:
            for question, answer in zip(case["questions"], adapter.ask(path, len(case["questions"]))):
                rows.append({"case": case["name"], "method": question["method"], **judge(question, answer)})
        adapter.close()
        with_words(rows)
        for row in rows:
            failed += row["outcome"] != "right"
            print(f"{adapter.tool:22} {row['case']:24} {row['method']:22} {row['outcome']:8} "
                  f"{format(row['error'], '.1e') if 'error' in row else '':8} {row.get('convention', row.get('said', ''))[:140]}", flush=True)
        results["tools"].append({"tool": adapter.tool, "versions": adapter.versions, "answers": rows})
    if options.results:
        options.results.write_text(json.dumps(results, indent=1) + "\n")
    if options.page:
        write_page(options.page, results)
    for tool in results["tools"]:
        print(f"{tool['tool']}: {dict(collections.Counter(row['outcome'] for row in tool['answers']))}")
    return 1 if options.require and failed else 0


if __name__ == "__main__":
    sys.exit(main())
