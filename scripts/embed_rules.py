#!/usr/bin/env python3
"""Writes a C++ file that holds the texts of rule files: embed_rules.py OUTPUT HEADER FUNCTION ROOT FILE..."""

import pathlib
import sys

output, header, function, root, *files = sys.argv[1:]
entries = []
for name in sorted(files):
    path = pathlib.Path(name).resolve().relative_to(pathlib.Path(root).resolve()).as_posix()
    text = pathlib.Path(name).read_text(encoding="utf-8")
    # Pieces stay under the shortest string literal that compilers must take.
    pieces = [text[i : i + 8000] for i in range(0, len(text), 8000)]
    literal = "\n".join(f'R"rules({piece})rules"' for piece in pieces)
    entries.append(f'    {{"{path}", {literal}}},')

pathlib.Path(output).write_text(
    "\n".join(
        [
            f'#include "{header}"',
            "",
            "#include <array>",
            "",
            "namespace rulegrad {",
            "namespace {",
            f"constexpr std::array<std::pair<std::string_view, std::string_view>, {len(entries)}> {function}_files{{{{",
            *entries,
            "}};",
            "}  // namespace",
            f"std::span<const std::pair<std::string_view, std::string_view>> {function}() {{ return {function}_files; }}",
            "}  // namespace rulegrad",
            "",
        ]
    ),
    encoding="utf-8",
)
