"""Many samples on many machines: an explainer mapped over a Dask array or a list of files.

    from dask.distributed import Client
    import rulegrad.dask

    client = Client("scheduler:8786")
    maps = rulegrad.dask.explain(explainer, x)              # x: a dask.array [N, ...]; maps: a dask.array like it
    maps.to_zarr("maps.zarr")
    shards = rulegrad.dask.run(explainer, files, "maps/", client)   # files: a list; writes what rulegrad.stream.run writes

Workers load the model once each; results come in the order asked for, whatever worker made them, and a worker that is lost has
its part done again by another.
"""

from __future__ import annotations

import collections
import hashlib
import os
import pathlib
import pickle
import threading
from typing import Any, Sequence

import numpy as np

from . import stream
from ._explainer import Explainer
from .errors import ArgumentError, needs

__all__ = ["explain", "run"]

_LOADED: collections.OrderedDict = collections.OrderedDict()
_LOCK = threading.Lock()


class _Asked:
    """An explainer as tasks carry it: its pickle, unpickled once a process."""

    def __init__(self, explainer: Explainer) -> None:
        self.pickled = pickle.dumps(explainer)
        self.key = hashlib.sha256(self.pickled).hexdigest()

    def __dask_tokenize__(self) -> str:
        return self.key

    def get(self) -> Explainer:
        with _LOCK:
            if self.key not in _LOADED:
                _LOADED[self.key] = pickle.loads(self.pickled)
                while len(_LOADED) > 4:
                    _LOADED.popitem(last=False)
            return _LOADED[self.key]


def _block(block: np.ndarray, *targets: Any, asked: _Asked, method: str, node: str, options: dict) -> np.ndarray:
    if block.size == 0:  # Dask asks what kind of array comes out
        return block
    target = options["target"] if not targets else targets[0].reshape(block.shape[0], -1)
    target = target[:, 0] if isinstance(target, np.ndarray) and target.ndim == 2 and target.shape[1] == 1 else target
    e = asked.get()(block, target, seed=options["seed"], batch_size=options["batch_size"], threads=options["threads"])
    return e[method, node]


def explain(explainer: Explainer, x: Any, target: Any = None, *, method: str | None = None, node: str | None = None, seed: Any = None, batch_size: int | None = None,
            threads: int = 1):
    """The attributions of a Dask array [N, ...] as a Dask array, lazily; a task a block of samples.

    x        chunked along the samples' axis; other axes become one chunk
    target   None, one target for all, or an array with one for each sample
    method   which of the explainer's methods (the first), node: which of its nodes
    threads  of each task; workers run as many tasks at once as they have threads
    """
    try:
        import dask.array as da
    except ImportError:
        raise needs("dask", "rulegrad.dask") from None
    model = explainer._model
    if len(model.inputs) != 1:
        raise ArgumentError(f"Dask arrays are of one input; the model has {len(model.inputs)}")
    method, node = method or explainer.methods[0], node or explainer.nodes[0]
    declared = model.inputs[0]
    probe = explainer(np.zeros((1, *declared["shape"][1:]), declared["dtype"]))[method, node]  # says what comes out
    if not isinstance(x, da.Array):
        x = da.from_array(x, chunks=(256, *np.shape(x)[1:]))
    x = x.rechunk({axis: -1 for axis in range(1, x.ndim)})
    each = target is not None and not isinstance(target, (str, int, tuple, np.integer))
    arrays = [x]
    if each:
        given = da.asarray(np.asarray(target) if not isinstance(target, da.Array) else target)
        given = given.reshape(given.shape[0], *([1] * (x.ndim - 1))) if given.ndim == 1 else given
        arrays.append(given.rechunk((x.chunks[0], *given.shape[1:])))
    options = {"target": None if each else target, "seed": seed, "batch_size": batch_size, "threads": threads}
    dtype, rest = probe.dtype, probe.shape[1:]
    return da.map_blocks(_block, *arrays, asked=_Asked(explainer), method=method, node=node, options=options, dtype=dtype,
                         chunks=(x.chunks[0], *((extent,) for extent in rest)), drop_axis=list(range(len(rest) + 1, x.ndim)) if x.ndim > len(rest) + 1 else None,
                         new_axis=list(range(x.ndim, len(rest) + 1)) if len(rest) + 1 > x.ndim else None, meta=np.empty((0,) * (len(rest) + 1), dtype))


def run(explainer: Explainer, files: Sequence[str | os.PathLike], out: str | os.PathLike, client: Any, *, shard: int = 256, resume: bool = False, target: Any = None,
        threads: int = 1, on_error: str = "stop", batch_size: int | None = None):
    """`rulegrad.stream.run` over files that all workers see, a task a shard; the bytes are those of a single process.

    `client` is a distributed.Client. Each worker writes its shards to `out`, a folder that all of them see.
    """
    paths = [pathlib.Path(file) for file in files]
    folder = pathlib.Path(out)
    options = {"target": target, "shard": shard, "threads": threads, "on_error": on_error, "batch_size": batch_size}
    here = stream.Asked(explainer, [str(path) for path in paths], **options)
    here.write(folder, resume, part=(0, 0))
    assert here.count is not None  # of files
    done = 0
    while (folder / "records" / f"{done:06d}.json").exists():
        done += 1
    asked, names = _Asked(explainer), [str(path.resolve()) for path in paths]
    futures = [client.submit(_piece, asked, names, str(folder.resolve()), number, options, pure=False) for number in range(done, -(-here.count // shard))]
    client.gather(futures)
    return here.write(folder, True)


def _piece(asked: _Asked, files: Sequence[str], folder: str, number: int, options: dict) -> int:
    stream.Asked(asked.get(), list(files), **options).write(pathlib.Path(folder), True, part=(number, number + 1))
    return number
