"""Methods: those that ship, and those of one's own rules."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Iterable, Mapping

import numpy as np

from . import _core
from ._arrays import as_numpy, plain
from .errors import ArgumentError, FileError
from .tables import Table


class Method:
    """A method with arguments, which may be arrays: `rulegrad.method("integrated_gradients", baseline=array, steps=32)`.

    A dict has a value for each of several inputs, by name: `baseline={"image": array, "age": 40}`; other inputs take the parameter's default.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"Method({', '.join([repr(self.name)] + [f'{key}={value!r}' for key, value in self.arguments.items()])})"

    def _call(self) -> Any:
        if not self.arguments:
            return self.name
        arguments: dict[str, Any] = {}
        given = dict(self.arguments)
        for key, value in self.arguments.items():
            if isinstance(value, Mapping):  # a value for each of several inputs
                del given[key]
                given.update({f"{key}@{name}": one for name, one in value.items()})
        for key, value in given.items():
            if isinstance(value, bool):
                value = int(value)
            if isinstance(value, (str, int, float)):
                arguments[key] = value
            elif isinstance(value, Method):
                arguments[key] = str(value)
            elif np.ndim(value) == 0:
                arguments[key] = float(value)
            else:
                arguments[key] = plain(as_numpy(value, f"{self.name}: {key}"))
        return (self.name, arguments)

    def __str__(self) -> str:
        if not self.arguments:
            return self.name
        return self.name + "(" + ", ".join(f"{key}={value if np.ndim(value) == 0 else 'array'}" for key, value in self.arguments.items()) + ")"


def as_calls(methods: Any) -> list:
    """What the extension takes for a method or a sequence of them."""
    if isinstance(methods, (str, Method)):
        methods = [methods]
    calls = []
    for item in methods:
        if isinstance(item, str):
            calls.append(item)
        elif isinstance(item, Method):
            calls.append(item._call())
        else:
            raise ArgumentError(f"a method is a name such as 'lrp.epsilon' or 'lrp.epsilon:epsilon=0.1', or rulegrad.method(...); {item!r} is neither")
    if not calls:
        raise ArgumentError("at least one method is needed")
    return calls


class Rules:
    """The methods that ship and those of rule files and texts.

    `rulegrad.rules(TEXT_OR_FILE)` makes one; give it to `load`, `explain` and whatever takes `rules`. Pickles by its texts.
    """

    def __init__(self) -> None:
        self._registry = _core.Registry()
        self._parts: list[tuple[str, str, str]] = []

    def add(self, source: str | os.PathLike, name: str = "rules") -> "Rules":
        """Adds a text of rules (it holds a line break or a brace) or a file, `name` being what messages call a text.

        Everything is checked as `rulegrad check` does; RuleError has all problems, and then nothing is added.
        """
        text = os.fspath(source)
        if "\n" in text or "{" in text:
            self._registry.add_text(text, name)
            self._parts.append(("text", text, name))
        else:
            self._registry.add_file(text)
            self._parts.append(("file", str(pathlib.Path(text).resolve()), name))
        return self

    def load_plugin(self, path: str | os.PathLike) -> "Rules":
        """Adds the operators, kernels, rules and samplers of a plugin, a shared library (rulegrad/api/plugin.hpp)."""
        self._registry.load_plugin(os.fspath(path))
        self._parts.append(("plugin", os.fspath(path), ""))
        return self

    @property
    def names(self) -> list[str]:
        """All methods in alphabetical order."""
        return self._registry.names

    def show(self, method: str) -> str:
        """The rules of a method as text that can be copied and changed."""
        return self._registry.show(method)

    def methods(self) -> Table:
        """A row a method: name, parameters, what its file says of it, file and line."""
        rows = []
        for name in self.names:
            row = self._registry.method(name)
            row["parameters"] = ", ".join(p["name"] if p["default"] is None else f"{p['name']}={p['default']}" for p in row["parameters"])
            rows.append(row)
        return Table(rows)

    def method(self, name: str) -> dict:
        """One method: its doc, parameters with default and range, declared properties, file and line."""
        return self._registry.method(name)

    def sources(self) -> list[tuple[str, str]]:
        """Kind and content of what was added, for digests."""
        return [(kind, pathlib.Path(text).read_text() if kind == "file" else text) for kind, text, _ in self._parts if kind != "plugin"]

    def __getstate__(self) -> dict:
        return {"parts": self._parts}

    def __setstate__(self, state: dict) -> None:
        Rules.__init__(self)
        for kind, text, name in state["parts"]:
            if kind == "plugin":
                self.load_plugin(text)
            else:
                self.add(text, name)


SHIPPED: Rules | None = None


def shipped() -> Rules:
    """The methods that ship, once."""
    global SHIPPED
    if SHIPPED is None:
        SHIPPED = Rules()
    return SHIPPED


def rules(*sources: str | os.PathLike, name: str = "rules") -> Rules:
    """The methods that ship and those of the given texts or files.

        mine = rulegrad.rules('''rulegrad 1
        analyzer halves { use half default gradient }
        rules half { grad(relu(x), g) => vjp(relu(x), g) / 2 }
        ''')
        model.explain(x, "halves", rules=mine)
    """
    made = Rules()
    for source in sources:
        made.add(source, name)
    return made


def check(source: str | os.PathLike, name: str = "rules", rules: Rules | None = None) -> Table:
    """What is wrong with a text or file of rules: a row a problem, with severity, code, place, message and help.

    Errors keep rules from being added; warnings and notes want to be read. What analyzers `declare` is tried on random
    networks, too. `str(table)` shows the lines with carets.
    """
    text = os.fspath(source)
    path = name
    is_file = "\n" not in text and "{" not in text
    if is_file:
        path = text
        try:
            text = pathlib.Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise FileError(f"cannot read the rule file '{path}': {problem}") from None
    base = (rules or shipped())._registry
    rows = base.check(text, path)
    if not any(row["severity"] == "error" for row in rows):
        library = base.copy()
        before = set(library.names)
        if is_file:
            library.add_file(path)
        else:
            library.add_text(text, path)
        for added in sorted(set(library.names) - before):
            for trial in library.properties(added):
                if not trial["holds"]:
                    rows.append({"severity": "error", "code": "R280", "file": path, "line": library.method(added)["line"], "column": 1,
                                 "message": f"`{added}` declares `{trial['property']}`, which does not hold",
                                 "help": f"leave `{trial['property']}` out of `declare`, or change the rules",
                                 "text": f"{path}: error[R280]: `{added}` declares `{trial['property']}`, which does not hold\n"
                                         f"note: the smallest network on which it fails is {trial['network']}\nnote: {trial['what']}"})
    return Table(rows, {"file": path, "errors": sum(row["severity"] == "error" for row in rows), "warnings": sum(row["severity"] == "warning" for row in rows)},
                 "\n\n".join(row["text"] for row in rows) or f"{path}: no problems")


def methods(rules: Rules | None = None) -> Table:
    """Every method: name, parameters with defaults, what it is, file and line."""
    return (rules or shipped()).methods()


def show(method: str, rules: Rules | None = None) -> str:
    """The rules of a method as text that can be copied and changed."""
    return (rules or shipped()).show(method)


def method(name: str, **arguments: Any) -> Method:
    """A method with arguments that may be arrays or other methods: `method("integrated_gradients", baseline=array)`."""
    return Method(name, **arguments)


def labels_of_methods(names: Iterable[str]) -> list[str]:
    """Names as keys, each once."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result
