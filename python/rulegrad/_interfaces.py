"""What files that stand below Model and Explanation know of them."""

from __future__ import annotations

from typing import Any, Callable, Protocol

import numpy as np


class Model(Protocol):
    """A network, as those see it who are given one."""

    inputs: list[dict]
    outputs: list[dict]
    labels: list[str]
    rules: Any
    preprocessing: dict
    _network: Any
    _source: dict

    @property
    def name(self) -> str: ...
    @property
    def notes(self) -> list[str]: ...
    def digest(self) -> str: ...
    def label(self, index: Any) -> str: ...
    def explainer(self, methods: Any, **options: Any) -> Any: ...
    @property
    def predict(self) -> Callable[..., dict[str, np.ndarray]]: ...
    def _question(self, output: Any, head: str) -> tuple[Any, int, str]: ...


class Explanation(Protocol):
    """What an explanation holds, as those see it who draw it."""

    model: Any
    explainer: Any
    inputs: dict[str, np.ndarray]
    methods: list[str]
    nodes: list[str]
    scores: np.ndarray
    targets: np.ndarray

    @property
    def labels(self) -> list[str]: ...
    @property
    def target_scores(self) -> np.ndarray: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any) -> np.ndarray: ...
