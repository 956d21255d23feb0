#!/usr/bin/env python3
"""The reference of the public headers as Markdown: api_reference.py INCLUDE_FOLDER OUTPUT.md

Reads the `///` comments and the declarations below them. Fails for a header that declares functions or types and
explains none of them.
"""

import pathlib
import re
import sys

folder, output = map(pathlib.Path, sys.argv[1:])
open_namespace = re.compile(r"namespace( \[\[gnu::visibility\(\"default\"\)\]\])? [\w:]+ \{")
skipped = re.compile(r"#|using |template <>$|//|\}|$|private:|public:|namespace detail")


def entries(lines):
    """Pairs of comment and declaration; a declaration ends at `;`, or before a body or initialiser."""
    comment, i, hidden = [], 0, False
    while i < len(lines):
        line = lines[i].strip()
        i += 1
        if re.match(r"\s*(private|protected):", line):
            hidden = True
        elif line.startswith("public:") or lines[i - 1].startswith(("}", "class ", "struct ", "enum ")):
            hidden = False
        if line.startswith("///") and not line.startswith("///<"):
            comment.append(line[3:].removeprefix(" "))
            continue
        if open_namespace.match(line):
            if comment:
                yield comment, ""
            comment = []
            continue
        if skipped.match(line) or hidden:
            comment = []
            continue
        declaration = [lines[i - 1].split("///<")[0].rstrip()]
        note = line.partition("///<")[2].strip()
        while not re.search(r"[;{}]\s*(//.*)?$", declaration[-1]) and i < len(lines):
            declaration.append(lines[i].split("///<")[0].rstrip())
            i += 1
        depth = sum(part.count("{") - part.count("}") for part in declaration)
        if depth > 0 and not re.match(r"\s*(class|struct|enum|union)\b|\s*template <.*>\s*$", declaration[0]):
            while depth > 0 and i < len(lines):  # a function's body
                depth += lines[i].count("{") - lines[i].count("}")
                i += 1
            declaration[-1] = re.sub(r"\s*\{.*$", ";", declaration[-1])
        yield comment + ([note] if note else []), "\n".join(declaration)
        comment = []


pages, unexplained, functions, explained = [], [], 0, 0
for header in sorted(folder.rglob("*.hpp")):
    name = header.relative_to(folder).as_posix()
    page = [f"## `{name}`", ""]
    found, documented, pending = 0, 0, []

    def flush():
        if pending:
            page.extend(["```", *pending, "```", ""])
            pending.clear()

    for comment, declaration in entries(header.read_text(encoding="utf-8").splitlines()):
        if not declaration:
            flush()
            page.extend([*comment, ""])
            documented += 1
            continue
        found += 1
        if comment:
            documented += 1
            flush()
            page.extend(["```", declaration, "```", "", *comment, ""])
        else:
            pending.append(declaration)
    flush()
    functions += found
    explained += documented
    if found and not documented:
        unexplained.append(name)
    if found or documented:
        pages.append("\n".join(page))

output.write_text("# The headers of rulegrad\n\nMade from their comments by `scripts/api_reference.py`.\n\n" + "\n".join(pages), encoding="utf-8")
print(f"{len(pages)} headers, {functions} declarations, {explained} explanations")
if unexplained:
    sys.exit("no explanation in: " + ", ".join(unexplained))
