// The command `rulegrad check`.
#include <doctest/doctest.h>

#include "cli/command.hpp"

using namespace rulegrad::testing;

namespace {

std::string write_rules(const ScratchDirectory& scratch, const std::string& text) {
  const std::string path = scratch.file("mine.rules");
  std::ofstream(path) << "rulegrad 1\n" << text;
  return path;
}

}  // namespace

TEST_CASE("check counts what it read where nothing is wrong, and ends with 0") {
  const ScratchDirectory scratch;
  const std::string path = write_rules(
      scratch,
      "rules a { grad(relu(x), g) => g\n  grad(tanh(x), g) => g }\nanalyzer a { use a  default gradient }\n");
  const CommandResult result = run_command({"check", path});
  CHECK(result.code == 0);
  CHECK(result.err == "");
  CHECK(result.out == "2 rules in 1 set, 1 analyzer: no problems\n");
}

TEST_CASE("check prints every finding with its place and ends with 2") {
  const ScratchDirectory scratch;
  const std::string path =
      write_rules(scratch, "rules a { grad(rleu(x), g) => g }\nanalyzer a { use b  default gradient }\n");
  const CommandResult result = run_command({"check", path});
  CHECK(result.code == 2);
  CHECK(result.out.find(
            "mine.rules:2:16: error[R202]: unknown operator or class 'rleu'; did you mean 'relu'?") !=
        std::string::npos);
  CHECK(result.out.find("mine.rules:3:18: error[R204]: unknown rule set 'b'") != std::string::npos);
  CHECK(result.err == "rulegrad: error: 2 errors\n");
  const CommandResult broken = run_command({"check", write_rules(scratch, "rules {\n")});
  CHECK(broken.code == 2);
  CHECK(broken.out.find("mine.rules:2:7: error[R112]") != std::string::npos);
  const std::string absent = scratch.file("absent.rules");
  const CommandResult none = run_command({"check", absent});
  CHECK(none.code == 2);
  CHECK(none.err.find("cannot read '" + absent + "': No such file") != std::string::npos);
}

TEST_CASE("check --model tells all nodes that an analyzer leaves unclaimed, and what to type") {
  const ScratchDirectory scratch;
  const std::string path = write_rules(scratch,
                                       "rules mine { grad(y: affine(x), r) => x * vjp(y, r / stabilize(y, "
                                       "1e-6))\n  grad(tanh(x), r) => r }\nanalyzer mine { use mine }\n");
  const CommandResult result = run_command({"check", path, "--model", demo("mlp.onnx")});
  CHECK(result.code == 2);
  CHECK(result.out.find("error[R270]: on ") != std::string::npos);
  CHECK(result.out.find("mine has no rule for 2 gradient nodes, and its default is error") !=
        std::string::npos);
  CHECK(result.out.find("2x relu, operand 'x'") != std::string::npos);
  CHECK(result.out.find(
            "    grad(relu(x), r) => r\n  }\n  analyzer mine_2 {\n    extends mine\n    use mine_2\n  }\n") !=
        std::string::npos);
}

TEST_CASE("check --model finds rules that no node of the model reaches, and selectors that select none") {
  const ScratchDirectory scratch;
  const std::string path =
      write_rules(scratch,
                  "rules mine { grad(y: affine(x), r) => x * vjp(y, r / stabilize(y, 1e-6))\n  grad(tanh(x), "
                  "r) => r\n  grad(relu(x), r) => r }\nanalyzer mine { use mine }\n");
  const CommandResult result = run_command({"check", path, "--model", demo("mlp.onnx")});
  CHECK(result.code == 2);
  CHECK(result.out.find("mine.rules:3:3: error[R271]: this rule of `mine` is never applied on this model") !=
        std::string::npos);
  CHECK(result.out.find("mine.rules:4:3: error") == std::string::npos);
  const std::string selecting =
      write_rules(scratch,
                  "rules mine { grad(relu(x), r) => r }\nanalyzer a {\n  use lrp.flat on name(\"layer2*\")\n "
                  " use mine\n  extends lrp.epsilon\n}\n");
  const CommandResult told = run_command({"check", selecting, "--model", demo("fashion.onnx")});
  CHECK(told.code == 2);
  CHECK(
      told.out.find(
          "mine.rules:4:3: error[R271]: `use lrp.flat on name(\"layer2*\")` never applies to this network") !=
      std::string::npos);
  CHECK(told.out.find("help: no node is named like \"layer2*\"; the nearest names are '") !=
        std::string::npos);
  const CommandResult warned =
      run_command({"analyze", demo("fashion.onnx"), "--input", demo("pictures/bag_18.png"), "--preprocess",
                   "unit", "--rules", selecting, "--method", "a", "--output", scratch.file("a.npy")});
  CHECK(warned.code == 0);
  CHECK(warned.err.find("mine.rules:4:3: `use lrp.flat on name(\"layer2*\")` never applies to this network; "
                        "no node is named like") != std::string::npos);
}

TEST_CASE("an analyzer whose parameter has no default does not switch the check of the others off") {
  const ScratchDirectory scratch;
  const std::string path =
      write_rules(scratch,
                  "rules idle { grad(tanh(x), r) => r }\nrules maybe(k) { grad(tanh(x), r) => k * r }\n"
                  "analyzer one { use idle  extends lrp.epsilon }\nanalyzer two(k) { use maybe(k)  extends "
                  "lrp.epsilon }\n");
  const CommandResult result = run_command({"check", path, "--model", demo("mlp.onnx")});
  CHECK(result.code == 2);
  CHECK(result.out.find("`two` is not tried on the model: its parameter `k` has no default") !=
        std::string::npos);
  CHECK(result.out.find("mine.rules:2:14: error[R271]: this rule of `idle` is never applied on this model") !=
        std::string::npos);
  CHECK(result.out.find("`maybe` is never applied") == std::string::npos);
}

TEST_CASE("check says which analyzers it cannot try on a model") {
  const ScratchDirectory scratch;
  const std::string path = write_rules(
      scratch,
      "rules mine(k) { grad(relu(x), g) => k * g }\nanalyzer mine(k) { use mine(k)  default gradient }\n");
  const CommandResult result = run_command({"check", path, "--model", demo("mlp.onnx")});
  CHECK(result.code == 0);
  CHECK(result.out.find("`mine` is not tried on the model: its parameter `k` has no default") !=
        std::string::npos);
}

TEST_CASE("check reads what a file includes, and tells mistakes of the included file with its place") {
  const ScratchDirectory scratch;
  std::ofstream(scratch.file("base.rules"))
      << "rulegrad 1\nfn half(v) = v / 2\nop soft(x): activation = x * sigmoid(x)\n";
  const std::string path =
      write_rules(scratch, "include \"base.rules\"\nrules a { grad(y: soft(x), g) => half(vjp(y, g)) }\n");
  const CommandResult right = run_command({"check", path});
  CHECK(right.code == 0);
  CHECK(right.out == "1 rule in 1 set, 0 analyzers: no problems\n");
  std::ofstream(scratch.file("base.rules")) << "rulegrad 1\nfn half(v) = w / 2\n";
  const CommandResult wrong = run_command({"check", path});
  CHECK(wrong.code == 2);
  CHECK(wrong.out.find("base.rules:2:14: error[R210]: `w` is not bound here") != std::string::npos);
  CHECK(wrong.out.find("included from") != std::string::npos);
}

TEST_CASE("check tells what is never used, which keeps no file from being loaded") {
  const ScratchDirectory scratch;
  const std::string path = write_rules(scratch, "rules a { grad(y: affine(x, w, b), g) => vjp(y, g) }\n");
  const CommandResult result = run_command({"check", path});
  CHECK(result.code == 0);
  CHECK(result.out.find("warning[R211]: the variable `w` is never used") != std::string::npos);
  CHECK(result.out.find("0 analyzers: 2 warnings\n") != std::string::npos);
}

TEST_CASE("check tries what analyzers declare and prints the smallest network that fails") {
  const ScratchDirectory scratch;
  const std::string path = write_rules(scratch,
                                       "rules cut { grad(relu(x), g) => max(g, 0) }\nanalyzer a {\n  use "
                                       "cut\n  default gradient\n  declare linear\n}\n");
  const CommandResult result = run_command({"check", path});
  CHECK(result.code == 2);
  CHECK(
      result.out.find(
          "mine.rules:6:11: error[R280]: `a` declares `linear`, which does not hold\n    6 |   declare "
          "linear\n      |           ^~~~~~\n"
          "note: the smallest network on which it fails is x [1, 1] -> relu, without biases\nnote: x = [") !=
      std::string::npos);
  const std::string unknown =
      write_rules(scratch, "rules few { grad(gelu(x), g) => g }\nanalyzer a { use few  declare linear }\n");
  CHECK(run_command({"check", unknown}).out.find("warning[R281]") != std::string::npos);
}
