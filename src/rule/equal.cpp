#include <algorithm>
#include <cmath>

#include "rulegrad/rule/rule_text.hpp"

namespace rulegrad {
namespace {

bool same_number(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

template <class T, class Equal>
bool all_equal(const std::vector<T>& a, const std::vector<T>& b, Equal equal_items) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal_items);
}

/// Compares the parts of two owners, each by its own pool.
struct Pools {
  const Terms& a;
  const Terms& b;

  bool operator()(TermId x, TermId y) const { return equal_term(a, x, b, y); }
  bool operator()(const Let& x, const Let& y) const { return x.name == y.name && (*this)(x.value, y.value); }
  bool operator()(const Parameter& x, const Parameter& y) const {
    const auto same_range = [](const NumberRange& r, const NumberRange& s) {
      return same_number(r.low, s.low) && same_number(r.high, s.high) && r.low_open == s.low_open &&
             r.high_open == s.high_open;
    };
    return x.name == y.name && x.type == y.type && (*this)(x.fallback, y.fallback) &&
           x.range.has_value() == y.range.has_value() && (!x.range || same_range(*x.range, *y.range));
  }
  bool operator()(const Use& x, const Use& y) const {
    return (*this)(x.set, y.set) && (*this)(x.selector, y.selector);
  }
  bool operator()(const ForClause& x, const ForClause& y) const {
    return x.variables == y.variables && (*this)(x.sampler, y.sampler);
  }
  bool operator()(const Placement& x, const Placement& y) const {
    return x.world == y.world && (*this)(x.node, y.node) && (*this)(x.value, y.value);
  }
  template <class T>
  bool operator()(const std::vector<T>& x, const std::vector<T>& y) const {
    return all_equal(x, y, *this);
  }
};

constexpr auto same = [](const auto& a, const auto& b) { return equal(a, b); };

}  // namespace

bool equal_term(const Terms& a_terms, TermId a, const Terms& b_terms, TermId b) {
  if (a == no_term || b == no_term) return a == b;
  const Term& x = a_terms[static_cast<std::size_t>(a)];
  const Term& y = b_terms[static_cast<std::size_t>(b)];
  const auto same_term = [&](TermId i, TermId j) { return equal_term(a_terms, i, b_terms, j); };
  return x.kind == y.kind && x.name == y.name && x.key == y.key &&
         (x.kind != TermKind::number || same_number(x.number, y.number)) &&
         all_equal(x.args, y.args, same_term) &&
         all_equal(x.named, y.named, [&](const auto& p, const auto& q) {
           return p.first == q.first && same_term(p.second, q.second);
         });
}

bool equal(const Rule& a, const Rule& b) {
  const Pools pools{a.terms, b.terms};
  return a.name == b.name && a.level == b.level && a.cotangent == b.cotangent && a.wrt == b.wrt &&
         pools(a.pattern, b.pattern) && pools(a.guard, b.guard) && pools(a.lets, b.lets) &&
         pools(a.result, b.result);
}

bool equal(const RuleSet& a, const RuleSet& b) {
  const Pools pools{a.terms, b.terms};
  return a.name == b.name && a.doc == b.doc && pools(a.parameters, b.parameters) && pools(a.uses, b.uses) &&
         all_equal(a.rules, b.rules, same);
}

bool equal(const Function& a, const Function& b) {
  const Pools pools{a.terms, b.terms};
  return a.name == b.name && a.doc == b.doc && a.parameters == b.parameters && pools(a.lets, b.lets) &&
         pools(a.result, b.result);
}

bool equal(const CompositeOp& a, const CompositeOp& b) {
  return a.name == b.name && a.doc == b.doc && a.parameters == b.parameters && a.op_class == b.op_class &&
         equal_term(a.terms, a.result, b.terms, b.result);
}

bool equal(const AnalyzerDefinition& a, const AnalyzerDefinition& b) {
  const Pools pools{a.terms, b.terms};
  return a.name == b.name && a.doc == b.doc && pools(a.parameters, b.parameters) &&
         pools(a.extends, b.extends) && pools(a.seed, b.seed) && pools(a.uses, b.uses) &&
         pools(a.canonizers, b.canonizers) && a.fallback == b.fallback && pools(a.loops, b.loops) &&
         pools(a.placements, b.placements) && pools(a.lets, b.lets) && pools(a.result, b.result) &&
         a.properties == b.properties;
}

bool equal(const RuleFile& a, const RuleFile& b) {
  return a.includes == b.includes && all_equal(a.functions, b.functions, same) &&
         all_equal(a.operators, b.operators, same) && all_equal(a.rule_sets, b.rule_sets, same) &&
         all_equal(a.analyzers, b.analyzers, same);
}

}  // namespace rulegrad
