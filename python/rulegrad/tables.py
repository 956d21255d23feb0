"""Results that are rows: they print as a table, and pandas takes them where it is installed."""

from __future__ import annotations

import html
from typing import Any, Iterator, Sequence

from .errors import needs

__all__ = ["Table"]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return "" if value is None else str(value)


class Table(Sequence):
    """Rows, each a dict, with what else is known of them in `about`.

    `table[0]["rule"]`, `len(table)` and loops work as with a list; `to_dict()` gives plain Python for json, `to_frame()` a
    pandas.DataFrame. `str(table)` is what the command prints, where it prints such a table.
    """

    def __init__(self, rows: Sequence[dict], about: dict | None = None, text: str = "") -> None:
        self.rows = list(rows)
        self.about = dict(about or {})
        self._text = text

    @property
    def columns(self) -> list[str]:
        """The keys of the rows, in the order in which they first appear."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def __iter__(self) -> Iterator[dict]:
        return iter(self.rows)

    def column(self, name: str) -> list:
        """One column as a list; None where a row has no such key."""
        return [row.get(name) for row in self.rows]

    def to_dict(self) -> dict:
        """`{"rows": [...], ...}` of plain Python values, for json."""
        return {**self.about, "rows": [dict(row) for row in self.rows]}

    def to_frame(self):
        """The rows as a pandas.DataFrame; `about` stands in its `attrs`. MissingFeatureError without pandas."""
        try:
            import pandas
        except ImportError:
            raise needs("pandas", "Table.to_frame") from None
        frame = pandas.DataFrame(self.rows, columns=self.columns)
        frame.attrs.update(self.about)
        return frame

    def __str__(self) -> str:
        if self._text:
            return self._text
        cells = [self.columns] + [[_text(row.get(key)) for key in self.columns] for row in self.rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(key)}</th>" for key in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(_text(row.get(key)))}</td>" for key in self.columns) + "</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
