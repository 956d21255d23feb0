#!/usr/bin/env python3
"""onnxruntime, OpenVINO or JAX on the ONNX file of a network, in a process of its own; see protocol.py.

usage: onnx_peer.py PEER MODEL.onnx forward|gradient --input FILE.npy [--threads N] [--configuration float32|bf16]
"""

import argparse
import os

import numpy

import protocol


def onnxruntime(path, x, options):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0]


def openvino(path, x, options):
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": options.threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if options.configuration == "bf16" else "f32"})
    return lambda: numpy.array(model([x])[0])


class InJax:
    """The operators of the convolutional networks here, as jax.numpy and jax.lax have them."""

    def __init__(self, path):
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(path).graph
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.nodes = [(node, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}) for node in graph.node]
        for node, attributes in self.nodes:
            if node.op_type == "Constant":
                self.weights[node.output[0]] = numpy_helper.to_array(attributes["value"])
        self.input, self.output = graph.input[0].name, graph.output[0].name

    def windows(self, x, attributes, reduce, start):
        import jax

        pads = attributes.get("pads", [0, 0, 0, 0])
        return jax.lax.reduce_window(x, start, reduce, (1, 1, *attributes["kernel_shape"]), (1, 1, *attributes.get("strides", [1, 1])),
                                     ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))

    def apply(self, node, attributes, x):
        import jax
        import jax.numpy as jnp

        if node.op_type == "Conv":
            pads = attributes.get("pads", [0, 0, 0, 0])
            y = jax.lax.conv_general_dilated(x[0], x[1], attributes.get("strides", [1, 1]), ((pads[0], pads[2]), (pads[1], pads[3])),
                                             feature_group_count=attributes.get("group", 1))
            return y + x[2][None, :, None, None] if len(x) > 2 else y
        if node.op_type == "Gemm":
            y = x[0] @ (x[1].T if attributes.get("transB") else x[1])
            return y + x[2] if len(x) > 2 else y
        if node.op_type == "MaxPool":
            return self.windows(x[0], attributes, jax.lax.max, -jnp.inf)
        if node.op_type == "AveragePool":
            return self.windows(x[0], attributes, jax.lax.add, 0.0) / numpy.prod(attributes["kernel_shape"])
        simple = {"Relu": jax.nn.relu, "Add": jnp.add, "Identity": lambda v: v, "Flatten": lambda v: v.reshape(v.shape[0], -1),
                  "Clip": lambda v, low, high: jnp.clip(v, low, high), "Concat": lambda *v: jnp.concatenate(v, attributes.get("axis", 0))}
        if node.op_type not in simple:
            raise SystemExit(f"error: the adapter for JAX has no {node.op_type}")
        return simple[node.op_type](*x)

    def __call__(self, weights, x):
        values = {**weights, self.input: x}
        for node, attributes in self.nodes:
            if node.op_type != "Constant":
                values[node.output[0]] = self.apply(node, attributes, [values[name] for name in node.input])
        return values[self.output]


def jax(path, x, options):
    # XLA takes the threads of the cores it may run on.
    if options.threads and options.threads < len(os.sched_getaffinity(0)):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    import jax
    import jax.numpy as jnp

    network = InJax(path)
    x = jnp.asarray(x)
    weights = {name: jnp.asarray(value) for name, value in network.weights.items()}
    if options.method == "forward":
        run = jax.jit(network)
    else:
        run = jax.jit(jax.grad(lambda w, v: network(w, v).max(axis=1).sum(), argnums=1))
    return lambda: numpy.asarray(run(weights, x))


PEERS = {"onnxruntime": onnxruntime, "openvino": openvino, "jax": jax}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("model")
    parser.add_argument("method", choices=["forward", "gradient"])
    parser.add_argument("--input", required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--configuration", default="float32")
    options = parser.parse_args()
    options.threads = options.threads or len(os.sched_getaffinity(0))
    protocol.serve(PEERS[options.peer](options.model, numpy.load(options.input), options))


if __name__ == "__main__":
    main()
