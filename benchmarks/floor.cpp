// The least time that the contractions of a program can take on this machine, with bare oneDNN primitives:
//   analyze MODEL METHOD --batch N --shapes > shapes.txt
//   floor shapes.txt [--threads N] [--repeat N] [--serve]
// For each contraction, max(time of the primitive in the layouts that oneDNN chooses, bytes / memory
// bandwidth), times its count; for each `stream`, which is what other calls read and write, the time of
// reading so many bytes once, from one buffer that all share, so that it lies in the cache that it fits into.
// Bytes of contractions are those of calls whose operands do not fit into the last-level cache together. One
// JSON object a line; with
// --serve it answers `run N` from standard input, with the mean of N.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

using dnnl::memory;
using Dims = memory::dims;
using Words = std::map<std::string, std::string>;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Dims numbers(const std::string& text) {
  Dims result;
  std::stringstream words(text);
  for (std::string word; std::getline(words, word, ',');) result.push_back(std::stoll(word));
  return result;
}

std::string name_of(const Words& words) {
  std::string text = words.at("op");
  for (const auto& [key, value] : words)
    if (key != "op" && key != "count") text += " " + key + "=" + value;
  return text;
}

/// The layout that oneDNN prefers.
memory::desc any(const Dims& dims) {
  return {dims, memory::data_type::f32, memory::format_tag::any};
}

/// oneDNN counts dilations from 0.
Dims less_one(Dims dims) {
  for (auto& d : dims) --d;
  return dims;
}

/// [O, C / groups, ...] as [groups, O / groups, C / groups, ...].
Dims grouped(Dims w, memory::dim groups) {
  if (groups == 1) return w;
  w[0] /= groups;
  w.insert(w.begin(), groups);
  return w;
}

/// Activations are shared by all primitives, as an arena is; weights belong to each, as in a network.
class Buffers {
 public:
  void* shared(std::size_t which, std::size_t bytes) { return grown(shared_[which], bytes); }
  void* own(std::size_t bytes) { return grown(own_.emplace_back(), bytes); }

 private:
  static void* grown(std::vector<float>& buffer, std::size_t bytes) {
    // Values of normal size; small, so that long sums stay finite.
    if (buffer.size() * sizeof(float) < bytes) buffer.assign(bytes / sizeof(float) + 1, 0.0078125F);
    return buffer.data();
  }
  std::vector<float> shared_[2];
  std::vector<std::vector<float>> own_;
};

struct Contraction {
  std::string name;
  std::int64_t count = 1;
  double flops = 0;
  double bytes = 0;
  dnnl::primitive primitive;
  memory::desc source, weights, result;
  std::unordered_map<int, memory> arguments;
  std::string implementation;
  int source_id = DNNL_ARG_SRC, result_id = DNNL_ARG_DST;
  double best = 1e300;
};

class Floor {
 public:
  explicit Floor(std::istream& lines) : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    for (std::string line; std::getline(lines, line);)
      if (!line.empty()) add(line);
    std::size_t streamed = 0;
    for (const Stream& s : streams_) streamed = std::max(streamed, s.bytes);
    streamed_.assign(streamed / sizeof(float) + 1, 1.0F);
    std::size_t source = 0, result = 0;
    for (const Contraction& c : all_) {
      source = std::max(source, c.source.get_size());
      result = std::max(result, c.result.get_size());
    }
    void* const from = buffers_.shared(0, source);
    void* const to = buffers_.shared(1, result);
    for (Contraction& c : all_)
      c.arguments = {{c.source_id, memory(c.source, engine_, from)},
                     {DNNL_ARG_WEIGHTS, memory(c.weights, engine_, buffers_.own(c.weights.get_size()))},
                     {c.result_id, memory(c.result, engine_, to)}};
  }

  /// Milliseconds of one run of all of them.
  double run() {
    double total = 0;
    for (Contraction& c : all_) {
      const auto start = Clock::now();
      c.primitive.execute(stream_, c.arguments);
      stream_.wait();
      const double time = since(start);
      c.best = std::min(c.best, time);
      total += static_cast<double>(c.count) * std::max(time, traffic(c));
    }
    for (const Stream& s : streams_) {
      const auto start = Clock::now();
      read(s.bytes / sizeof(float));
      total += static_cast<double>(s.count) * since(start);
    }
    return total;
  }

  void measure_bandwidth() {
    constexpr std::size_t count = std::size_t{1} << 26;  // 256 MB
    const std::vector<float> values(count, 1.0F);
    double best = 1e300;
    for (int i = 0; i < 5; ++i) {
      const auto start = Clock::now();
      float sum = 0;
      const float* const v = values.data();
#pragma omp parallel for simd reduction(+ : sum)
      for (std::size_t k = 0; k < count; ++k) sum += v[k];
      if (sum > 0) best = std::min(best, since(start));
    }
    bandwidth_ = static_cast<double>(count * sizeof(float)) / best;
  }

  [[nodiscard]] double gigabytes_a_second() const {
    return bandwidth_ / 1e6;
  }
  [[nodiscard]] const std::vector<Contraction>& all() const {
    return all_;
  }
  [[nodiscard]] double traffic(const Contraction& c) const {
    return c.bytes > cache() ? c.bytes / bandwidth_ : 0;
  }

 private:
  static double cache() {
    const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return bytes > 0 ? static_cast<double>(bytes) : 32e6;
  }

  struct Stream {
    std::int64_t count;
    std::size_t bytes;
  };

  /// Few values are quicker read by one thread than shared out.
  void read(std::size_t count) {
    constexpr std::size_t few = 1 << 15;
    const float* const v = streamed_.data();
    float sum = 0;
    if (count < few) {
#pragma omp simd reduction(+ : sum)
      for (std::size_t k = 0; k < count; ++k) sum += v[k];
    } else {
#pragma omp parallel for simd reduction(+ : sum)
      for (std::size_t k = 0; k < count; ++k) sum += v[k];
    }
    read_ = sum;
  }

  void add(const std::string& line) {
    Words words;
    std::stringstream text(line);
    text >> words["op"];
    for (std::string word; text >> word;)
      words[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    if (words.at("op") == "stream") {
      streams_.push_back(
          {std::stoll(words.at("count")), static_cast<std::size_t>(std::stoull(words.at("bytes")))});
      return;
    }
    Contraction c =
        words.at("op") == "matmul" ? product(words) : convolution(words, words.at("op") == "conv_transpose");
    c.name = name_of(words);
    c.count = std::stoll(words.at("count"));
    c.bytes = static_cast<double>(c.source.get_size() + c.weights.get_size() + c.result.get_size());
    all_.push_back(std::move(c));
  }

  /// A transposed convolution is the backward pass of one for its data, from y's gradient x.
  Contraction convolution(const Words& words, bool transposed) const {
    const Dims x = numbers(words.at("x")), y = numbers(words.at("y")), w = numbers(words.at("w"));
    const Dims &data = transposed ? y : x, &out = transposed ? x : y;
    const memory::dim groups = std::stoll(words.at("groups"));
    const Dims strides = numbers(words.at("strides")), dilations = less_one(numbers(words.at("dilations")));
    // oneDNN asks for exact extents: what the last windows do not reach is negative padding.
    Dims begin = numbers(words.at("begin")), end = numbers(words.at("end"));
    for (std::size_t axis = 0; axis < begin.size(); ++axis) {
      const memory::dim reach = (w[axis + 2] - 1) * (dilations[axis] + 1) + 1;
      end[axis] = (out[axis + 2] - 1) * strides[axis] + reach - data[axis + 2] - begin[axis];
    }
    Contraction c;
    memory::dim macs = 1;
    for (std::size_t axis = 1; axis < w.size(); ++axis) macs *= w[axis];
    for (const memory::dim extent : out) macs *= extent;
    c.flops = 2.0 * static_cast<double>(macs);
    const auto forward = dnnl::convolution_forward::desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, any(data),
        any(grouped(w, groups)), any(out), strides, dilations, begin, end);
    const dnnl::convolution_forward::primitive_desc hint(forward, engine_);
    if (!transposed) {
      c.primitive = dnnl::convolution_forward(hint);
      c.source = hint.src_desc();
      c.weights = hint.weights_desc();
      c.result = hint.dst_desc();
      c.implementation = hint.impl_info_str();
      return c;
    }
    const auto backward = dnnl::convolution_backward_data::desc(dnnl::algorithm::convolution_direct,
                                                                any(data), any(grouped(w, groups)), any(out),
                                                                strides, dilations, begin, end);
    const dnnl::convolution_backward_data::primitive_desc primitive(backward, engine_, hint);
    c.primitive = dnnl::convolution_backward_data(primitive);
    c.source = primitive.diff_dst_desc();
    c.weights = primitive.weights_desc();
    c.result = primitive.diff_src_desc();
    c.source_id = DNNL_ARG_DIFF_DST;
    c.result_id = DNNL_ARG_DIFF_SRC;
    c.implementation = primitive.impl_info_str();
    return c;
  }

  Contraction product(const Words& words) const {
    const auto number = [&](const char* key) { return static_cast<memory::dim>(std::stoll(words.at(key))); };
    const memory::dim batch = number("batch"), m = number("m"), k = number("k"), n = number("n");
    const bool one = batch == 1;
    const auto dims = [&](memory::dim rows, memory::dim columns) {
      return one ? Dims{rows, columns} : Dims{batch, rows, columns};
    };
    const auto weights =
        one ? any(dims(k, n)) : memory::desc(dims(k, n), memory::data_type::f32, memory::format_tag::abc);
    const auto plain = [&](memory::dim rows, memory::dim columns) {
      return memory::desc(dims(rows, columns), memory::data_type::f32,
                          one ? memory::format_tag::ab : memory::format_tag::abc);
    };
    const dnnl::matmul::primitive_desc primitive(dnnl::matmul::desc(plain(m, k), weights, plain(m, n)),
                                                 engine_);
    Contraction c;
    c.flops = 2.0 * static_cast<double>(batch * m * k * n);
    c.primitive = dnnl::matmul(primitive);
    c.source = primitive.src_desc();
    c.weights = primitive.weights_desc();
    c.result = primitive.dst_desc();
    c.implementation = primitive.impl_info_str();
    return c;
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  Buffers buffers_;
  std::vector<Contraction> all_;
  std::vector<Stream> streams_;
  std::vector<float> streamed_;
  volatile float read_ = 0;  // so that reading is not left out
  double bandwidth_ = 1;     ///< bytes a millisecond
};

void answer(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

int run(const std::string& path, int repeat, bool serve) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Floor floor(file);
  floor.measure_bandwidth();
  (void)floor.run();
  const dnnl_version_t* const version = dnnl_version();
  answer(fmt::format(
      "{{\"ready\": true, \"version\": \"oneDNN {}.{}.{}\", \"gigabytes_a_second\": {:.1f}, "
      "\"contractions\": {}}}",
      version->major, version->minor, version->patch, floor.gigabytes_a_second(), floor.all().size()));
  if (serve) {
    for (std::string line; std::getline(std::cin, line);) {
      if (!line.starts_with("run "))
        throw std::runtime_error("'" + line + "' is no request; there is: run N");
      const int count = std::stoi(line.substr(4));
      double total = 0;
      for (int i = 0; i < count; ++i) total += floor.run();
      answer(fmt::format("{{\"ms\": {:.4f}}}", total / count));
    }
    return 0;
  }
  for (int i = 0; i < repeat; ++i) answer(fmt::format("{{\"ms\": {:.4f}}}", floor.run()));
  for (const Contraction& c : floor.all())
    answer(
        fmt::format("{{\"contraction\": \"{}\", \"count\": {}, \"ms\": {:.4f}, \"gflops\": {:.1f}, "
                    "\"traffic_ms\": {:.4f}, \"implementation\": \"{}\"}}",
                    c.name, c.count, c.best, c.flops / c.best / 1e6, floor.traffic(c), c.implementation));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::string path;
    int repeat = 7;
    bool serve = false;
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      if (word == "--serve")
        serve = true;
      else if (word == "--threads" && i + 1 < argc) {
        const int threads = std::stoi(argv[++i]);
        if (threads > 0) omp_set_num_threads(threads);
      } else if (word == "--repeat" && i + 1 < argc)
        repeat = std::stoi(argv[++i]);
      else if (word.starts_with("--") || !path.empty())
        throw std::runtime_error("usage: floor SHAPES [--threads N] [--repeat N] [--serve]");
      else
        path = word;
    }
    if (path.empty()) throw std::runtime_error("usage: floor SHAPES [--threads N] [--repeat N] [--serve]");
    return run(path, repeat, serve);
  } catch (const std::exception& error) {
    fmt::print(stderr, "floor: error: {}\n", error.what());
    return 2;
  }
}
