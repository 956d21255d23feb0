#!/usr/bin/env python3
"""Writes docs/api, the reference of the public headers, from their `///` comments.

    api_reference.py            writes the pages
    api_reference.py --check    fails if a page is stale, or if a public function or type has no explanation

A function may share the explanation of the overload above it. What makes, copies and ends values, and comparison of two
values of a type, needs none. Headers under `internal` hold what no program names.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from header_parser import parse_header  # noqa: E402

root = pathlib.Path(__file__).resolve().parent.parent
headers, pages = root / "include" / "rulegrad", root / "docs" / "api"
# How terms of the DSL are checked, made flat and explained by the compiler; docs/rules-in-cpp.md says what programs write.
internal = {f"dsl/{name}.hpp" for name in ("rule_checks", "sentences", "flat", "flatten", "term")}


def is_explained(entry, scope):
    """Functions and types need a comment, unless C++ itself says what they do."""
    if entry.doc or entry.note or entry.kind in ("variable", "enumerator", "alias") and scope or entry.text.startswith("inline constexpr var<"):
        return True
    own = scope.rsplit("::", 1)[-1] if scope else ""
    # Copies, moves, the end, equality; making one from nothing; one argument that is already what the type stands for.
    itself = r"=\s*(default|delete)$|~\w+\(|operator==|operator=\((const )?%s\s*&|\b%s\((const )?(%s\s*&&?.*)?\)" % (own, own, own)
    return entry.kind == "function" and re.search(itself, entry.text) is not None


def prose(lines):
    """Comments are Markdown already; what would begin a tag is not meant as one."""
    return [line if line.startswith("    ") else re.sub(r"(`[^`]*`)|<(?=\w)", lambda m: m.group(1) or "\\<", line) for line in lines]


def fenced(texts):
    return ["```c++", *texts, "```", ""]


def members(entries, scope, missing):
    """Members with a comment of more than a line stand apart; the others together, with their notes beside them."""
    lines, listed = [], []

    def flush():
        if listed:
            lines.extend(fenced(listed))
            listed.clear()

    i = 0
    while i < len(entries):
        entry = entries[i]
        same = [entry]
        if entry.kind == "function":
            while i + len(same) < len(entries) and entries[i + len(same)].kind == "function" and not entries[i + len(same)].doc and entries[i + len(same)].name == entry.name:
                same.append(entries[i + len(same)])
        i += len(same)
        if not is_explained(entry, scope):
            missing.append(f"{scope + '::' if scope else ''}{entry.name}")
        if entry.kind == "type":
            flush()
            lines += [f"{'#' * (2 + scope.count('::') + bool(scope))} {entry.head}", "", *prose(entry.doc), ""]
            lines += members(entry.members, f"{scope}::{entry.name}" if scope else entry.name, missing)
        elif entry.doc:
            flush()
            lines += fenced([one.text + ";" for one in same]) + [*prose(entry.doc), ""]
        else:
            listed += [one.text + ("," if one.kind == "enumerator" else ";") + (f"  // {one.note}" if one.note else "") for one in same]
    flush()
    return lines


def render():
    """The pages by file name, and what lacks an explanation."""
    made, unexplained, index, functions = {}, [], [], 0
    for path in sorted(headers.rglob("*.hpp")):
        name = path.relative_to(headers).as_posix()
        if name in internal:
            continue
        header = parse_header(path.read_text(encoding="utf-8"))
        missing = []
        lines = [f"# rulegrad/{name}", "", *(prose(header.doc) + [""] if header.doc else []), *members(header.entries, "", missing)]
        page = name.removesuffix(".hpp").replace("/", ".") + ".md"
        unexplained += [f"include/rulegrad/{name}: {one}" for one in missing]
        functions += header.count("function")
        made[page] = "\n".join(lines).rstrip("\n") + "\n"
        types = [entry.name for entry in header.entries if entry.kind == "type"]
        free = list(dict.fromkeys(entry.name for entry in header.entries if entry.kind == "function" and not entry.name.startswith("operator")))
        named = list(dict.fromkeys([*types, *free]))
        holds = ", ".join(f"`{one}`" for one in named[:8]) + (", ..." if len(named) > 8 else "")
        index.append(f"| [{name}]({page}) | {holds} |")
    made["README.md"] = "\n".join([
        "# The public headers", "", "Written from the headers by `scripts/api_reference.py`; `rulegrad/rulegrad.hpp` includes what most programs need.",
        "Shapes are written outermost axis first, with B for the batch.", "", "| header | holds |", "|---|---|", *index, "",
    ])  # fmt: skip
    return made, unexplained, functions


made, unexplained, functions = render()
if "--check" in sys.argv[1:]:
    stale = sorted({name for name, text in made.items() if not (pages / name).exists() or (pages / name).read_text(encoding="utf-8") != text}
                   | {path.name for path in pages.glob("*") if path.name not in made})  # fmt: skip
    for one in unexplained:
        print(f"{one} has no explanation")
    for name in stale:
        print(f"docs/api/{name} is not what the headers say: run scripts/api_reference.py")
    print(f"{len(made) - 1} headers, {functions} functions, {len(unexplained)} without an explanation")
    sys.exit(bool(stale or unexplained))
pages.mkdir(exist_ok=True)
for path in pages.glob("*.md"):
    path.unlink()
for name, text in made.items():
    (pages / name).write_text(text, encoding="utf-8")
