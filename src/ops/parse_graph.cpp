#include "rulegrad/ops/parse_graph.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fmt/format.h>
#include <unordered_map>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

class GraphReader {
 public:
  GraphReader(Graph& graph, std::string_view text, const ConstantResolver& resolver,
              const Operators& operators)
      : graph_(graph), text_(text), resolver_(resolver), operators_(operators) {}

  std::vector<Expr> read() {
    while (true) {
      skip_blank_lines();
      if (peek() == '%')
        read_node();
      else
        return read_return();
    }
  }

 private:
  [[noreturn]] void fail_at(std::size_t position, const std::string& what,
                            ErrorCode code = ErrorCode::invalid_argument) const {
    const std::string_view before = text_.substr(0, position);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    throw Error(code, fmt::format("line {}, column {}: {}", line, position - start + 1, what));
  }
  [[noreturn]] void expected(const std::string& what) const {
    std::size_t end = at_;
    while (end < text_.size() && text_[end] != '\n' && text_[end] != ' ' && end - at_ < 20) ++end;
    const std::string_view found =
        text_.substr(at_, std::max<std::size_t>(end - at_, at_ < text_.size() ? 1 : 0));
    fail_at(at_, fmt::format("expected {}, found {}", what,
                             at_ == text_.size()  ? "the end of the text"
                             : text_[at_] == '\n' ? "the end of the line"
                                                  : fmt::format("'{}'", found)));
  }

  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_spaces() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r') ++at_;
  }
  void skip_blank_lines() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n') ++at_;
  }
  bool accept(std::string_view token) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token, const char* where) {
    if (!accept(token)) expected(fmt::format("'{}' {}", token, where));
  }
  void expect_line_end() {
    skip_spaces();
    if (at_ < text_.size() && text_[at_] != '\n') expected("the end of the line");
  }

  template <class Keep>
  std::string_view take(Keep keep) {
    const std::size_t start = at_;
    while (at_ < text_.size() && keep(static_cast<unsigned char>(text_[at_]))) ++at_;
    return text_.substr(start, at_ - start);
  }
  std::string_view word(const char* what) {
    skip_spaces();
    const std::string_view result =
        take([](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.'; });
    if (result.empty() || std::isdigit(static_cast<unsigned char>(result[0])) != 0) {
      at_ -= result.size();
      expected(what);
    }
    return result;
  }
  std::int64_t integer(const char* what) {
    skip_spaces();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) expected(what);
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  /// Items separated by commas until `close`, which is taken.
  template <class Item>
  void items(std::string_view close, const char* where, Item item) {
    if (accept(close)) return;
    do item();
    while (accept(","));
    expect(close, where);
  }

  /// `%7`, which must be defined above unless it is being defined.
  std::int64_t reference() {
    skip_spaces();
    if (peek() != '%') expected("a node such as %0");
    ++at_;
    return integer("the number of a node");
  }
  Expr operand() {
    skip_spaces();
    const std::size_t start = at_;
    const std::int64_t number = reference();
    const auto found = nodes_.find(number);
    if (found == nodes_.end()) fail_at(start, fmt::format("%{} is not defined above", number));
    return found->second;
  }

  Dim dim() {
    skip_spaces();
    if (accept("B")) return B;
    const std::int64_t factor = integer("an extent such as 3, B or 2*B");
    return accept("*B") ? Dim(factor, true) : Dim(factor);
  }
  /// What stands behind `[`: `S | B, 3]`.
  Shape shape() {
    const bool sampled = accept("S");
    if (sampled) {
      expect("|", "after the sample axis");
      skip_spaces();
    }
    std::vector<Dim> dims;
    items("]", "at the end of the shape", [&] { dims.push_back(dim()); });
    return Shape(std::move(dims), sampled);
  }
  DType dtype() {
    skip_spaces();
    const std::size_t start = at_;
    const std::string_view name = word("a dtype");
    try {
      return dtype_from_name(name);
    } catch (const Error& error) {
      fail_at(start, error.what(), error.code());
    }
  }

  AttrValue number() {
    skip_spaces();
    const std::size_t start = at_;
    const std::string_view token =
        take([](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '+' || c == '.'; });
    const char* const end = token.data() + token.size();
    std::int64_t whole = 0;
    if (const auto [last, error] = std::from_chars(token.data(), end, whole);
        error == std::errc() && last == end)
      return whole;
    double real = 0;
    if (const auto [last, error] = std::from_chars(token.data(), end, real);
        error == std::errc() && last == end && !token.empty())
      return real;
    at_ = start;
    expected("a value");
  }

  std::string quoted() {
    const std::size_t start = at_;
    std::string result;
    for (++at_; peek() != '"'; ++at_) {
      if (at_ >= text_.size() || peek() == '\n')
        fail_at(start, "the text that begins here has no closing '\"'");
      if (peek() == '\\') {
        ++at_;
        result += peek() == 'n' ? '\n' : peek();
      } else {
        result += peek();
      }
    }
    ++at_;
    return result;
  }

  AttrValue list(bool of_doubles) {
    std::vector<std::int64_t> whole;
    std::vector<double> real;
    bool all_whole = !of_doubles;
    items("]", "at the end of the list", [&] {
      const AttrValue value = number();
      if (const auto* integer_value = std::get_if<std::int64_t>(&value)) {
        whole.push_back(*integer_value);
        real.push_back(static_cast<double>(*integer_value));
      } else {
        all_whole = false;
        real.push_back(std::get<double>(value));
      }
    });
    if (all_whole) return whole;
    return real;
  }

  Tensor tensor(DType type) {
    skip_spaces();
    const std::size_t start = at_;
    const auto dims = shape().static_dims();
    if (!dims) fail_at(start, "a constant has no symbolic extents");
    expect("(", "before the elements");
    std::vector<std::int64_t> whole;
    std::vector<double> real;
    items(")", "after the elements", [&] {
      const std::size_t element = at_;
      const AttrValue value = number();
      const auto* integer_value = std::get_if<std::int64_t>(&value);
      if (!is_floating(type) && integer_value == nullptr)
        fail_at(element, fmt::format("{} holds whole numbers only", name_of(type)));
      whole.push_back(integer_value != nullptr ? *integer_value : 0);
      real.push_back(integer_value != nullptr ? static_cast<double>(*integer_value)
                                              : std::get<double>(value));
    });
    const auto count = static_cast<std::int64_t>(real.size());
    if (count != element_count(*dims))
      fail_at(start, fmt::format("{} has {} elements but {} are written", to_string(std::span(*dims)),
                                 element_count(*dims), count));
    const Tensor values = is_floating(type) ? Tensor({count}, std::span<const double>(real))
                                            : Tensor({count}, std::span<const std::int64_t>(whole));
    return values.cast(type).reshaped(*dims);
  }

  Tensor referenced_constant() {
    const std::size_t start = at_++;
    const std::string_view name = word("the name of a constant");
    if (!resolver_)
      fail_at(start, fmt::format("@{} stands for a constant, but none were given with the text", name));
    try {
      return resolver_(name);
    } catch (const Error& error) {
      fail_at(start, error.what(), error.code());
    }
  }

  AttrValue value(const AttrValue& fallback) {
    skip_spaces();
    if (peek() == '"') return quoted();
    if (peek() == '@') return referenced_constant();
    if (accept("[")) return list(std::holds_alternative<std::vector<double>>(fallback));
    if (accept("shape[")) return shape();
    for (const bool flag : {false, true})
      if (accept(flag ? "true" : "false")) return flag;
    const bool letter = std::isalpha(static_cast<unsigned char>(peek())) != 0;
    if (!letter || text_.substr(at_).starts_with("inf") || text_.substr(at_).starts_with("nan"))
      return number();
    const DType type = dtype();
    if (accept("[")) return tensor(type);
    return type;
  }

  Attributes attributes(const AttrType& type) {
    std::vector<NamedValue> values;
    if (accept("{"))
      items("}", "after the attributes", [&] {
        skip_spaces();
        const std::size_t start = at_;
        const std::string field(word("the name of an attribute"));
        std::size_t index = 0;
        try {
          index = type.index_of(field);
        } catch (const Error& error) {
          fail_at(start, error.what(), error.code());
        }
        expect("=", "after the name of an attribute");
        values.emplace_back(field, value(type.get(type.defaults.get(), index)));
        try {
          (void)Attributes::make(type, std::span(&values.back(), 1));
        } catch (const Error& error) {
          fail_at(start, error.what(), error.code());
        }
      });
    return Attributes::make(type, values);
  }

  /// The graph's own input of that name and type, or a new one.
  Expr input(const InputAttributes& wanted) {
    for (const Expr existing : graph_.find(wanted.name))
      if (is_input(existing) && existing.attributes() == Attributes(wanted)) return existing;
    return graph_.input(wanted.name, {wanted.dtype, wanted.shape});
  }

  void read_node() {
    const std::size_t start = at_;
    const std::int64_t number = reference();
    if (nodes_.contains(number)) fail_at(start, fmt::format("%{} is defined above already", number));
    expect("=", "after the node that is defined");
    skip_spaces();
    const std::size_t name_at = at_;
    const std::string_view name = word("the name of an operator");
    const OpSchema* op = nullptr;
    try {
      op = &operators_.at(name);
    } catch (const Error& error) {
      fail_at(name_at, error.what(), error.code());
    }
    expect("(", "after the name of an operator");
    std::vector<Expr> operands;
    items(")", "after the operands", [&] { operands.push_back(operand()); });
    Attributes given = attributes(*op->attributes);
    Expr expr;
    try {
      expr = op == &input_schema() ? input(given.as<InputAttributes>())
                                   : graph_.make(*op, std::move(operands), std::move(given));
    } catch (const Error& error) {
      fail_at(name_at, error.what(), error.code());
    }
    expect(":", "before the type of the node");
    skip_spaces();
    const std::size_t type_at = at_;
    const DType written_dtype = dtype();
    expect("[", "after the dtype");
    const Type written{written_dtype, shape()};
    if (written != expr.type())
      fail_at(type_at,
              fmt::format("%{} is written as {} but {} gives {}", number, to_string(written), name,
                          to_string(expr.type())),
              ErrorCode::shape);
    expect_line_end();
    nodes_.emplace(number, expr);
  }

  std::vector<Expr> read_return() {
    if (!accept("return")) expected("a node such as '%0 = ...' or 'return'");
    std::vector<Expr> roots;
    skip_spaces();
    if (peek() == '%') {
      do roots.push_back(operand());
      while (accept(","));
    }
    expect_line_end();
    skip_blank_lines();
    if (at_ != text_.size()) expected("nothing behind the line of 'return'");
    return roots;
  }

  Graph& graph_;
  std::string_view text_;
  const ConstantResolver& resolver_;
  const Operators& operators_;
  std::size_t at_ = 0;
  std::unordered_map<std::int64_t, Expr> nodes_;
};

}  // namespace

std::vector<Expr> parse_graph(Graph& graph, std::string_view text, const ConstantResolver& resolver,
                              const Operators& operators) {
  return GraphReader(graph, text, resolver, operators).read();
}

std::vector<Expr> parse_graph(Graph& graph, const PrintedGraph& printed, const Operators& operators) {
  const ConstantResolver resolver = [&](std::string_view name) {
    std::size_t index = 0;
    const char* const end = name.data() + name.size();
    const bool is_index = name.starts_with('c') && std::from_chars(name.data() + 1, end, index).ptr == end;
    if (!is_index || index >= printed.constants.size())
      throw Error(ErrorCode::unknown_name, fmt::format("there is no constant '@{}' among the {} given", name,
                                                       printed.constants.size()));
    return printed.constants[index];
  };
  return parse_graph(graph, printed.text, resolver, operators);
}

}  // namespace rulegrad
