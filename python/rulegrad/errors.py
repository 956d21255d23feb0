"""What rulegrad raises.

Every exception is an `Error` with the code of the C++ library, and also what Python has for its kind of mistake, so that
`except ValueError` and `except KeyError` work. The text says what failed, where, what was expected and what to do.
"""

from __future__ import annotations

__all__ = [
    "Error", "ArgumentError", "ShapeError", "DTypeError", "UnknownNameError", "RuleError", "UnclaimedError", "ModelError",
    "FileError", "NonFiniteError", "MissingFeatureError", "CancelledError", "InternalError",
]


class Error(Exception):
    """What rulegrad raises; `code` is the C++ library's word for the kind of mistake."""

    code = "error"

    def __str__(self) -> str:  # KeyError would show the repr, OSError the number
        return str(self.args[0]) if self.args else ""


class ArgumentError(Error, ValueError):
    """A value outside what a function accepts."""

    code = "invalid_argument"


class ShapeError(Error, ValueError):
    """Shapes that do not fit together."""

    code = "shape"


class DTypeError(Error, TypeError):
    """Element types that do not fit together."""

    code = "dtype"


class UnknownNameError(Error, KeyError):
    """No method, operator, parameter, input or node of that name; the text has the nearest one."""

    code = "unknown_name"


class RuleError(Error, ValueError):
    """Rules that do not hold together; `diagnostics` has a dict for each problem of a rule file."""

    code = "rule"
    diagnostics: list = []


class UnclaimedError(Error, NotImplementedError):
    """Operations of the model that no rule of a method claims; the text says what to type."""

    code = "unclaimed"


class ModelError(Error, ValueError):
    """A model that cannot be read or mapped."""

    code = "model"


class FileError(Error, OSError):
    """A file that cannot be read or written."""

    code = "io"


class NonFiniteError(Error, ArithmeticError):
    """NaN or infinity where only numbers are allowed."""

    code = "non_finite"


class MissingFeatureError(Error, ImportError):
    """Something that this build, or this Python, was set up without; the text says what to install."""

    code = "missing_feature"


class CancelledError(Error):
    """A run that was asked to end."""

    code = "cancelled"


class InternalError(Error, RuntimeError):
    """A broken invariant of rulegrad itself: please report it."""

    code = "internal"


_BY_CODE = {kind.code: kind for kind in (
    ArgumentError, ShapeError, DTypeError, UnknownNameError, RuleError, UnclaimedError, ModelError, FileError, NonFiniteError,
    MissingFeatureError, CancelledError, InternalError)}


def of_code(code: str, message: str) -> Error:
    """The exception for a code of the C++ library."""
    return _BY_CODE.get(code, Error)(message)


def needs(package: str, what: str) -> MissingFeatureError:
    """What is raised where an optional package is missing."""
    return MissingFeatureError(f"{what} needs {package}: pip install {package}")
