#!/usr/bin/env python3
"""Compiles the C++ blocks of documents and runs them: check_blocks.py FOLDER LIBRARY INCLUDE ROOT COMPILER...

Blocks marked `cpp` become functions that one program runs in turn, from the root of the project; those marked `cpp file`
hold declarations and are only compiled; `cpp fragment` marks parts that cannot stand alone. Lines keep their numbers, so
that the compiler speaks of the document.
"""

import pathlib
import re
import subprocess
import sys

folder, library, include, root = map(pathlib.Path, sys.argv[1:5])
compiler = sys.argv[5:]
documents = [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]
rule_words = ["using namespace rulegrad::dsl;", "using namespace rulegrad::dsl::vars;"]

includes, functions, calls, files = set(), [], [], []
for document in documents:
    lines = document.read_text(encoding="utf-8").splitlines()
    start, kind = None, ""
    for number, line in enumerate(lines, 1):
        opened = re.fullmatch(r"```cpp( file| fragment)?", line)
        if start is None and opened:
            start, kind = number + 1, (opened.group(1) or "").strip()
        elif start is not None and line.startswith("```"):
            block = lines[start - 1 : number - 1]
            place = f'#line {start} "{document.relative_to(root)}"'
            if kind == "file":
                files += [place, *block]
            elif not kind:
                includes.update(part for part in block if part.startswith("#include"))
                body = ["" if part.startswith("#include") else part for part in block]
                # A rule without its `using` lines has those of rules-in-cpp.md.
                words = rule_words if any("rewrite(" in part for part in body) and not any("using namespace" in part for part in body) else []
                functions.append("\n".join([f"void block_{len(functions)}() {{", *words, place, *body, "}"]))
                calls.append(f'    where = "{document.name}:{start}"; block_{len(functions) - 1}();')
            start = None

source = [
    "#include <cstdio>", "#include <exception>", "#include <rulegrad/dsl.hpp>", "#include <rulegrad/rulegrad.hpp>", *sorted(includes),
    "namespace {", *functions, "}  // namespace", "int main() {", '  const char* where = "";', "  try {", *calls,
    "  } catch (const std::exception& error) {", '    std::fprintf(stderr, "%s: %s\\n", where, error.what());', "    return 1;", "  }", "}", "",
]  # fmt: skip
(folder / "blocks.cpp").write_text("\n".join(source), encoding="utf-8")
(folder / "files.cpp").write_text("\n".join([*files, ""]), encoding="utf-8")
flags = ["-std=c++20", "-Wall", "-Wno-unused", f"-I{include}"]
subprocess.run([*compiler, *flags, "-fsyntax-only", str(folder / "files.cpp")], check=True)
subprocess.run([*compiler, *flags, "-o", str(folder / "blocks"), str(folder / "blocks.cpp"), str(library), f"-Wl,-rpath,{library.parent}"], check=True)
subprocess.run([str(folder / "blocks")], cwd=root, check=True)
print(f"{len(functions)} blocks compiled and ran")
