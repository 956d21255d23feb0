"""Models of Keras on its backend of torch: applications, and networks of its layers. Keras exports them as torch does."""

import os

import torch

from zoo_registry import MODELS, Entry

os.environ.setdefault("KERAS_BACKEND", "torch")


class Net(torch.nn.Module):
    """A Keras model that can be built again in float64, in which Keras computes only what was made so."""

    def __init__(self, build, dtype="float32", weights=None):
        super().__init__()
        import keras

        self.build = build
        keras.config.set_floatx(dtype)
        keras.utils.set_random_seed(0)
        try:
            self.inner = build(keras)
        finally:
            keras.config.set_floatx("float32")
        if weights is not None:
            self.inner.set_weights(weights)

    def forward(self, x):
        return self.inner(x, training=False)

    def weights(self):
        return [w.detach().cpu().numpy() if isinstance(w, torch.Tensor) else w for w in self.inner.get_weights()]

    def double(self):
        return Net(self.build, "float64", self.weights())

    def __deepcopy__(self, memo):
        return self


APPLICATIONS = {
    "MobileNet": dict(alpha=0.25), "MobileNetV2": dict(alpha=0.35), "MobileNetV3Small": {}, "ResNet50": {}, "ResNet50V2": {}, "EfficientNetB0": {}, "EfficientNetV2B0": {}, "Xception": {},
    "DenseNet121": {}, "NASNetMobile": {}, "InceptionV3": {}, "ConvNeXtTiny": {},
}


def application(name):
    def make():
        size = {"Xception": 71, "InceptionV3": 75, "NASNetMobile": 64}.get(name, 64)

        def build(keras):
            return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10, **APPLICATIONS[name])

        return Net(build), [torch.rand(2, size, size, 3) * 2 - 1], ["x"]

    return make


for name in APPLICATIONS:
    MODELS[f"keras/{name}"] = Entry(application(name))


def sequence(*layers, shape):
    """A functional model: layers one after another; a list gives branches that are added, a callable of keras makes a layer."""

    def build(keras):
        x = given = keras.Input(shape)
        for layer in layers:
            x = layer(keras.layers, x)
        return keras.Model(given, x)

    return build


def step(name, *args, **options):
    return lambda layers, x: getattr(layers, name)(*args, **options)(x)


def residual(*steps):
    def apply(layers, x):
        y = x
        for one in steps:
            y = one(layers, y)
        return layers.Add()([x, y])

    return apply


def attention(kind):
    def apply(layers, x):
        return layers.MultiHeadAttention(2, 4)(x, x) if kind == "multi" else getattr(layers, kind)()([x, x])

    return apply


END = [step("Flatten"), step("Dense", 3, activation="softmax")]
NORMED = [step("Conv2D", 8, 3, padding="same"), step("BatchNormalization"), step("ReLU"), step("MaxPooling2D")]
NETWORKS = {
    "dense": ((12,), [step("Dense", 16, activation="relu"), step("Dropout", 0.3), step("Dense", 3, activation="softmax")]),
    "dense_gelu": ((12,), [step("Dense", 16, activation="gelu"), step("LayerNormalization"), step("Dense", 3)]),
    "dense_silu": ((12,), [step("Normalization", mean=0.5, variance=2.0), step("Dense", 16, activation="silu"), step("Dense", 3)]),
    "dense_selu": ((12,), [step("Dense", 16, activation="selu"), step("AlphaDropout", 0.1), step("Dense", 8, activation="softplus"), step("Dense", 3, activation="sigmoid")]),
    "cnn": ((16, 16, 3), [*NORMED, step("Conv2D", 8, 3, activation="relu"), step("GlobalAveragePooling2D"), step("Dense", 3, activation="softmax")]),
    "cnn_separable": ((16, 16, 3), [step("SeparableConv2D", 8, 3, padding="same"), step("BatchNormalization", scale=False), step("LeakyReLU"), step("DepthwiseConv2D", 3, strides=2, padding="same"), *END]),
    "cnn_transposed": ((8, 8, 3), [step("Conv2DTranspose", 4, 3, strides=2, padding="same", activation="elu"), step("UpSampling2D"), step("Cropping2D", 1), step("ZeroPadding2D", 2), step("AveragePooling2D", 3, padding="same"), *END]),
    "cnn_bilinear": ((8, 8, 3), [step("Resizing", 12, 12), step("Rescaling", 0.5, offset=-1.0), step("Conv2D", 4, 3, dilation_rate=2), step("PReLU"), *END]),
    "cnn_groups": ((8, 8, 4), [step("Conv2D", 8, 3, groups=2), step("GroupNormalization", 4), step("SpatialDropout2D", 0.1), *END]),
    "unet": ((16, 16, 3), [residual(step("Conv2D", 8, 3, strides=2, padding="same", activation="relu"), step("Conv2DTranspose", 3, 3, strides=2, padding="same")), step("Conv2D", 2, 1, activation="sigmoid")]),
    "conv1d": ((20, 3), [step("Conv1D", 8, 3, padding="causal", activation="relu"), step("MaxPooling1D"), step("Conv1D", 8, 3, dilation_rate=2, padding="same", activation="tanh"), step("GlobalMaxPooling1D"), step("Dense", 3)]),
    "conv3d": ((6, 8, 8, 2), [step("Conv3D", 4, 3, activation="relu"), step("AveragePooling3D", 2), *END]),
    "lstm": ((7, 6), [step("LSTM", 8), step("Dense", 3)]), "lstm_stacked": ((7, 6), [step("LSTM", 8, return_sequences=True), step("LSTM", 5), step("Dense", 3)]),
    "lstm_bidirectional": ((7, 6), [lambda layers, x: layers.Bidirectional(layers.LSTM(5))(x), step("Dense", 3)]), "gru": ((7, 6), [step("GRU", 8), step("Dense", 3)]),
    "gru_reset_before": ((7, 6), [step("GRU", 8, reset_after=False, return_sequences=True), *END]), "rnn": ((7, 6), [step("SimpleRNN", 8), step("Dense", 3)]),
    "time_distributed": ((5, 6), [lambda layers, x: layers.TimeDistributed(layers.Dense(4, activation="relu"))(x), *END]), "convlstm": ((3, 6, 6, 2), [step("ConvLSTM2D", 4, 3, padding="same"), *END]),
    "attention": ((6, 8), [attention("Attention"), step("GlobalAveragePooling1D"), step("Dense", 3)]), "additive_attention": ((6, 8), [attention("AdditiveAttention"), step("GlobalAveragePooling1D"), step("Dense", 3)]),
    "transformer": ((6, 8), [residual(attention("multi")), step("LayerNormalization"), residual(step("Dense", 16, activation="gelu"), step("Dense", 8)), step("LayerNormalization"), step("GlobalAveragePooling1D"), step("Dense", 3, activation="softmax")]),
    "unit_normalization": ((12,), [step("Dense", 8), step("UnitNormalization"), step("Reshape", (2, 4)), step("Permute", (2, 1)), *END]),
}


def network(name):
    shape, layers = NETWORKS[name]
    return lambda: (Net(sequence(*layers, shape=shape)), [torch.randn(2, *shape)], ["x"])


for name in NETWORKS:
    MODELS[f"keras/{name}"] = Entry(network(name))
