// Trains the two networks that ship in examples/demo, with rulegrad's own gradients:
//   train fashion DATASET_DIRECTORY OUTPUT.onnx   a convolutional classifier of Fashion-MNIST
//   train accuracy DATASET_DIRECTORY MODEL.onnx   how many test pictures it names
//   train mlp OUTPUT.onnx                         Dense 30 relu, Dense 3 relu, Dense 1 on 22 made-up features
//   train mlp_tanh OUTPUT.onnx                    the same with tanh
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "rulegrad/build.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/gradient.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/program.hpp"

using namespace rulegrad;

namespace {

/// A gzipped IDX file (the format of MNIST): big-endian extents, then bytes.
Tensor read_idx(const std::string& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) throw Error(ErrorCode::io, "cannot open " + path + "; on Debian the package dataset-fashion-mnist has it");
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

/// Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1) on parameters that are inputs of a program.
class Adam {
 public:
  Adam(Inputs& inputs, std::vector<std::string> names) : inputs_(inputs), names_(std::move(names)) {
    for (const std::string& name : names_) {
      first_.emplace_back(static_cast<std::size_t>(inputs_[name].size()));
      second_.emplace_back(static_cast<std::size_t>(inputs_[name].size()));
    }
  }

  void step(std::span<const Tensor> gradients, double rate) {
    ++steps_;
    const double unbias1 = 1 - std::pow(0.9, steps_), unbias2 = 1 - std::pow(0.999, steps_);
    for (std::size_t p = 0; p < names_.size(); ++p) {
      const auto values = inputs_[names_[p]].mutable_values<float>();
      const auto g = gradients[p].values<float>();
      for (std::size_t i = 0; i < values.size(); ++i) {
        first_[p][i] = 0.9F * first_[p][i] + 0.1F * g[i];
        second_[p][i] = 0.999F * second_[p][i] + 0.001F * g[i] * g[i];
        values[i] -= static_cast<float>(rate * (first_[p][i] / unbias1) / (std::sqrt(second_[p][i] / unbias2) + 1e-8));
      }
    }
  }

 private:
  Inputs& inputs_;
  std::vector<std::string> names_;
  std::vector<std::vector<float>> first_, second_;
  double steps_ = 0;
};

/// Makes parameters: inputs of the training graph, constants of the graph that is saved.
class Parameters {
 public:
  Parameters(Graph& graph, const Inputs* trained, std::mt19937& random) : graph_(graph), trained_(trained), random_(random) {}

  Expr weight(const std::string& name, Dims dims, std::int64_t fan_in) {
    // He et al. 2015 (arXiv 1502.01852), eq. 10: variance 2 / fan-in keeps signals alive through ReLUs.
    std::normal_distribution<float> normal(0, std::sqrt(2.0F / static_cast<float>(fan_in)));
    return make(name, dims, [&] { return normal(random_); });
  }
  Expr bias(const std::string& name, std::int64_t count) {
    return make(name, {count}, [] { return 0.0F; });
  }

  /// The node under a name that the saved file keeps.
  Expr named(Expr expr, const std::string& name) {
    graph_.add_name(expr, name);
    return expr;
  }

  Inputs initial;
  std::vector<std::string> names;
  std::vector<Expr> exprs;

 private:
  template <class F>
  Expr make(const std::string& name, const Dims& dims, F value) {
    if (trained_ != nullptr) return named(graph_.constant(trained_->at(name)), name);
    Tensor start = Tensor::uninitialized(DType::float32, dims);
    for (float& v : start.mutable_values<float>()) v = value();
    initial[name] = start;
    names.push_back(name);
    exprs.push_back(graph_.input(name, {DType::float32, Shape::of(dims)}));
    return exprs.back();
  }

  Graph& graph_;
  const Inputs* trained_;
  std::mt19937& random_;
};

Expr fashion_network(Parameters& p, Expr x) {
  const auto block = [&](Expr h, const std::string& number, std::int64_t in, std::int64_t out) {
    const std::string name = "conv" + number;
    const ConvAttributes same{.pads_begin = {1, 1}, .pads_end = {1, 1}};
    h = p.named(conv(h, p.weight(name + ".w", {out, in, 3, 3}, in * 9), p.bias(name + ".b", out), same), name);
    return p.named(max_pool(p.named(relu(h), "relu" + number), {.kernel = {2, 2}, .strides = {2, 2}}), "pool" + number);
  };
  const Expr h = p.named(flatten(block(block(x, "1", 1, 16), "2", 16, 32)), "flatten");
  const Expr hidden = p.named(dense(h, p.weight("dense1.w", {64, 1568}, 1568), p.bias("dense1.b", 64)), "dense1");
  return p.named(dense(p.named(relu(hidden), "relu3"), p.weight("dense2.w", {10, 64}, 64), p.bias("dense2.b", 10)), "dense2");
}

using Activation = Expr (*)(Expr);

/// Dense 30, Dense 3 and Dense 1, the first two with an activation behind them.
Expr mlp_network(Parameters& p, Expr x, Activation activation, const std::string& activation_name) {
  const auto layer = [&](Expr h, int number, std::int64_t in, std::int64_t out) {
    const std::string name = "dense" + std::to_string(number);
    return p.named(dense(h, p.weight(name + ".w", {out, in}, in), p.bias(name + ".b", out)), name);
  };
  Expr h = p.named(activation(layer(x, 1, 22, 30)), activation_name + "1");
  h = p.named(activation(layer(h, 2, 30, 3)), activation_name + "2");
  return layer(h, 3, 3, 1);
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

/// Minimises the mean of `loss_of(output, answers)` over batches of 128; returns the trained parameters.
template <class Network, class Loss>
Inputs train(const Tensor& questions, const Tensor& answers, int epochs, double rate, Network network, Loss loss_of) {
  std::mt19937 random(1);
  Graph graph;
  Dims each = questions.dims();
  std::vector<Dim> shape{B};
  shape.insert(shape.end(), each.begin() + 1, each.end());
  const Expr x = graph.input("x", {DType::float32, Shape(shape)});
  const Expr t = graph.input("t", {answers.dtype(), answers.rank() == 1 ? Shape{B} : Shape{B, answers.dims()[1]}});
  Parameters parameters(graph, nullptr, random);
  const Expr loss = loss_of(network(parameters, x), t);
  std::vector<Expr> outputs{loss};
  for (const Expr g : gradient(loss, parameters.exprs, graph.scalar(1))) outputs.push_back(g);
  const Program program = Program::compile(outputs);

  Inputs inputs = parameters.initial;
  Adam adam(inputs, parameters.names);
  std::vector<std::int64_t> order(static_cast<std::size_t>(questions.dims()[0]));
  std::iota(order.begin(), order.end(), 0);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    std::shuffle(order.begin(), order.end(), random);
    double sum = 0;
    int batches = 0;
    for (std::size_t first = 0; first + 128 <= order.size(); first += 128, ++batches) {
      const std::span rows(order.data() + first, 128);
      inputs["x"] = gather_rows(questions, rows);
      inputs["t"] = gather_rows(answers, rows);
      const std::vector<Tensor> results = program.run(inputs);
      sum += results[0].at(0);
      adam.step(std::span(results).subspan(1), rate * (1 - static_cast<double>(epoch) / epochs));
    }
    std::printf("epoch %d: mean loss %.4f\n", epoch + 1, sum / batches);
    std::fflush(stdout);
  }
  inputs.erase("x");
  inputs.erase("t");
  return inputs;
}

/// The trained network as a graph of its own, with softmax on top where asked.
template <class Network>
Expr finished(Graph& graph, const Inputs& trained, Shape input, bool with_softmax, Network network) {
  std::mt19937 random(0);
  Parameters parameters(graph, &trained, random);
  const Expr x = graph.input("x", {DType::float32, std::move(input)});
  const Expr y = network(parameters, x);
  return with_softmax ? softmax(y, 1) : y;
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
      right += std::max_element(row.begin(), row.end()) - row.begin() == static_cast<std::int64_t>(truth.at(first + i));
    }
  }
  return static_cast<double>(right) / 100;
}

void train_fashion(const std::string& directory, const std::string& output) {
  const Tensor images = pictures(read_idx(directory + "/train-images-idx3-ubyte.gz"));
  const Tensor labels = read_idx(directory + "/train-labels-idx1-ubyte.gz").cast(DType::int64);
  const Inputs trained = train(images, labels, 6, 1e-3, fashion_network, [](Expr y, Expr t) {
    return -mean(sum(one_hot(t, 10, DType::float32) * log_softmax(y, 1), {1}), {0});
  });

  Graph graph;
  const Expr y = finished(graph, trained, Shape{B, 1, 28, 28}, true, fashion_network);
  std::printf("test accuracy %.2f %%\n", accuracy(y, directory));
  save_onnx(output, std::span(&y, 1));
}

void train_mlp(const std::string& output, Activation activation, const std::string& activation_name) {
  // A made-up quantity of 22 features: a few linear effects, a product and a threshold.
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  Tensor x = Tensor::uninitialized(DType::float32, {4096, 22}), t = Tensor::uninitialized(DType::float32, {4096, 1});
  const auto xs = x.mutable_values<float>(), ts = t.mutable_values<float>();
  for (float& v : xs) v = normal(random);
  for (std::size_t i = 0; i < 4096; ++i) {
    const float* row = &xs[i * 22];
    ts[i] = row[0] - 0.5F * row[1] + row[2] * row[3] + (row[4] > 0 ? 2 * row[5] : 0) + 0.1F * normal(random);
  }
  const auto network = [&](Parameters& p, Expr input) { return mlp_network(p, input, activation, activation_name); };
  const Inputs trained = train(x, t, 60, 5e-3, network, [](Expr y, Expr target) { return mean((y - target) * (y - target), {0, 1}); });
  Graph graph;
  const Expr y = finished(graph, trained, Shape{B, 22}, false, network);
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
      std::fprintf(stderr, "usage: train fashion DATASET_DIRECTORY OUTPUT.onnx\n"
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
