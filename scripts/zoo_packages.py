"""Trained files that Python packages carry, as they are. They hold float32 numbers; onnxruntime says what they answer."""

import importlib.util
import os
import pathlib

import numpy as np

from zoo_registry import MODELS, Entry

# package: (file inside it, {input: (extents, dtype, largest value)}, output); extents are what stands in for free axes.
FILES = {
    "magika": ("magika/models/standard_v3_3/model.onnx", {"bytes": ((2, 2048), "int32", 256)}),
    "nudenet": ("nudenet/320n.onnx", {"images": ((1, 3, 320, 320), "float32", 1)}),
    "basic_pitch": ("basic_pitch/saved_models/icassp_2022/nmp.onnx", {"serving_default_input_2:0": ((1, 43844, 1), "float32", 1)}),
    "rapidocr_angle": ("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": ((2, 3, 48, 192), "float32", 1)}),
    "rapidocr_text": ("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", {"x": ((1, 3, 48, 96), "float32", 1)}),
    "rapidocr_places": ("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", {"x": ((1, 3, 64, 64), "float32", 1)}),
    "ddddocr": ("ddddocr/common.onnx", {"input1": ((1, 1, 64, 96), "float32", 1)}), "ddddocr_old": ("ddddocr/common_old.onnx", {"input1": ((1, 1, 64, 96), "float32", 1)}),
    "ddddocr_places": ("ddddocr/common_det.onnx", {"images": ((1, 3, 416, 416), "float32", 1)}),
    "silero_vad": ("silero_vad/data/silero_vad.onnx", {"input": ((2, 512), "float32", 1), "state": ((2, 2, 128), "float32", 1), "sr": ((), "int64", 16000)}),
    "silero_vad_16k": ("silero_vad/data/silero_vad_16k_op15.onnx", {"input": ((2, 512), "float32", 1), "state": ((2, 2, 128), "float32", 1), "sr": ((), "int64", 16000)}),
    "silero_vad_ifless": ("silero_vad/data/silero_vad_op18_ifless.onnx", {"input": ((2, 576), "float32", 1), "state": ((2, 2, 128), "float32", 1), "sr": ((), "int64", 16000)}),
    "silero_vad_half": ("silero_vad/data/silero_vad_half.onnx", {"input": ((2, 512), "float32", 1), "state": ((2, 2, 128), "float32", 1), "sr": ((), "int64", 16000)}),
    "deepfilternet_encoder": ("tmp/export/enc.onnx", {"feat_erb": ((1, 1, 6, 32), "float32", 1), "feat_spec": ((1, 2, 6, 96), "float32", 1)}),
}


def find(file):
    """In the folder ZOO_PACKAGES, where wheels were unpacked, or among what is installed."""
    roots = [pathlib.Path(os.environ[k]) for k in ("ZOO_PACKAGES",) if k in os.environ]
    spec = importlib.util.find_spec(file.split("/")[0])
    roots += [pathlib.Path(p).parent for p in (spec.submodule_search_locations or ())] if spec else []
    for root in roots:
        for found in [root / file, *root.glob("*/" + file)]:
            if found.exists():
                return found
    raise FileNotFoundError(f"no package that holds {file} is here")


def arrays(given):
    rng = np.random.default_rng(1)
    result = {}
    for name, (extents, dtype, largest) in given.items():
        values = np.asarray(rng.normal(size=extents)) * largest if dtype == "float32" else rng.integers(0, largest, extents) if extents else np.asarray(largest)
        result[name] = values.astype(dtype)
    return result


for name, (file, given) in FILES.items():
    MODELS[f"package/{name}"] = Entry(lambda file=file, given=given: (find(file), arrays(given)), ("file",))
