#pragma once

#include <concepts>
#include <span>
#include <type_traits>

#include "rulegrad/dsl/flat.hpp"

/// The terms of the DSL. Their structure is their type, so that a rule is checked and lowered when it is
/// compiled; only literals (numbers, words, names of attributes) are data.
namespace rulegrad::dsl {

/// What a type of the DSL is, as an argument; items stand between the left side of a rule and its result.
enum class Part : std::uint8_t { term, binding, spread, item };

template <class T>
concept DslType = requires {
  T::part;
};

struct Number;
struct Text;

namespace detail {
template <class T>
struct AsTerm {};
template <DslType T>
struct AsTerm<T> {
  using type = T;
};
template <class T>
requires(!DslType<T> && std::is_arithmetic_v<T>) struct AsTerm<T> {
  using type = Number;
};
template <>
struct AsTerm<const char*> {
  using type = Text;
};
}  // namespace detail

/// The type of the DSL that an argument becomes.
template <class T>
using AsTerm = typename detail::AsTerm<T>::type;

namespace detail {
/// False for every type: what a sentence asserts where a call can only be a mistake.
template <class...>
inline constexpr bool never = false;
}  // namespace detail

/// What can be an operand: terms, `name = value`, and plain numbers and words.
template <class T>
concept Argument = DslType<T> || std::is_arithmetic_v<T> || std::same_as<T, const char*>;

/// At least one operand tells that this call is meant for the DSL and not for numbers.
template <class... T>
concept Arguments = (DslType<T> || ...) && (Argument<T> && ...);

template <int N>
struct Literals {
  static constexpr int count = N;
  Literal at[static_cast<std::size_t>(N)];
};
template <>
struct Literals<0> {
  static constexpr int count = 0;
};

constexpr Literals<0> join() {
  return {};
}
template <int N>
constexpr Literals<N> join(const Literals<N>& only) {
  return only;
}
template <int M, int N>
constexpr Literals<M + N> join([[maybe_unused]] const Literals<M>& a, [[maybe_unused]] const Literals<N>& b) {
  Literals<M + N> all{};
  if constexpr (M > 0)
    for (int i = 0; i < M; ++i) all.at[i] = a.at[i];
  if constexpr (N > 0)
    for (int i = 0; i < N; ++i) all.at[M + i] = b.at[i];
  return all;
}
template <int M, int N, int... More>
constexpr auto join(const Literals<M>& a, const Literals<N>& b, const Literals<More>&... more) {
  return join(join(a, b), more...);
}

/// Collects the flat form of one rule; children stand before their parents.
struct Builder {
  FlatTerm* terms = nullptr;
  FlatLink* links = nullptr;
  FlatLet* lets = nullptr;
  int term_count = 0;
  int link_count = 0;
  int let_count = 0;
  int literal_count = 0;
  Side side = Side::pattern;
  int guard = -1;
  std::string_view wrt{};
  int wrts = 0;
  int guards = 0;

  constexpr int add(FlatTerm term) {
    term.side = side;
    terms[term_count] = term;
    return term_count++;
  }
  /// Adds a term with operands: first the positional ones, then those with a name.
  constexpr int add(FlatTerm term, std::span<const FlatLink> operands) {
    term.first_link = link_count;
    for (const FlatLink& operand : operands)
      if (operand.name.empty()) links[link_count++] = operand;
    term.args = link_count - term.first_link;
    for (const FlatLink& operand : operands)
      if (!operand.name.empty()) links[link_count++] = operand;
    term.named = link_count - term.first_link - term.args;
    return add(term);
  }
};

struct Number {
  static constexpr Part part = Part::term;
  static constexpr int terms = 1, links = 0;
  static constexpr bool literal_value = true;
  Literals<1> literals{};
  constexpr Number() = default;
  template <class T>
  requires std::is_arithmetic_v<T>
  // NOLINTNEXTLINE(google-explicit-constructor): numbers are terms
  constexpr Number(T value) : literals{{{static_cast<double>(value), ""}}} {}
  static constexpr int emit(Builder& b) {
    return b.add({.kind = TermKind::number, .literal = b.literal_count++});
  }
};

struct Text {
  static constexpr Part part = Part::term;
  static constexpr int terms = 1, links = 0;
  static constexpr bool literal_value = true;
  Literals<1> literals{};
  constexpr Text() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): words are terms
  constexpr Text(const char* value) : literals{{{0, value}}} {}
  static constexpr int emit(Builder& b) {
    return b.add({.kind = TermKind::text, .literal = b.literal_count++});
  }
};

/// `name = value`: a label in a pattern, a named attribute in a call, a replaced operand in `y(...)`, a let.
template <class Name, class Value>
struct Binding {
  static constexpr Part part = Part::binding;
  static constexpr int terms = Value::terms + 1, links = Value::links + 1;
  static constexpr std::string_view name = Name::view;
  /// In a pattern: is this an attribute with its value, rather than a label?
  static constexpr bool literal_value = requires { Value::literal_value; };
  decltype(Value::literals) literals;

  static constexpr bool is_named(const Builder& b) { return b.side != Side::pattern || literal_value; }
  static constexpr int emit(Builder& b) {
    const int value = Value::emit(b);
    if (is_named(b)) return value;
    const FlatLink labelled[] = {{{}, value}};
    return b.add({.kind = TermKind::label, .variable = name, .name = name}, labelled);
  }
};

namespace detail {

/// An operand with the name that it has in a call, if any.
template <class A>
constexpr FlatLink emit_operand(Builder& b) {
  const int term = A::emit(b);
  if constexpr (A::part == Part::binding)
    if (A::is_named(b)) return {A::name, term};
  return {{}, term};
}

template <class... A>
constexpr int emit_call(Builder& b, const FlatTerm& term) {
  if constexpr (sizeof...(A) == 0) {
    return b.add(term);
  } else {
    const FlatLink operands[] = {emit_operand<A>(b)...};
    return b.add(term, operands);
  }
}

}  // namespace detail

/// An operator, class or function applied to operands. `Row` says which one: see operators.hpp.
template <class Row, class... A>
struct Call {
  static constexpr Part part = Part::term;
  static constexpr int terms = (1 + ... + A::terms);
  static constexpr int links = (static_cast<int>(sizeof...(A)) + ... + A::links);
  using row = Row;
  decltype(join(A::literals...)) literals;

  static constexpr int emit(Builder& b) {
    return detail::emit_call<A...>(b, {.kind = TermKind::call,
                                       .call = Row::kind,
                                       .equals_sign = requires { Row::is_sign;
  }
  , .name = Row::name, .min_operands = Row::min_operands, .max_operands = Row::max_operands});
}
}
;

template <class Row, class... A>
constexpr auto make_call(const A&... a) {
  return Call<Row, A...>{join(a.literals...)};
}

namespace detail {
template <Side S, class A>
constexpr bool is_operand() {
  if constexpr (A::part == Part::binding)
    return S == Side::pattern && !A::literal_value;
  else
    return A::part == Part::term;
}
}  // namespace detail

/// Positional operands among the arguments of a call on the given side; labels are operands in patterns only.
template <Side S, class... A>
inline constexpr int operand_count = (0 + ... + static_cast<int>(detail::is_operand<S, A>()));

/// `[a, b, ...]`
template <class... A>
struct List {
  static constexpr Part part = Part::term;
  static constexpr int terms = (1 + ... + A::terms);
  static constexpr int links = (static_cast<int>(sizeof...(A)) + ... + A::links);
  static constexpr bool literal_value = true;
  decltype(join(A::literals...)) literals;
  static constexpr int emit(Builder& b) { return detail::emit_call<A...>(b, {.kind = TermKind::list}); }
};

/// `y(w = ...)`: the operation bound to a variable, with operands replaced.
template <class Name, class... A>
struct Replace {
  static constexpr Part part = Part::term;
  static constexpr int terms = (1 + ... + A::terms);
  static constexpr int links = (static_cast<int>(sizeof...(A)) + ... + A::links);
  decltype(join(A::literals...)) literals;
  static constexpr int emit(Builder& b) {
    return detail::emit_call<A...>(b,
                                   {.kind = TermKind::replace, .variable = Name::view, .name = Name::view});
  }
};

/// `y["axis"]`, an attribute or operand of an operation (TermKind::member), or `at(y, "base")`, its value in
/// another world (TermKind::world); the word is a literal.
template <TermKind Kind, class Owner>
struct WithWord {
  static constexpr Part part = Part::term;
  static constexpr int terms = Owner::terms + 1, links = Owner::links + 1;
  decltype(join(Owner::literals, Literals<1>{})) literals;
  static constexpr int emit(Builder& b) {
    const int owner = Owner::emit(b);
    const FlatLink operand[] = {{{}, owner}};
    return b.add({.kind = Kind, .literal = b.literal_count++}, operand);
  }
};

/// `_`, which matches anything, and `ellipsis` as the only operand of a pattern.
template <TermKind Kind>
struct Hole {
  static constexpr Part part = Part::term;
  static constexpr int terms = 1, links = 0;
  Literals<0> literals;
  static constexpr int emit(Builder& b) { return b.add({.kind = Kind}); }
};

/// `like(y)` among the operands of a call: all attributes of the operation bound to y.
template <class Name>
struct Spread {
  static constexpr Part part = Part::spread;
  static constexpr int terms = 1, links = 0;
  Literals<0> literals;
  static constexpr int emit(Builder& b) {
    return b.add({.kind = TermKind::spread, .variable = Name::view, .name = Name::view});
  }
};

namespace detail {
/// See operators.hpp.
constexpr bool is_operator_name(std::string_view name);
template <FixedString Text>
inline constexpr bool names_operator = is_operator_name(Name<Text>::view);
}  // namespace detail

/// A variable. `constexpr var<"x"> x;`
template <FixedString Text>
struct var {
  static constexpr Part part = Part::term;
  static constexpr int terms = 1, links = 0;
  using name = Name<Text>;
  Literals<0> literals;

  constexpr var() : literals() {}
  constexpr var(const var&) = default;

  /// `y = affine(x, w, b)` names what the pattern matches; `y(w = ...)`, `let(s = ...)` and `softmax(x, axis
  /// = 1)` read the same way.
  template <Argument V>
  constexpr auto operator=(V value) const {
    const AsTerm<V> term(value);
    return Binding<name, AsTerm<V>>{term.literals};
  }
  constexpr auto operator=(const var& other) const { return Binding<name, var>{other.literals}; }

  /// The operation bound to this variable, with operands replaced: `y(w = clip_pos(w), b = 0)`.
  template <DslType... A>
  constexpr auto operator()(A... replaced) const {
    static_assert(sizeof...(A) > 0 && ((A::part == Part::binding) && ...),
                  "y(...) replaces operands by name: write y(w = ...)");
    return Replace<name, A...>{join(replaced.literals...)};
  }

  /// An attribute or an operand of the operation bound to this variable: `y["axis"]`.
  constexpr auto operator[](const char* attribute) const {
    return WithWord<TermKind::member, var>{{{{0, attribute}}}};
  }

  static constexpr int emit(Builder& b) {
    return b.add({.kind = TermKind::variable,
                  .operator_name = detail::names_operator<Text>,
                  .variable = name::view,
                  .name = name::view});
  }
};

inline constexpr Hole<TermKind::wildcard> _{};
inline constexpr Hole<TermKind::ellipsis> ellipsis{};

inline namespace literals {
/// `"axis"_a = 1`: a name for an attribute or operand that no variable has.
template <FixedString Text>
constexpr var<Text> operator""_a() {
  return {};
}
}  // namespace literals

template <FixedString Text>
constexpr auto like(var<Text>) {
  return Spread<Name<Text>>{};
}

template <Argument... A>
constexpr auto list(A... a) {
  return List<AsTerm<A>...>{join(AsTerm<A>(a).literals...)};
}

/// A value in another world: `at(x, "base")` is the text form's `x@base`.
template <DslType T>
constexpr auto at(T value, const char* world) {
  return WithWord<TermKind::world, T>{join(value.literals, Literals<1>{{{0, world}}})};
}

}  // namespace rulegrad::dsl
