"""`python -m rulegrad report` and `python -m rulegrad stream`: what the package adds to the command `rulegrad`."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from typing import Sequence

import numpy as np


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rulegrad", description="Reports in HTML, and streams of many samples; everything else is in the command rulegrad.")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="explain samples and write one self-contained HTML page")
    stream = commands.add_parser("stream", help="explain many samples, shard by shard, with a manifest")
    for command in (report, stream):
        command.add_argument("model", help="an ONNX file; .keras or .h5 where Keras is installed")
        command.add_argument("--method", "-m", action="append", required=True, help="as for rulegrad analyze; may be given several times")
        command.add_argument("--output", "-o", required=True)
        command.add_argument("--target", help="an index, indices with commas, a label, or all for a stream (default: each sample's largest score)")
        command.add_argument("--rules", action="append", default=[], help="a rule file with methods of your own")
        command.add_argument("--labels", help="a text file with one class name a line")
        command.add_argument("--preprocess", help="raw, unit, signed, imagenet, caffe")
        command.add_argument("--layout", choices=["nchw", "nhwc"])
        command.add_argument("--at", action="append", help="explain this inner node instead of the input")
        command.add_argument("--head", default="logit", choices=["logit", "probability"])
        command.add_argument("--precision", default="exact", choices=["exact", "fast", "bfloat16", "automatic"])
        command.add_argument("--threads", type=int, default=0)
    report.add_argument("--input", "-i", nargs="+", required=True, help="pictures, or a .npy array, samples first")
    report.add_argument("--title")
    report.add_argument("--features", help="a text file with one feature name a line")
    report.add_argument("--tokens", help="a text file with one token a line: a vocabulary, or the tokens of the samples")
    report.add_argument("--samples", type=int, default=16, help="how many samples are shown (16)")
    stream.add_argument("--input", "-i", action="append", required=True, help="a folder, a .txt list of files, or a .npy array; NAME=... for each of several inputs")
    stream.add_argument("--shard", type=int, default=256, help="samples in a file (256)")
    stream.add_argument("--resume", action="store_true", help="go on with what is in the output folder")
    stream.add_argument("--on-error", default="stop", choices=["stop", "skip"])
    return parser


def _target(text: str | None):
    if text is None:
        return None
    parts = text.split(",")
    if all(part.strip().lstrip("-").isdigit() for part in parts):
        return int(text) if len(parts) == 1 else tuple(int(part) for part in parts)
    return text


def _data(texts: Sequence[str]):
    """What --input names: one thing, files, or one for each input."""
    if all("=" in text and not os.path.exists(text) for text in texts):
        return dict(text.split("=", 1) for text in texts)
    return texts[0] if len(texts) == 1 else list(texts)


def _lines(path: str) -> list[str]:
    from .errors import FileError

    try:
        return pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise FileError(f"cannot read '{path}': {problem}") from None


def _run(options: argparse.Namespace) -> None:
    import rulegrad as rg
    from rulegrad.errors import FileError

    preprocess = {"name": options.preprocess or "raw", **({"layout": options.layout} if options.layout else {})} if options.preprocess or options.layout else None
    model = rg.load(options.model, labels=options.labels, preprocess=preprocess, rules=rg.rules(*options.rules) if options.rules else None)
    explainer = model.explainer(options.method, at=options.at, head=options.head, precision=options.precision)
    if options.command == "stream":
        chosen = {"targets": "all"} if options.target == "all" else {"target": _target(options.target)}
        done = explainer.map(_data(options.input), options.output, **chosen, shard=options.shard, resume=options.resume, on_error=options.on_error,
                             threads=options.threads, progress=sys.stderr.isatty())
        for row in done.failed:
            print(f"left out: {row['name']}: {row['error']}", file=sys.stderr)
        print(f"{sum(row['count'] for row in done.manifest['shards'])} samples in {len(done.manifest['shards'])} shards, {len(done.failed)} left out; wrote {os.path.join(options.output, 'manifest.json')}")
        return
    if len(options.input) == 1 and options.input[0].endswith(".npy"):
        try:
            x = np.load(options.input[0])
        except (OSError, ValueError) as problem:
            raise FileError(f"cannot read '{options.input[0]}': {problem}") from None
    else:
        x = rg.pictures(options.input, model)
    e = explainer(x, _target(options.target), threads=options.threads)
    tokens = _lines(options.tokens) if options.tokens else None
    features = _lines(options.features) if options.features else None
    text = e.report(title=options.title, samples=range(min(len(e), options.samples)), tokens=tokens, features=features)
    try:
        pathlib.Path(options.output).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise FileError(f"cannot write '{options.output}': {problem}") from None
    print(f"wrote {options.output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0, or 2 where what was asked for cannot be, and then a line on standard error says why."""
    from .errors import Error

    try:
        _run(_parser().parse_args(arguments))
    except Error as problem:
        print(f"rulegrad: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
