"""How far a run is: told to a function, or shown as a bar."""

from __future__ import annotations

import sys
from typing import Any, Callable


class Progress:
    """What `progress=` stands for: nothing, a function of (done, samples), or a bar: tqdm's where it is installed."""

    def __init__(self, wanted: Any, total: int, what: str) -> None:
        self._call: Callable | None = wanted if callable(wanted) else None
        self._bar = None
        self._text = False
        if wanted is True:
            try:
                from tqdm.auto import tqdm

                self._bar = tqdm(total=total, desc=what)
            except ImportError:
                self._text = sys.stderr.isatty()
        self._what, self._done = what, 0

    @property
    def callback(self) -> Callable | None:
        return self.report if self._call or self._bar is not None or self._text else None

    def report(self, done: int, total: int) -> None:
        if self._call:
            self._call(done, total)
        if self._bar is not None:
            self._bar.update(done - self._done)
        if self._text:
            sys.stderr.write(f"\r{self._what} {done} / {total}")
        self._done = done

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._text:
            sys.stderr.write("\r\033[K")
