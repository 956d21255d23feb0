#include "contractions.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <memory>
#include <mutex>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad::benchmarks {
namespace {

using Span = std::span<const std::int64_t>;

/// Lines in the order of their first call, and how often each came.
struct Record {
  std::mutex mutex;
  bool on = false;
  std::vector<std::pair<std::string, std::int64_t>> lines;  ///< operator, and the words behind `count`

  void add(const std::string& line) {
    const std::lock_guard lock(mutex);
    const auto found =
        std::find_if(lines.begin(), lines.end(), [&](const auto& entry) { return entry.first == line; });
    if (found == lines.end())
      lines.emplace_back(line, 1);
    else
      ++found->second;
  }
};

std::string joined(Span values) {
  return fmt::format("{}", fmt::join(values, ","));
}

/// One value an axis: attributes may leave them out.
std::string each(Span values, std::size_t axes, std::int64_t otherwise) {
  std::vector<std::int64_t> all(values.begin(), values.end());
  all.resize(axes, otherwise);
  return joined(all);
}

template <class A>
std::string convolution(const A& a, Span x, Span w, Span y) {
  const std::size_t axes = x.size() - 2;
  return fmt::format("x={} w={} y={} strides={} begin={} end={} dilations={} groups={}", joined(x), joined(w),
                     joined(y), each(a.strides, axes, 1), each(a.pads_begin, axes, 0),
                     each(a.pads_end, axes, 0), each(a.dilations, axes, 1), a.groups);
}

std::int64_t product(Span dims) {
  return element_count(dims);
}

std::string matrices(std::int64_t batch, std::int64_t m, std::int64_t k, std::int64_t n, bool transpose_a,
                     bool transpose_b) {
  return fmt::format("batch={} m={} k={} n={} transpose_a={:d} transpose_b={:d}", batch, m, k, n, transpose_a,
                     transpose_b);
}

std::string matmul(const KernelCall& call) {
  const auto& attributes = call.attributes.as<MatmulAttributes>();
  const Span a = call.operands[0].dims, b = call.operands[1].dims, y = call.result.dims;
  const std::int64_t k = attributes.transpose_a && a.size() > 1 ? a[a.size() - 2] : a.back();
  const std::int64_t n = b.size() < 2 ? 1 : attributes.transpose_b ? b[b.size() - 2] : b.back();
  const bool shared = b.size() <= 2;  // one matrix for all: the rows of a are one tall matrix
  const std::int64_t rows = product(y) / n;
  if (shared && !attributes.transpose_a) return matrices(1, rows, k, n, false, attributes.transpose_b);
  const std::int64_t m = a.size() < 2 ? 1 : attributes.transpose_a ? a.back() : a[a.size() - 2];
  return matrices(rows / m, m, k, n, attributes.transpose_a, attributes.transpose_b);
}

std::string words_of(const std::string& op, const KernelCall& call) {
  const auto dims = [&](std::size_t k) { return Span(call.operands[k].dims); };
  if (op == "conv")
    return "conv|" + convolution(call.attributes.as<ConvAttributes>(), dims(0), dims(1), call.result.dims);
  if (op == "conv_transpose")
    return "conv_transpose|" +
           convolution(call.attributes.as<ConvTransposeAttributes>(), dims(0), dims(1), call.result.dims);
  if (op == "dense") {
    const std::int64_t k = dims(1)[1];
    return "matmul|" + matrices(1, product(dims(0)) / k, k, dims(1)[0], false, true);
  }
  if (op == "matmul") return "matmul|" + matmul(call);
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format(
          "[floor] {} has no bare primitive to be measured against; leave the method out of the floor", op));
}

Kernels recording_kernels(const std::shared_ptr<Record>& record) {
  Kernels kernels = Kernels::portable();
  for (const std::string& name : kernels.names()) {
    Kernel kernel = *kernels.at(name);
    if (!kernel.contraction) continue;
    kernel.run = [record, name, compute = kernel.run](const KernelCall& call) {
      if (!record->on) return compute(call);  // constants that are folded
      record->add(words_of(name, call));
      std::memset(call.result.data, 0,
                  static_cast<std::size_t>(call.result.count()) * size_of(call.result.dtype));
    };
    kernels.set(name, std::move(kernel));
  }
  return kernels;
}

}  // namespace

std::vector<std::string> contractions_of(std::span<const Expr> outputs, const Inputs& inputs) {
  const auto record = std::make_shared<Record>();
  const Kernels kernels = recording_kernels(record);
  const Program program = Program::compile(outputs, {.check_finite = false, .kernels = &kernels});
  record->on = true;
  (void)program.run(inputs);
  std::vector<std::string> lines;
  for (const auto& [line, count] : record->lines) {
    const std::size_t bar = line.find('|');
    lines.push_back(fmt::format("{} count={} {}", line.substr(0, bar), count, line.substr(bar + 1)));
  }
  return lines;
}

std::vector<std::string> streams_of(std::span<const Expr> outputs, const Inputs& inputs) {
  const Program program = Program::compile(outputs);
  std::map<std::size_t, std::int64_t> calls;  // by bytes
  (void)program.run(inputs, {.observe = [&](const KernelReport& call) {
                      if (!call.contraction) ++calls[call.bytes];
                    }});
  std::vector<std::string> lines;
  for (const auto& [bytes, count] : calls)
    lines.push_back(fmt::format("stream count={} bytes={}", count, bytes));
  return lines;
}

}  // namespace rulegrad::benchmarks
