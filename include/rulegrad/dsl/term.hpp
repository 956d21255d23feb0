#pragma once

#include <concepts>
#include <type_traits>

#include "rulegrad/dsl/flat.hpp"

/// The terms of the DSL. Their structure is their type, so that a rule is checked and lowered when it is
/// compiled; only literals (numbers, words, names of attributes) are data.
namespace rulegrad::dsl {

/// What a type of the DSL is, as an argument.
enum class Part : std::uint8_t { term, binding, spread };

template <class T>
concept DslType = requires {
  T::part;
};

/// What can be an operand: terms, `name = value`, and plain numbers and words.
template <class T>
concept Argument = DslType<T> || std::is_arithmetic_v<T> || std::same_as<T, const char*>;

/// At least one operand tells that this call is meant for the DSL and not for numbers.
template <class... T>
concept Arguments = (Argument<T> && ...) && (DslType<T> || ...);

template <int N>
struct Literals {
  Literal at[static_cast<std::size_t>(N)];
};
template <>
struct Literals<0> {};

template <int... N>
constexpr auto join([[maybe_unused]] const Literals<N>&... parts) {
  constexpr int total = (0 + ... + N);
  Literals<total> all{};
  if constexpr (total > 0) {
    int next = 0;
    const auto append = [&]<int M>([[maybe_unused]] const Literals<M>& part) {
      if constexpr (M > 0)
        for (const Literal& literal : part.at) all.at[next++] = literal;
    };
    (append(parts), ...);
  }
  return all;
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
  constexpr void link(FlatTerm& parent, std::string_view name, int child) {
    if (parent.args + parent.named == 0) parent.first_link = link_count;
    ++(name.empty() ? parent.args : parent.named);
    links[link_count++] = {name, child};
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

namespace detail {
template <class T>
struct AsTerm {
  using type = T;
};
template <class T>
requires std::is_arithmetic_v<T>
struct AsTerm<T> {
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
    FlatTerm label{.kind = TermKind::label, .name = name};
    b.link(label, {}, value);
    return b.add(label);
  }
};

/// Emits the operands of `parent`, positional ones first, and then the parent itself.
template <class... A>
constexpr int emit_with_operands(Builder& b, FlatTerm parent) {
  const int children[sizeof...(A) + 1] = {A::emit(b)..., -1};
  const auto each = [&](bool named) {
    [[maybe_unused]] int i = 0;
    [[maybe_unused]] const auto put = [&]<class Arg>(std::type_identity<Arg>) {
      std::string_view name;
      if constexpr (Arg::part == Part::binding)
        if (Arg::is_named(b)) name = Arg::name;
      if (name.empty() != named) b.link(parent, name, children[i]);
      ++i;
    };
    (put(std::type_identity<A>{}), ...);
  };
  each(false);
  each(true);
  return b.add(parent);
}

/// An operator, class or function applied to operands. `Row` says which one: see operators.hpp.
template <class Row, class... A>
struct Call {
  static constexpr Part part = Part::term;
  static constexpr int terms = (1 + ... + A::terms);
  static constexpr int links = (static_cast<int>(sizeof...(A)) + ... + A::links);
  using row = Row;
  decltype(join(A::literals...)) literals;

  static constexpr int emit(Builder& b) {
    return emit_with_operands<A...>(b, {.kind = TermKind::call,
                                        .call = Row::kind,
                                        .name = Row::name,
                                        .min_operands = Row::min_operands,
                                        .max_operands = Row::max_operands});
  }
};

template <class Row, class... A>
constexpr auto make_call(const A&... a) {
  return Call<Row, A...>{join(a.literals...)};
}

/// Positional operands among the arguments of a call on the given side; labels are operands in patterns only.
template <Side S, class... A>
constexpr int operand_count() {
  [[maybe_unused]] const auto counts = []<class Arg>(std::type_identity<Arg>) {
    if constexpr (Arg::part == Part::binding) return S == Side::pattern && !Arg::literal_value;
    return Arg::part == Part::term;
  };
  return (0 + ... + static_cast<int>(counts(std::type_identity<A>{})));
}

/// `[a, b, ...]`
template <class... A>
struct List {
  static constexpr Part part = Part::term;
  static constexpr int terms = (1 + ... + A::terms);
  static constexpr int links = (static_cast<int>(sizeof...(A)) + ... + A::links);
  static constexpr bool literal_value = true;
  decltype(join(A::literals...)) literals;
  static constexpr int emit(Builder& b) { return emit_with_operands<A...>(b, {.kind = TermKind::list}); }
};

/// `y(w = ...)`: the operation bound to a variable, with operands replaced.
template <class Name, class... A>
struct Replace {
  static constexpr Part part = Part::term;
  static constexpr int terms = (1 + ... + A::terms);
  static constexpr int links = (static_cast<int>(sizeof...(A)) + ... + A::links);
  decltype(join(A::literals...)) literals;
  static constexpr int emit(Builder& b) {
    return emit_with_operands<A...>(b, {.kind = TermKind::replace, .name = Name::view});
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
    FlatTerm term{.kind = Kind, .literal = b.literal_count++};
    b.link(term, {}, owner);
    return b.add(term);
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
  static constexpr int emit(Builder& b) { return b.add({.kind = TermKind::spread, .name = Name::view}); }
};

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

  static constexpr int emit(Builder& b) { return b.add({.kind = TermKind::variable, .name = name::view}); }
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
