#!/usr/bin/env python3
"""How much memory a stream takes: N samples of 3 x 224 x 224 from one array on disk, explained by `gradient` of a small network.

    scripts/measure_stream.py COMMAND FOLDER [SAMPLES] [MEGABYTES]

COMMAND is the built `rulegrad`; FOLDER is on a disk with room for what is kept. The array is sparse: its file has all the bytes, the disk holds none of
them. Shards are taken away as they appear, as somebody who uses them would, so that the disk need not hold 30 GB; what is written is
counted before. Prints the most memory that the process held (its resident set, by the kernel), the time, and the bytes read and written.
"""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np

MODEL = "network.onnx"


def write_network(path: pathlib.Path) -> None:
    """conv 3x3 of stride 4 to 4 channels, ReLU, mean over the picture, dense to 10: in ONNX, by its messages alone."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((4, 3, 3, 3)) * 0.2, "b": rng.standard_normal(4) * 0.1, "v": rng.standard_normal((10, 4)), "c": rng.standard_normal(10)}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["h"], name="conv1", kernel_shape=[3, 3], strides=[4, 4]), helper.make_node("Relu", ["h"], ["r"], name="relu1"),
         helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool1"), helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "v", "c"], ["y"], name="dense1", transB=1)],
        "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 224, 224])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def main() -> int:
    command, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    samples = int(sys.argv[3]) if len(sys.argv) > 3 else 50000
    megabytes = sys.argv[4] if len(sys.argv) > 4 else "1024"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MODEL).exists():
        write_network(folder / MODEL)
    array = folder / "x.npy"
    if array.exists():
        array.unlink()
    # Zeros that the disk does not hold, with a few samples that are not zero.
    mapped = np.lib.format.open_memmap(array, mode="w+", dtype=np.float32, shape=(samples, 3, 224, 224))
    rng = np.random.default_rng(1)
    for k in range(0, samples, max(samples // 16, 1)):
        mapped[k] = rng.standard_normal((3, 224, 224), dtype=np.float32)
    del mapped
    out = folder / "maps"
    began = time.monotonic()
    run = subprocess.Popen([command, "analyze", str(folder / MODEL), "--input", str(array), "--method", "gradient", "--memory", megabytes, "--output", str(out), "--pictures", "4"], stdout=subprocess.PIPE, text=True)
    written, shards, status = 0, 0, None
    while status is None:
        time.sleep(0.2)
        for record in sorted(out.glob("records/*.json"))[shards:]:
            for part in out.glob(f"gradient/*/{record.stem}.npy"):
                written += part.stat().st_size
                part.unlink()
            shards += 1
        pid, code, usage = os.wait4(run.pid, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(code)
    seconds = time.monotonic() - began
    print(run.stdout.read().strip())
    for part in out.glob("gradient/*/*.npy"):
        written += part.stat().st_size
    print(f"{samples} samples of 3 x 224 x 224, --memory {megabytes}: at most {usage.ru_maxrss / 1024:.0f} MB resident, {seconds:.0f} s, {samples / seconds:.0f} samples/s, "
          f"{array.stat().st_size / 1e9:.1f} GB read, {written / 1e9:.1f} GB written, exit status {status}")
    array.unlink()
    return status


if __name__ == "__main__":
    sys.exit(main())
