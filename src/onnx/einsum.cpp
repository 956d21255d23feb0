#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/node_context.hpp"

/// Einsum as transposes, products of matrices and sums.
namespace rulegrad::io {
namespace {

/// Axes of an operand by what the equation calls them; those of an ellipsis are numbers from 1000 on, the
/// last axis first.
using Labels = std::vector<int>;
struct Term {
  Expr value;
  Labels labels;

  [[nodiscard]] bool has(int label) const {
    return std::find(labels.begin(), labels.end(), label) != labels.end();
  }
  [[nodiscard]] std::size_t axis(int label) const {
    return static_cast<std::size_t>(std::find(labels.begin(), labels.end(), label) - labels.begin());
  }
  [[nodiscard]] Dim extent(int label) const { return value.shape()[axis(label)]; }
};
constexpr int first_unnamed = 1000;

/// `rank` < 0: of the result, for which `unnamed` axes stand behind an ellipsis.
Labels labels_of(const NodeContext& c, const std::string& text, std::int64_t rank, std::int64_t& unnamed) {
  Labels labels;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 3, "...") == 0) {
      const auto named = static_cast<std::int64_t>(text.size()) - 3;
      const std::int64_t count = rank < 0 ? unnamed : rank - named;
      if (count < 0) c.fail(fmt::format("'{}' names more axes than there are", text));
      unnamed = std::max(unnamed, count);
      for (std::int64_t k = count; k-- > 0;) labels.push_back(first_unnamed + static_cast<int>(k));
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(text[i])) != 0) {
      labels.push_back(text[i]);
    } else {
      c.fail(fmt::format("the equation has '{}' where a letter should be", text[i]));
    }
  }
  if (rank >= 0 && static_cast<std::int64_t>(labels.size()) != rank)
    c.fail(fmt::format("'{}' does not name the {} axes of its operand", text, rank));
  return labels;
}

void reorder(const NodeContext& c, Term& term, const Labels& order) {
  Ints perm;
  for (const int label : order) perm.push_back(static_cast<std::int64_t>(term.axis(label)));
  if (!std::is_sorted(perm.begin(), perm.end()))
    term.value = c.apply("transpose", {term.value}, TransposeAttributes{perm});
  term.labels = order;
}

/// Axes of one name are walked along together.
void take_diagonals(const NodeContext& c, Term& term) {
  for (std::size_t i = 0; i < term.labels.size(); ++i) {
    const auto again = std::find(term.labels.begin() + static_cast<std::ptrdiff_t>(i) + 1, term.labels.end(),
                                 term.labels[i]);
    if (again == term.labels.end()) continue;
    const auto j = static_cast<std::size_t>(again - term.labels.begin());
    const Dim extent = term.value.shape()[i];
    if (extent.batch || extent != term.value.shape()[j]) c.fail("a diagonal needs equal, fixed extents");
    Ints perm;
    for (std::size_t axis = 0; axis < term.labels.size(); ++axis)
      if (axis != i && axis != j) perm.push_back(static_cast<std::int64_t>(axis));
    perm.push_back(static_cast<std::int64_t>(i));
    perm.push_back(static_cast<std::int64_t>(j));
    const Expr moved = c.apply("transpose", {term.value}, TransposeAttributes{perm});
    std::vector<Dim> dims(moved.shape().dims().begin(), moved.shape().dims().end() - 2);
    const auto last = static_cast<std::int64_t>(dims.size());
    dims.emplace_back(extent.factor * extent.factor);
    term.value = c.apply("slice", {reshaped(c, moved, dims)},
                         SliceAttributes{{last}, {0}, {extent.factor * extent.factor}, {extent.factor + 1}});
    Labels labels;
    for (std::size_t axis = 0; axis < term.labels.size(); ++axis)
      if (axis != i && axis != j) labels.push_back(term.labels[axis]);
    labels.push_back(term.labels[i]);
    term.labels = labels;
    i = static_cast<std::size_t>(-1);
  }
}

/// Adds up what nobody needs any more.
void sum_out(const NodeContext& c, Term& term, const std::set<int>& needed) {
  ReduceAttributes reduce;
  Labels kept;
  for (std::size_t axis = 0; axis < term.labels.size(); ++axis) {
    if (needed.contains(term.labels[axis])) {
      kept.push_back(term.labels[axis]);
      continue;
    }
    c.keep_apart(term.value.shape()[axis].batch, "it sums over the batch");
    reduce.axes.push_back(static_cast<std::int64_t>(axis));
  }
  if (reduce.axes.empty()) return;
  term.value = c.apply("sum", {term.value}, reduce);
  term.labels = kept;
}

Dim extent_of(const NodeContext& c, const Term& term, const Labels& labels) {
  Dim product{1};
  for (const int label : labels) {
    const auto next = multiplied(product, term.extent(label));
    if (!next) c.fail("the batch would be multiplied by itself");
    product = *next;
  }
  return product;
}

Labels joined(const Labels& a, const Labels& b, const Labels& more = {}) {
  Labels all = a;
  all.insert(all.end(), b.begin(), b.end());
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

void append_extents(const Term& term, const Labels& labels, std::vector<Dim>& dims) {
  for (const int label : labels) dims.push_back(term.extent(label));
}

/// a and b side by side for `mul`: extents of 1 where one lacks an axis.
Expr aligned_to(const NodeContext& c, Term term, const Labels& all) {
  Labels order;
  for (const int label : all)
    if (term.has(label)) order.push_back(label);
  reorder(c, term, order);
  std::vector<Dim> dims;
  for (const int label : all) dims.push_back(term.has(label) ? term.extent(label) : Dim{1});
  return reshaped(c, term.value, dims);
}

Term product(const NodeContext& c, Term a, Term b, const std::set<int>& needed) {
  std::set<int> in_b(b.labels.begin(), b.labels.end()), in_a(a.labels.begin(), a.labels.end());
  std::set<int> for_a = needed, for_b = needed;
  for_a.insert(in_b.begin(), in_b.end());
  for_b.insert(in_a.begin(), in_a.end());
  sum_out(c, a, for_a);
  sum_out(c, b, for_b);
  Labels shared, contracted, free_a, free_b;
  for (const int label : a.labels) {
    const bool stretched = b.has(label) && a.extent(label) != b.extent(label);
    if (!b.has(label))
      free_a.push_back(label);
    else if (needed.contains(label) || stretched)
      shared.push_back(label);
    else
      contracted.push_back(label);
  }
  for (const int label : b.labels)
    if (!a.has(label)) free_b.push_back(label);
  for (const int label : contracted) c.keep_apart(a.extent(label).batch, "it sums over the batch");
  const Labels order = joined(shared, free_a, free_b);
  Term y;
  y.labels = order;
  if (contracted.empty()) {
    y.value = c.apply("mul", {aligned_to(c, a, order), aligned_to(c, b, order)});
  } else if (shared.empty() && c.is_static(a.value) != c.is_static(b.value)) {
    // A weight makes a dense layer.
    Term &weight = c.is_static(a.value) ? a : b, &x = c.is_static(a.value) ? b : a;
    const Labels &free_w = c.is_static(a.value) ? free_a : free_b,
                 &free_x = c.is_static(a.value) ? free_b : free_a;
    const Dim depth = extent_of(c, x, contracted);
    std::vector<Dim> dims, result;
    append_extents(x, free_x, dims);
    result = dims;
    append_extents(weight, free_w, result);
    const Dim width = extent_of(c, weight, free_w);
    dims.push_back(depth);
    reorder(c, x, joined(free_x, contracted));
    reorder(c, weight, joined(free_w, contracted));
    const Expr w = reshaped(c, weight.value, {width, depth});
    y.value = reshaped(c, c.apply("dense", {reshaped(c, x.value, dims), w, c.scalar(0, x.value)}), result);
    y.labels = joined(free_x, free_w);
  } else {
    std::vector<Dim> left, right, result;
    append_extents(a, shared, left);
    append_extents(b, shared, right);
    for (std::size_t i = 0; i < left.size(); ++i) result.push_back(left[i].is(1) ? right[i] : left[i]);
    append_extents(a, free_a, result);
    append_extents(b, free_b, result);
    left.push_back(extent_of(c, a, free_a));
    left.push_back(extent_of(c, a, contracted));
    right.push_back(extent_of(c, b, contracted));
    right.push_back(extent_of(c, b, free_b));
    reorder(c, a, joined(shared, free_a, contracted));
    reorder(c, b, joined(shared, contracted, free_b));
    y.value =
        reshaped(c, c.apply("matmul", {reshaped(c, a.value, left), reshaped(c, b.value, right)}), result);
  }
  sum_out(c, y, needed);
  return y;
}

void einsum(NodeContext& c) {
  std::string equation = c.text("equation", "");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  const std::size_t arrow = equation.find("->");
  std::string left = equation.substr(0, arrow);
  std::vector<std::string> texts;
  for (std::size_t at = 0; at <= left.size();) {
    const std::size_t comma = std::min(left.find(',', at), left.size());
    texts.push_back(left.substr(at, comma - at));
    at = comma + 1;
  }
  if (texts.size() != c.input_count() || texts.empty())
    c.fail(fmt::format("the equation '{}' is of {} operands, but there are {}", equation, texts.size(),
                       c.input_count()));
  std::int64_t unnamed = 0;
  std::vector<Term> terms;
  std::map<int, int> count;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Term term{c.operand(i), labels_of(c, texts[i], static_cast<std::int64_t>(c.shape(i).rank()), unnamed)};
    for (const int label : term.labels) ++count[label];
    take_diagonals(c, term);
    terms.push_back(std::move(term));
  }
  Labels result;
  if (arrow != std::string::npos) {
    result = labels_of(c, equation.substr(arrow + 2), -1, unnamed);
  } else {
    // What stands once, in the order of the alphabet, behind the ellipsis.
    for (std::int64_t k = unnamed; k-- > 0;) result.push_back(first_unnamed + static_cast<int>(k));
    for (const auto& [label, times] : count)
      if (times == 1 && label < first_unnamed) result.push_back(label);
  }
  for (const int label : result)
    if (!count.contains(label))
      c.fail(fmt::format("no operand has the axis '{}' of the result", static_cast<char>(label)));
  Term total = terms[0];
  for (std::size_t i = 0; i < terms.size(); ++i) {
    std::set<int> needed(result.begin(), result.end());
    for (std::size_t later = i + 1; later < terms.size(); ++later)
      needed.insert(terms[later].labels.begin(), terms[later].labels.end());
    if (i == 0)
      sum_out(c, total, needed);
    else
      total = product(c, total, terms[i], needed);
  }
  reorder(c, total, result);
  c.result(total.value);
}

}  // namespace

void add_einsum(Handlers& h) {
  h["Einsum"] = einsum;
}

}  // namespace rulegrad::io
