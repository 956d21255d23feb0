// Writes a network with random weights as ONNX, where no other tool is there to do it:
//   write_network mlp|lenet|vgg16|deep FILE
#include <cstdio>
#include <string>

#include "rulegrad/support/error.hpp"

#include "networks.hpp"

using namespace rulegrad;

namespace {

Model network(const std::string& name) {
  if (name == "mlp") return benchmarks::mlp();
  if (name == "lenet") return benchmarks::lenet();
  if (name == "vgg16") return benchmarks::vgg16();
  if (name == "deep") return benchmarks::deep(10000);
  throw Error(ErrorCode::unknown_name,
              "there is no network " + name + " here; there are mlp, lenet, vgg16 and deep");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw Error(ErrorCode::invalid_argument, "usage: write_network mlp|lenet|vgg16|deep FILE");
    const Model model = network(argv[1]);
    const Expr output = model.outputs()[0].expr;
    save_onnx(argv[2], {&output, 1});
  } catch (const Error& error) {
    std::fprintf(stderr, "write_network: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
