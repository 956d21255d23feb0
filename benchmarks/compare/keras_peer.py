#!/usr/bin/env python3
"""iNNvestigate, one network and one method, in a process of its own; see protocol.py.

usage: keras_peer.py LAYERS.npz METHOD --input FILE.npy [--threads N]

LAYERS.npz is what networks.save_layers writes. The Keras network has its channels last, which is all that TensorFlow offers on
processors; arrays are turned before and after what is timed.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy
import protocol

METHODS = {
    "gradient": ("gradient", {}),
    "guided_backprop": ("guided_backprop", {}),
    "lrp.epsilon": ("lrp.epsilon", {"epsilon": 1e-7}),
    "lrp.alpha_1_beta_0": ("lrp.alpha_1_beta_0", {}),
    "lrp.sequential_preset_a_flat": ("lrp.sequential_preset_a_flat", {"epsilon": 0.1}),
}


def build(tensorflow, path, shape):
    """`shape` of one sample, channels first."""
    layers = tensorflow.keras.layers
    stored = numpy.load(path)
    image = len(shape) == 3
    network = tensorflow.keras.Sequential([layers.Input((*shape[1:], shape[0]) if image else shape)])
    channels_last = None  # extents before a Flatten
    for number, line in enumerate(stored["lines"]):
        kind, _, value = str(line).partition(" ")
        if kind == "conv":
            w, b = stored[f"w{number}"], stored[f"b{number}"]
            same = int(value) > 0
            assert int(value) == (w.shape[2] // 2 if same else 0), "paddings are none, or keep the extents"
            layer = layers.Conv2D(w.shape[0], w.shape[2:], padding="same" if same else "valid")
            network.add(layer)
            layer.set_weights([w.transpose(2, 3, 1, 0), b])
        elif kind == "dense":
            w, b = stored[f"w{number}"], stored[f"b{number}"]
            if channels_last is not None:
                height, width, channels = channels_last
                w = w.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(w), -1)
                channels_last = None
            layer = layers.Dense(len(w))
            network.add(layer)
            layer.set_weights([w.T, b])
        elif kind == "relu":
            network.add(layers.Activation("relu"))
        elif kind == "max_pool":
            network.add(layers.MaxPooling2D(int(value)))
        else:
            channels_last = network.output_shape[1:]
            network.add(layers.Flatten())
    return network


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("layers")
    parser.add_argument("method")
    parser.add_argument("--input", required=True)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()

    import innvestigate
    import tensorflow

    tensorflow.compat.v1.disable_eager_execution()
    if options.threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(options.threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    x = numpy.load(options.input)
    network = build(tensorflow, options.layers, x.shape[1:])
    name, parameters = METHODS[options.method]
    analyzer = innvestigate.create_analyzer(name, network, neuron_selection_mode="max_activation", **parameters)
    image = x.ndim == 4
    values = numpy.ascontiguousarray(x.transpose(0, 2, 3, 1)) if image else x

    def run():
        result = analyzer.analyze(values)
        return result.transpose(0, 3, 1, 2) if image else result

    protocol.serve(run)


if __name__ == "__main__":
    main()
