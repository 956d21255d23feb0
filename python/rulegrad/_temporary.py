"""Files that live as long as this Python does: what exporters write and the library maps."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_FOLDER: str | None = None


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked process leaves it to the one that made it
        shutil.rmtree(folder, ignore_errors=True)


def kept_folder() -> str:
    """A folder of its own, removed when Python ends."""
    global _FOLDER
    if _FOLDER is None or not os.path.isdir(_FOLDER):
        _FOLDER = tempfile.mkdtemp(prefix="rulegrad-")
        owner = os.getpid()
        atexit.register(_remove, _FOLDER, owner)
    return tempfile.mkdtemp(dir=_FOLDER)


def kept_file(data: bytes, name: str = "model.onnx") -> str:
    """A file with these bytes."""
    path = os.path.join(kept_folder(), name)
    with open(path, "wb") as file:
        file.write(data)
    return path
