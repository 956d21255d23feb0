#include "onnx/onnx_cases.hpp"

#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <optional>
#include <unistd.h>

#define ONNX_NAMESPACE onnx
#define ONNX_ML 1
#include <onnx/onnx_pb.h>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad::testing {
namespace {

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class T>
Tensor raw(Dims dims, const std::string& bytes) {
  Tensor tensor = Tensor::uninitialized(dtype_of<T>, std::move(dims));
  if (tensor.bytes() != bytes.size()) throw std::runtime_error("a test array has the wrong size");
  if (!bytes.empty()) std::memcpy(tensor.mutable_data(), bytes.data(), bytes.size());
  return tensor;
}

template <class T, class Field>
Tensor typed(Dims dims, const Field& field) {
  std::string bytes;
  for (const auto& element : field) {
    const T value = static_cast<T>(element);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  return raw<T>(std::move(dims), bytes);
}

}  // namespace

Tensor read_tensor_proto(const std::filesystem::path& path) {
  onnx::TensorProto proto;
  if (!proto.ParseFromString(bytes_of(path))) throw std::runtime_error("cannot read " + path.string());
  Dims dims(proto.dims().begin(), proto.dims().end());
  const bool has_raw = proto.has_raw_data();
  switch (proto.data_type()) {
    case onnx::TensorProto::FLOAT:
      return has_raw ? raw<float>(dims, proto.raw_data()) : typed<float>(dims, proto.float_data());
    case onnx::TensorProto::DOUBLE:
      return has_raw ? raw<double>(dims, proto.raw_data()) : typed<double>(dims, proto.double_data());
    case onnx::TensorProto::INT64:
      return has_raw ? raw<std::int64_t>(dims, proto.raw_data())
                     : typed<std::int64_t>(dims, proto.int64_data());
    case onnx::TensorProto::INT32:
      return has_raw ? raw<std::int32_t>(dims, proto.raw_data())
                     : typed<std::int32_t>(dims, proto.int32_data());
    case onnx::TensorProto::UINT8:
      return has_raw ? raw<std::uint8_t>(dims, proto.raw_data())
                     : typed<std::uint8_t>(dims, proto.int32_data());
    case onnx::TensorProto::INT8:
      return has_raw ? raw<std::int8_t>(dims, proto.raw_data())
                     : typed<std::int8_t>(dims, proto.int32_data());
    case onnx::TensorProto::BOOL:
      return has_raw ? raw<bool>(dims, proto.raw_data()) : typed<bool>(dims, proto.int32_data());
    default:
      throw std::runtime_error(fmt::format("{} has element type {}", path.string(), proto.data_type()));
  }
}

std::string first_difference(const Tensor& actual, const Tensor& expected, double relative, double absolute) {
  if (actual.dims() != expected.dims())
    return fmt::format("shape {} instead of {}", to_string(std::span(actual.dims())),
                       to_string(std::span(expected.dims())));
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    const double a = actual.at(i), e = expected.at(i);
    const bool same = a == e || (std::isnan(a) && std::isnan(e));
    if (!same && !(std::abs(a - e) <= absolute + relative * std::abs(e)))
      return fmt::format("{} instead of {} at element {}", a, e, i);
  }
  return "";
}

namespace {

/// The case as a file whose inputs from `first` on are constants: what a model must know when it is read.
class FrozenCase {
 public:
  FrozenCase(const std::filesystem::path& folder, int first)
      : path_(std::filesystem::temp_directory_path() /
              fmt::format("rulegrad_case_{}_{}.onnx", ::getpid(), folder.filename().string())) {
    onnx::ModelProto model;
    (void)model.ParseFromString(bytes_of(folder / "model.onnx"));
    auto& graph = *model.mutable_graph();
    for (int i = first; i < graph.input_size(); ++i) {
      auto& tensor = *graph.add_initializer();
      (void)tensor.ParseFromString(bytes_of(folder / fmt::format("input_{}.pb", i)));
      tensor.set_name(graph.input(i).name());
    }
    std::ofstream(path_, std::ios::binary) << model.SerializeAsString();
  }
  ~FrozenCase() { std::filesystem::remove(path_); }
  FrozenCase(const FrozenCase&) = delete;
  FrozenCase& operator=(const FrozenCase&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

CaseOutcome run_case(const std::filesystem::path& folder, const std::filesystem::path& file, DType dtype) {
  using Kind = CaseOutcome::Kind;
  std::optional<Model> model;
  try {
    LoadOptions options;
    options.dtype = dtype;
    options.allow_non_finite = true;
    model = load_onnx(file, options);
  } catch (const Error& error) {
    return {error.code() == ErrorCode::model ? Kind::refused : Kind::failed, error.what()};
  }
  try {
    Inputs inputs;
    for (std::size_t i = 0; i < model->inputs().size(); ++i) {
      const Tensor x = read_tensor_proto(folder / fmt::format("input_{}.pb", i));
      inputs[model->inputs()[i].name] = is_floating(x.dtype()) ? x.cast(dtype) : x;
    }
    std::vector<Expr> outputs;
    for (const ModelOutput& output : model->outputs()) outputs.push_back(output.expr);
    CompileOptions compile;
    compile.check_finite = false;
    const std::vector<Tensor> results = Program::compile(outputs, compile).run(inputs);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Tensor expected = read_tensor_proto(folder / fmt::format("output_{}.pb", i));
      const DType wanted = is_floating(expected.dtype()) ? dtype : expected.dtype();
      if (results[i].dtype() != wanted)
        return {Kind::failed, fmt::format("output {} is {}", i, name_of(results[i].dtype()))};
      if (const std::string problem = first_difference(results[i], expected, 1e-3, 1e-6); !problem.empty())
        return {Kind::failed, problem};
    }
    return {Kind::passed, ""};
  } catch (const std::exception& error) {
    return {Kind::failed, error.what()};
  }
}

}  // namespace

CaseOutcome run_conformance_case(const std::filesystem::path& folder, DType dtype) {
  CaseOutcome outcome = run_case(folder, folder / "model.onnx", dtype);
  for (int first = 1; first >= 0 && outcome.kind == CaseOutcome::Kind::refused; --first)
    outcome = run_case(folder, FrozenCase(folder, first).path(), dtype);
  return outcome;
}

std::string operators_of(const std::filesystem::path& model) {
  std::string text;
  for (const auto& [name, count] : inspect_onnx(model).operators) text += (text.empty() ? "" : "+") + name;
  return text;
}

}  // namespace rulegrad::testing
