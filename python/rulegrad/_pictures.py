"""Pictures: in and out of arrays, drawn by the library itself, or as figures of matplotlib."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any, Mapping, Sequence

import numpy as np

from . import _core
from ._interfaces import Explanation, Model
from .errors import ArgumentError, ShapeError, needs


def png(pixels: np.ndarray) -> bytes:
    """uint8 [height, width, 1 or 3] as a PNG file (ISO/IEC 15948)."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")


def recipe(model: Model, given: str | Mapping | None = None) -> dict:
    """How pictures become inputs: the model's own recipe unless another is given."""
    if given is None:
        return {"name": "raw", **model.preprocessing}
    return {"name": given} if isinstance(given, str) else {"name": "raw", **given}


def no_recipe() -> str:
    """What is asked where nobody has said how pictures become inputs."""
    return ("how does the model want its pictures? Say it once by rulegrad.load(..., preprocess=...), or to rulegrad.pictures: "
            f"{', '.join(_core.recipes())}, or a dict with scale, mean and std")


def pictures(paths: Any, model: Model, preprocess: str | Mapping | None = None) -> np.ndarray:
    """Picture files (PNG, JPEG) as the model's input, [N, C, H, W] or [N, H, W, C]: resized, cropped, normalised.

    preprocess  "raw", "unit", "signed", "imagenet", "caffe", or a dict with name, scale, mean, std, layout, color,
                short_side; the model's own unless given. ArgumentError where nobody has said it.
    """
    if preprocess is None and "name" not in model.preprocessing:
        raise ArgumentError(no_recipe())
    how = recipe(model, preprocess)
    first = model.inputs[0]
    shape = first["shape"]
    if len(shape) != 4:
        raise ShapeError(f"the model's input '{first['name']}' is {list(shape)}, which is not a batch of pictures")
    last = how.get("layout") == "nhwc"
    channels, height, width = (shape[3], shape[1], shape[2]) if last else shape[1:]
    files = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    parts = [np.asarray(_core.to_input(os.fspath(path), how, height, width, channels, first["dtype"])) for path in files]
    if not parts:
        raise ArgumentError("no pictures were given")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def layout_of(explanation: Explanation, look: Mapping) -> str:
    if "layout" in look:
        return look["layout"]
    return explanation.model.preprocessing.get("layout", "nchw")


def is_image(explanation: Explanation, node: str) -> bool:
    """Is the attribution a batch of pictures, feature maps or volumes, which are shown as slices?"""
    shape = explanation[explanation.methods[0], node].shape
    return len(shape) in (4, 5) and min(shape[1:]) > 0 and sorted(shape[1:])[-2] > 1


def series_of(explanation: Explanation, node: str, sample: int, named: bool = False) -> np.ndarray | None:
    """The signal below a series [T] or [C, T]: the sample, or nothing, [0], where an inner node is explained; None where it is no series."""
    shape = explanation[explanation.methods[0], node].shape[1:]
    given = explanation.inputs.get(node)
    if not _core.looks_like_series(list(shape), named) or (len(shape) == 2 and given is None):
        return None
    if given is None or given.dtype.kind != "f" or given.shape[1:] != shape:
        return np.empty(0)
    return np.ascontiguousarray(given[sample])


def words_of(explanation: Explanation, node: str, tokens: Sequence | None) -> list[Sequence[str]] | None:
    """What the positions of each sample are called: as `tokens` says, a vocabulary or a list a sample; token ids by themselves. None where nothing says."""
    given = explanation.inputs.get(node)
    ids = given.reshape(len(given), -1) if given is not None and given.dtype.kind in "iu" else None
    if tokens is None or len(tokens) == 0:
        return None if ids is None else [[str(k) for k in row] for row in ids]
    if not all(isinstance(word, str) for word in tokens):
        return list(tokens)
    samples = len(explanation)
    rows = 0 if ids is None else explanation.model._network.table_rows(node)
    length = explanation[explanation.methods[0], node].shape[1] if ids is None else ids.shape[1]
    if ids is not None and len(tokens) == rows:
        return [[tokens[k] if -rows <= k < rows else str(k) for k in row] for row in ids]
    if len(tokens) == length:
        return [list(tokens)] * samples
    if len(tokens) == length * samples:
        return [list(tokens[k * length:(k + 1) * length]) for k in range(samples)]
    if ids is None and any(array.dtype.kind in "iu" for name, array in explanation.inputs.items() if name in explanation.nodes):
        return None  # they are the names of other ids
    vocabulary = "" if ids is None else f": a vocabulary of this model has {rows} (one for each row of its table)"
    raise ShapeError(f"{len(tokens)} tokens were given{vocabulary}, and the samples have {length} tokens each, {length * samples} together")


def input_picture(explanation: Explanation, node: str, sample: int, layout: str) -> np.ndarray | None:
    """What the model saw, as pixels, as far as the recipe can be turned round; stretched to the full range without one."""
    given = explanation.inputs.get(node)
    if given is not None and given.ndim == 5 and given.dtype.kind == "f":
        flat = np.asarray(_core.slices(np.ascontiguousarray(given[sample]), {"layout": layout, "reduce": "mean"}))
        low, high = float(flat.min()), float(flat.max())
        return np.rint((flat - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)[:, :, None]
    if given is None or given.ndim != 4 or given.dtype.kind != "f":
        return None
    channels = given.shape[3] if layout == "nhwc" else given.shape[1]
    if channels not in (1, 3):
        return None
    how = {**recipe(explanation.model), "layout": layout}
    array = np.ascontiguousarray(given)
    if how["name"] == "raw" and len(how) == 2:
        one = array[sample]
        low, high = float(one.min()), float(one.max())
        if low < 0 or high <= 1:
            array = ((one - low) * (255.0 / ((high - low) or 1.0)))[None].astype(given.dtype)
            sample = 0
    return np.asarray(_core.from_input(array, how, sample))


def looks(look: Mapping, layout: str) -> dict:
    known = {"colormap", "percentile", "gamma", "limit", "reduce", "layout", "upscale"}
    for key in look:
        if key not in known:
            raise ArgumentError(f"'{key}' is nothing that a heat map has; it has {', '.join(sorted(known))}")
    return {"percentile": 99.0, **look, "layout": layout}


def sample_list(explanation: Explanation, samples: Any) -> list[int]:
    chosen = range(min(len(explanation), 16)) if samples is None else [samples] if isinstance(samples, int) else samples
    result = [int(sample) for sample in chosen]
    for sample in result:
        if not 0 <= sample < len(explanation):
            raise ArgumentError(f"sample {sample}: the explanation has {len(explanation)}, 0 to {len(explanation) - 1}")
    return result


def score_text(explanation: Explanation, sample: int) -> str:
    return f"{explanation.target_scores[sample]:.4g}"


def grid(explanation: Explanation, samples: Any, node: str | None, title: str, overlay: bool, look: Mapping) -> np.ndarray:
    node = node or explanation.nodes[0]
    layout = layout_of(explanation, look)
    if not is_image(explanation, node):
        return charts(explanation, samples, node, looks(look, layout))
    rows = []
    for sample in sample_list(explanation, samples):
        rows.append({"label": explanation.labels[sample], "detail": score_text(explanation, sample),
                     "input": input_picture(explanation, node, sample, layout),
                     "maps": [_map_of(explanation[method, node][sample], layout, look.get("reduce", "sum")) for method in explanation.methods]})
    return np.asarray(_core.grid(explanation.methods, rows, looks(look, layout), title, overlay))


def _map_of(values: np.ndarray, layout: str, how: str) -> np.ndarray:
    """What the library draws: a volume as a table of its slices."""
    values = np.ascontiguousarray(values)
    return np.asarray(_core.slices(values, {"layout": layout, "reduce": how})) if values.ndim == 4 else values


def charts(explanation: Explanation, samples: Any, node: str, look: dict) -> np.ndarray:
    """Bars of features or plots of series, one a sample and method: samples down, methods across."""
    rows = []
    for sample in sample_list(explanation, samples):
        cells = []
        for method in explanation.methods:
            values = explanation[method, node][sample]
            signal = series_of(explanation, node, sample)
            if signal is not None:
                cells.append(np.asarray(_core.series(np.ascontiguousarray(values), signal if signal.size else None, method, look)))
                continue
            values = values.reshape(values.shape[0], -1).sum(axis=1) if values.ndim > 1 else values.reshape(-1)
            cells.append(np.asarray(_core.render(np.ascontiguousarray(values), look)))
        rows.append(_padded(cells, 1))
    return _padded(rows, 0)


def _padded(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures one after another, with white where they are smaller than the largest."""
    other = 1 - axis
    longest = max(picture.shape[other] for picture in pictures)
    parts = []
    for picture in pictures:
        widths = [(0, 0)] * 3
        widths[other] = (0, longest - picture.shape[other])
        parts.append(np.pad(picture, widths, constant_values=255))
    return np.concatenate(parts, axis=axis)


def reduced(array: np.ndarray, layout: str, how: str = "sum") -> np.ndarray:
    """Channels to one number a pixel, in float64; volumes to a table of slices."""
    if array.ndim == 4:
        return np.asarray(_core.slices(np.ascontiguousarray(array), {"layout": layout, "reduce": how}))
    axis = -1 if layout == "nhwc" else 0
    values = array.astype(np.float64)
    if values.ndim < 3:
        return values
    if how == "mean":
        return values.mean(axis=axis)
    if how == "max_abs":
        index = np.abs(values).argmax(axis=axis, keepdims=True)
        return np.take_along_axis(values, index, axis).squeeze(axis)
    return values.sum(axis=axis)


def limit_of(values: np.ndarray, percentile: float) -> float:
    """The number that gets the full colour."""
    found = float(np.percentile(np.abs(values), percentile)) if values.size else 0.0
    return found or float(np.abs(values).max(initial=0.0)) or 1.0


def figure(explanation: Explanation, samples: Any, node: str | None, features: Any, tokens: Any, look: Mapping):
    try:
        from matplotlib import colors
        from matplotlib.figure import Figure
    except ImportError:
        raise needs("matplotlib", "Explanation.plot") from None
    node = node or explanation.nodes[0]
    layout = layout_of(explanation, look)
    how = looks(look, layout)
    chosen = sample_list(explanation, samples)
    table = np.asarray(_core.color_table(how.get("colormap", "rulegrad"))) / 255.0
    colormap = colors.ListedColormap(table, name="rulegrad")
    image = is_image(explanation, node)
    first = explanation[explanation.methods[0], node]
    methods = explanation.methods
    if image:
        inputs = [input_picture(explanation, node, sample, layout) for sample in chosen]
        columns = len(methods) + (1 if any(picture is not None for picture in inputs) else 0)
        made = Figure(figsize=(2.4 * columns + 0.6, 2.5 * len(chosen) + 0.3), layout="constrained")
        axes = made.subplots(len(chosen), columns, squeeze=False)
        for row, (sample, picture) in enumerate(zip(chosen, inputs)):
            offset = columns - len(methods)
            if offset and picture is not None:
                axes[row][0].imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255)
                axes[row][0].set_title(f"{explanation.labels[sample]}, {score_text(explanation, sample)}", fontsize=8)
            for column, method in enumerate(methods):
                values = reduced(explanation[method, node][sample], layout, how.get("reduce", "sum"))
                limit = how.get("limit") or limit_of(values, how["percentile"])
                shown = np.sign(values) * np.abs(values / limit) ** how.get("gamma", 1.0)
                axes[row][column + offset].imshow(shown, cmap=colormap, vmin=-1, vmax=1, interpolation="nearest")
                axes[row][column + offset].set_title(method, fontsize=8)
        for axis in axes.flat:
            axis.set_axis_off()
        return made
    words = words_of(explanation, node, tokens)
    if words is not None and len(words) not in (len(chosen), len(explanation)):
        raise ShapeError(f"tokens of {len(words)} samples were given for {len(explanation)}")
    if words is None and series_of(explanation, node, 0, features is not None) is not None:
        return _series_figure(Figure, explanation, chosen, node, colormap, how)
    made = Figure(figsize=(3.2 * len(methods) + 1.6, len(chosen) * max(1.6, min(0.18 * int(np.prod(first.shape[1:2])) + 0.6, 9.0))), layout="constrained")
    axes = made.subplots(len(chosen), len(methods), squeeze=False)
    for row, sample in enumerate(chosen):
        for column, method in enumerate(methods):
            values = explanation[method, node][sample].astype(np.float64)
            values = values.reshape(values.shape[0], -1).sum(axis=1) if values.ndim > 1 else values
            names = words[sample if len(words) == len(explanation) else row] if words is not None else features if features is not None else [str(k) for k in range(len(values))]
            if len(names) != len(values):
                raise ShapeError(f"{len(names)} names were given for {len(values)} values of '{node}'")
            limit = limit_of(values, 100.0)
            places = np.arange(len(values))
            axes[row][column].barh(places, values, color=colormap((values / limit + 1) / 2), edgecolor="#888", linewidth=0.3)
            axes[row][column].set_yticks(places, names, fontsize=6)
            axes[row][column].invert_yaxis()
            axes[row][column].axvline(0, color="#444", linewidth=0.5)
            axes[row][column].set_title(f"{explanation.labels[sample]}, {score_text(explanation, sample)}: {method}", fontsize=8)
    return made


def _series_figure(Figure: Any, explanation: Explanation, chosen: list[int], node: str, colormap: Any, how: Mapping):
    """A strip a channel: the signal as a line over the colours of the attribution."""
    methods = explanation.methods
    shape = explanation[methods[0], node].shape[1:]
    channels = shape[0] if len(shape) == 2 else 1
    made = Figure(figsize=(5.6 * len(methods), len(chosen) * (1.1 * channels + 0.5)), layout="constrained")
    axes = made.subplots(len(chosen) * channels, len(methods), squeeze=False, sharex=True)
    for row, sample in enumerate(chosen):
        for column, method in enumerate(methods):
            values = explanation[method, node][sample].astype(np.float64).reshape(channels, -1)
            signal = series_of(explanation, node, sample)
            lines = signal.reshape(channels, -1) if signal is not None and signal.size else values
            limit = how.get("limit") or limit_of(values, 100.0)
            for channel in range(channels):
                strip = axes[row * channels + channel][column]
                low, high = float(lines[channel].min()), float(lines[channel].max())
                edge = 0.05 * (high - low) or 1.0
                strip.imshow(values[channel:channel + 1] / limit, cmap=colormap, vmin=-1, vmax=1, aspect="auto", extent=(-0.5, values.shape[1] - 0.5, low - edge, high + edge))
                strip.plot(np.arange(values.shape[1]), lines[channel], color="#222", linewidth=0.9)
                if channel == 0:
                    strip.set_title(f"{explanation.labels[sample]}, {score_text(explanation, sample)}: {method}", fontsize=8)
    return made
