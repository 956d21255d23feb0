#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "rulegrad/ops/operators.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// The tensor behind a reference such as `c0` of the text's `@c0`; throws for references it does not know.
using ConstantResolver = std::function<Tensor(std::string_view reference)>;

/// Builds the nodes of a printed graph in `graph` and returns those its last line names. Inputs that the
/// graph has already are shared. Throws Error that begins with `line 3, column 12: ` and says what stands
/// there; a written type that inference does not give is an error too.
[[nodiscard]] std::vector<Expr> parse_graph(Graph& graph, std::string_view text,
                                            const ConstantResolver& resolver,
                                            const Operators& operators = Operators::builtin());
/// Reads back what `print_with_constants` gave.
[[nodiscard]] std::vector<Expr> parse_graph(Graph& graph, const PrintedGraph& printed,
                                            const Operators& operators = Operators::builtin());

}  // namespace rulegrad
