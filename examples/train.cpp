// Trains the networks that ship in examples/demo with rulegrad's own training steps:
//   train fashion DATASET_DIRECTORY OUTPUT.onnx   a convolutional classifier of Fashion-MNIST
//   train accuracy DATASET_DIRECTORY MODEL.onnx   how many test pictures it names
//   train mlp OUTPUT.onnx                         Dense 30 relu, Dense 3 relu, Dense 1 on 22 made-up features
//   train mlp_tanh OUTPUT.onnx                    the same with tanh
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <zlib.h>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

namespace {

/// A gzipped IDX file (the format of MNIST): big-endian extents, then bytes.
Tensor read_idx(const std::string& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr)
    throw Error(ErrorCode::io,
                "cannot open " + path + "; on Debian the package dataset-fashion-mnist has it");
  const auto read = [&](void* to, unsigned bytes) {
    if (gzread(file, to, bytes) != static_cast<int>(bytes)) throw Error(ErrorCode::io, path + " is cut off");
  };
  unsigned char head[4];
  read(head, 4);
  Dims dims;
  for (int axis = 0; axis < head[3]; ++axis) {
    unsigned char extent[4];
    read(extent, 4);
    dims.push_back((extent[0] << 24) | (extent[1] << 16) | (extent[2] << 8) | extent[3]);
  }
  Tensor result = Tensor::uninitialized(DType::uint8, dims);
  read(result.mutable_data(), static_cast<unsigned>(result.bytes()));
  gzclose(file);
  return result;
}

Model fashion_network() {
  Network net;
  const auto named = [&](Expr expr, const std::string& name) {
    net.graph().add_name(expr, name);
    return expr;
  };
  const auto block = [&](Expr h, const std::string& number, std::int64_t channels) {
    h = net.conv(h, channels, {3, 3}, {.pads_begin = {1, 1}, .pads_end = {1, 1}});
    return named(max_pool(named(relu(h), "relu" + number), {.kernel = {2, 2}, .strides = {2, 2}}),
                 "pool" + number);
  };
  const Expr x = net.input("x", {B, 1, 28, 28});
  const Expr h = named(flatten(block(block(x, "1", 16), "2", 32)), "flatten");
  return net.finish(softmax(net.dense(named(relu(net.dense(h, 64)), "relu3"), 10), 1));
}

/// Dense 30, Dense 3 and Dense 1, the first two with an activation behind them.
Model mlp_network(Expr (*activation)(Expr), const std::string& activation_name) {
  Network net;
  const auto layer = [&](Expr h, std::int64_t units, const std::string& number) {
    const Expr active = activation(net.dense(h, units));
    net.graph().add_name(active, activation_name + number);
    return active;
  };
  const Expr x = net.input("x", {B, 22});
  return net.finish(net.dense(layer(layer(x, 30, "1"), 3, "2"), 1));
}

Tensor gather_rows(const Tensor& data, std::span<const std::int64_t> rows) {
  Dims dims = data.dims();
  dims[0] = static_cast<std::int64_t>(rows.size());
  Tensor result = Tensor::uninitialized(data.dtype(), dims);
  const std::size_t bytes = result.bytes() / rows.size();
  std::byte* to = result.mutable_data();
  for (const std::int64_t row : rows) {
    std::memcpy(to, data.data() + static_cast<std::size_t>(row) * bytes, bytes);
    to += bytes;
  }
  return result;
}

/// Minimises the loss over batches of 128, at a rate that falls to 0.
Model train(const Model& untrained, const Trainer::Loss& loss, const Tensor& questions, const Tensor& answers,
            int epochs, double rate) {
  std::vector<Dim> shape{B};
  shape.insert(shape.end(), answers.dims().begin() + 1, answers.dims().end());
  Trainer trainer(untrained, loss, {answers.dtype(), Shape(shape)});
  std::mt19937 random(1);
  std::vector<std::int64_t> order(static_cast<std::size_t>(questions.dims()[0]));
  std::iota(order.begin(), order.end(), 0);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    std::shuffle(order.begin(), order.end(), random);
    double sum = 0;
    int batches = 0;
    for (std::size_t first = 0; first + 128 <= order.size(); first += 128, ++batches) {
      const std::span rows(order.data() + first, 128);
      sum += trainer.step(gather_rows(questions, rows), gather_rows(answers, rows),
                          rate * (1 - static_cast<double>(epoch) / epochs));
    }
    std::printf("epoch %d: mean loss %.4f\n", epoch + 1, sum / batches);
    std::fflush(stdout);
  }
  return trainer.trained();
}

Tensor pictures(const Tensor& bytes) {
  Tensor scaled = bytes.cast(DType::float32);
  for (float& v : scaled.mutable_values<float>()) v /= 255;
  return scaled.reshaped({bytes.dims()[0], 1, 28, 28});
}

/// Per cent of the 10,000 test pictures whose largest score is the right one.
double accuracy(Expr scores, const std::string& directory) {
  const Program program = Program::compile(std::span(&scores, 1));
  const Tensor test = pictures(read_idx(directory + "/t10k-images-idx3-ubyte.gz"));
  const Tensor truth = read_idx(directory + "/t10k-labels-idx1-ubyte.gz");
  std::int64_t right = 0;
  std::vector<std::int64_t> rows(500);
  for (std::int64_t first = 0; first < 10000; first += 500) {
    std::iota(rows.begin(), rows.end(), first);
    const Tensor found = program.run({{"x", gather_rows(test, rows)}})[0];
    for (std::int64_t i = 0; i < 500; ++i) {
      const auto row = found.values<float>().subspan(static_cast<std::size_t>(i) * 10, 10);
      right += std::max_element(row.begin(), row.end()) - row.begin() ==
               static_cast<std::int64_t>(truth.at(first + i));
    }
  }
  return static_cast<double>(right) / 100;
}

void train_fashion(const std::string& directory, const std::string& output) {
  const Tensor images = pictures(read_idx(directory + "/train-images-idx3-ubyte.gz"));
  const Tensor labels = read_idx(directory + "/train-labels-idx1-ubyte.gz").cast(DType::int64);
  const Model model = train(fashion_network(), cross_entropy, images, labels, 6, 1e-3);
  const Expr y = model.outputs()[0].expr;
  std::printf("test accuracy %.2f %%\n", accuracy(y, directory));
  save_onnx(output, std::span(&y, 1));
}

void train_mlp(const std::string& output, Expr (*activation)(Expr), const std::string& activation_name) {
  // A made-up quantity of 22 features: a few linear effects, a product and a threshold.
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  Tensor x = Tensor::uninitialized(DType::float32, {4096, 22}),
         t = Tensor::uninitialized(DType::float32, {4096, 1});
  const auto xs = x.mutable_values<float>(), ts = t.mutable_values<float>();
  for (float& v : xs) v = normal(random);
  for (std::size_t i = 0; i < 4096; ++i) {
    const float* row = &xs[i * 22];
    ts[i] = row[0] - 0.5F * row[1] + row[2] * row[3] + (row[4] > 0 ? 2 * row[5] : 0) + 0.1F * normal(random);
  }
  const Model model = train(mlp_network(activation, activation_name), mean_squared_error, x, t, 60, 5e-3);
  const Expr y = model.outputs()[0].expr;
  save_onnx(output, std::span(&y, 1), {.graph_name = "mlp", .output_names = {"dense3"}});
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "fashion" && argc == 4) {
      train_fashion(argv[2], argv[3]);
    } else if (what == "mlp" && argc == 3) {
      train_mlp(argv[2], relu, "relu");
    } else if (what == "mlp_tanh" && argc == 3) {
      train_mlp(argv[2], tanh, "tanh");
    } else if (what == "accuracy" && argc == 4) {
      const Model model = load_onnx(argv[3]);
      std::printf("test accuracy %.2f %%\n", accuracy(model.outputs()[0].expr, argv[2]));
    } else {
      std::fprintf(stderr,
                   "usage: train fashion DATASET_DIRECTORY OUTPUT.onnx\n"
                   "       train accuracy DATASET_DIRECTORY MODEL.onnx\n"
                   "       train mlp OUTPUT.onnx\n"
                   "       train mlp_tanh OUTPUT.onnx\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
