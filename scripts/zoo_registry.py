"""What a zoo's model is: how it is made, and which exporters take it."""

from dataclasses import dataclass
from typing import Callable

TORCH_EXPORTERS = ("dynamo", "torchscript")
MODELS = {}


@dataclass
class Entry:
    """`make` gives a torch module, its arguments and their names; or, for other exporters, a `Converted`."""

    make: Callable
    exporters: tuple = TORCH_EXPORTERS
    about: str = ""  # what is peculiar, for the page


@dataclass
class Converted:
    """A file that no exporter of torch made, with what it must answer."""

    data: bytes
    inputs: dict  # name: array
    function: Callable  # from the inputs, in float64, to the answer
    output: str = ""  # the one that is compared; the first where empty
    smooth: bool = True  # False: trees; asked by occlusion and Shapley values, since there is no gradient


def model(name, **options):
    def note(make):
        MODELS[name] = Entry(make, **options)
        return make

    return note
