#pragma once

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <unistd.h>
#include <vector>

#define ONNX_NAMESPACE onnx
#define ONNX_ML 1
#include <onnx/onnx_pb.h>

#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad::testing {

/// A file in the temporary directory that goes away with its owner.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name, const std::string& bytes = "")
      : path_(std::filesystem::temp_directory_path() /
              ("rulegrad_" + std::to_string(::getpid()) + "_" + name)) {
    write(bytes);
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// ONNX models made by hand.
class OnnxBuilder {
 public:
  explicit OnnxBuilder(std::int64_t opset = 13) {
    model.set_ir_version(7);
    auto* import = model.add_opset_import();
    import->set_domain("");
    import->set_version(opset);
    model.mutable_graph()->set_name("test");
  }

  /// Extents below 0 are free; the first of them is called N.
  OnnxBuilder& input(const std::string& name, const std::vector<std::int64_t>& dims,
                     int type = onnx::TensorProto::FLOAT) {
    describe(*model.mutable_graph()->add_input(), name, dims, type);
    return *this;
  }
  OnnxBuilder& output(const std::string& name) {
    model.mutable_graph()->add_output()->set_name(name);
    return *this;
  }
  onnx::NodeProto& node(const std::string& op_type, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& name = "") {
    auto& n = *model.mutable_graph()->add_node();
    n.set_op_type(op_type);
    n.set_name(name);
    for (const auto& i : inputs) n.add_input(i);
    for (const auto& o : outputs) n.add_output(o);
    return n;
  }
  onnx::TensorProto& floats(const std::string& name, const std::vector<std::int64_t>& dims,
                            const std::vector<float>& values) {
    auto& t = tensor(name, dims, onnx::TensorProto::FLOAT);
    t.set_raw_data(values.data(), values.size() * sizeof(float));
    return t;
  }
  onnx::TensorProto& integers(const std::string& name, const std::vector<std::int64_t>& dims,
                              const std::vector<std::int64_t>& values) {
    auto& t = tensor(name, dims, onnx::TensorProto::INT64);
    for (const auto v : values) t.add_int64_data(v);
    return t;
  }
  onnx::TensorProto& tensor(const std::string& name, const std::vector<std::int64_t>& dims, int type) {
    auto& t = *model.mutable_graph()->add_initializer();
    t.set_name(name);
    t.set_data_type(type);
    for (const auto d : dims) t.add_dims(d);
    return t;
  }
  static void set(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
    auto& a = *node.add_attribute();
    a.set_name(name);
    a.set_type(onnx::AttributeProto::INT);
    a.set_i(value);
  }
  static void set(onnx::NodeProto& node, const std::string& name, const std::vector<std::int64_t>& values) {
    auto& a = *node.add_attribute();
    a.set_name(name);
    a.set_type(onnx::AttributeProto::INTS);
    for (const auto v : values) a.add_ints(v);
  }
  [[nodiscard]] std::string bytes() const { return model.SerializeAsString(); }

  onnx::ModelProto model;

 private:
  static void describe(onnx::ValueInfoProto& info, const std::string& name,
                       const std::vector<std::int64_t>& dims, int type) {
    info.set_name(name);
    auto& t = *info.mutable_type()->mutable_tensor_type();
    t.set_elem_type(type);
    (void)t.mutable_shape();
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      auto& dim = *t.mutable_shape()->add_dim();
      if (dims[axis] >= 0)
        dim.set_dim_value(dims[axis]);
      else
        dim.set_dim_param(axis == 0 ? "N" : "axis" + std::to_string(axis));
    }
  }
};

}  // namespace rulegrad::testing
