#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "rulegrad/expr/attributes.hpp"

/// How a program describes the attribute struct of an operator of its own:
///
///     struct SwishAttributes { double beta = 1; };
///     template <> const rulegrad::AttrType& rulegrad::attr_type<SwishAttributes>() {
///       static const AttrType type = define_attributes<&SwishAttributes::beta>("SwishAttributes", {"beta"});
///       return type;
///     }
///
/// Members may be bool, std::int64_t, double, std::string, lists of integers or numbers, DType, Shape, Tensor
/// and enumerations that have words. A member that is forgotten does not compile.
namespace [[gnu::visibility("default")]] rulegrad {

/// Enumerations travel as words: specialise with `words`, a std::array of std::string_view in the order of
/// the enumerators.
template <class E>
struct enum_words;

namespace detail {

template <class T>
[[nodiscard]] AttrValue to_value(const T& member) {
  if constexpr (std::is_enum_v<T> && !std::same_as<T, DType>)
    return std::string(enum_words<T>::words[static_cast<std::size_t>(member)]);
  else
    return member;
}

/// False where the value is of another kind; the member may have changed then.
template <class T>
[[nodiscard]] bool from_value(T& member, const AttrValue& value) {
  if constexpr (std::is_enum_v<T> && !std::same_as<T, DType>) {
    const auto* word = std::get_if<std::string>(&value);
    if (word == nullptr) return false;
    for (std::size_t i = 0; i < enum_words<T>::words.size(); ++i) {
      if (enum_words<T>::words[i] != *word) continue;
      member = static_cast<T>(i);
      return true;
    }
    return false;
  } else {
    if (const auto* same = std::get_if<T>(&value)) {
      member = *same;
      return true;
    }
    // Rules write every number as a double and every list as one of doubles.
    if constexpr (std::same_as<T, std::int64_t>) {
      if (const auto* number = std::get_if<double>(&value))
        if (const auto whole = whole_number(*number)) {
          member = *whole;
          return true;
        }
    } else if constexpr (std::same_as<T, double>) {
      if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        member = static_cast<double>(*integer);
        return true;
      }
    } else if constexpr (std::same_as<T, bool>) {
      if (const auto* number = std::get_if<double>(&value); number && (*number == 0 || *number == 1)) {
        member = *number != 0;
        return true;
      }
    } else if constexpr (std::same_as<T, std::vector<std::int64_t>>) {
      if (const auto* list = std::get_if<std::vector<double>>(&value)) {
        member.clear();
        for (const double number : *list) {
          const auto whole = whole_number(number);
          if (!whole) return false;
          member.push_back(*whole);
        }
        return true;
      }
    } else if constexpr (std::same_as<T, DType>) {
      if (const auto* name = std::get_if<std::string>(&value))
        if (const auto dtype = find_dtype(*name)) {
          member = *dtype;
          return true;
        }
    } else if constexpr (std::same_as<T, Shape>) {
      std::vector<std::int64_t> whole;
      if (from_value(whole, value)) {
        // Rules write the batch as `batch`, which is this number.
        std::vector<Dim> dims;
        for (const std::int64_t extent : whole) dims.push_back(extent == -1 ? B : Dim{extent});
        member = Shape(std::move(dims));
        return true;
      }
    }
    return false;
  }
}

/// Stands for a value of any type where none is computed.
struct Anything {
  template <class T>
  constexpr operator T() const;  // NOLINT(google-explicit-constructor): it must convert by itself
};

/// Has the struct room for so many members?
template <class S, std::size_t count>
[[nodiscard]] constexpr bool holds() {
  return []<std::size_t... i>(std::index_sequence<i...>) {
    return requires {
      S{(static_cast<void>(i), Anything{})...};
    };
  }
  (std::make_index_sequence<count>());
}

/// Equality, hash, reading and writing by name of a struct. `Members::each(s, f)` calls `f(index, member)`
/// for each of its `Members::count` members, `Members::both(a, b, f)` `f(member of a, member of b)`, so that
/// an operator's attributes are listed once and cannot be forgotten in one of these places.
template <class S, class Members>
[[nodiscard]] AttrType attr_type_of(std::string name, std::vector<std::string> fields) {
  if constexpr (std::is_aggregate_v<S>)
    static_assert(!holds<S, Members::count + 1>(),
                  "the attribute struct has a member that is not listed where its AttrType is made");
  AttrType type;
  type.name = std::move(name);
  type.fields = std::move(fields);
  type.defaults = std::make_shared<const S>();
  type.get = [](const void* attributes, std::size_t field) {
    AttrValue result;
    Members::each(*static_cast<const S*>(attributes), [&](std::size_t index, const auto& member) {
      if (index == field) result = to_value(member);
    });
    return result;
  };
  type.set = [](void* attributes, std::size_t field, const AttrValue& value) {
    bool taken = false;
    Members::each(*static_cast<S*>(attributes), [&](std::size_t index, auto& member) {
      if (index != field) return;
      auto changed = member;
      taken = from_value(changed, value);
      if (taken) member = std::move(changed);
    });
    return taken;
  };
  type.copy = [](const void* attributes) -> std::shared_ptr<void> {
    return std::make_shared<S>(*static_cast<const S*>(attributes));
  };
  type.equal = [](const void* a, const void* b) {
    const S& left = *static_cast<const S*>(a);
    const S& right = *static_cast<const S*>(b);
    bool same = true;
    Members::both(left, right, [&](const auto& one, const auto& other) {
      same = same && equal(to_value(one), to_value(other));
    });
    return same;
  };
  type.beyond = [](const void* attributes, std::size_t from) {
    std::size_t first = Members::count;
    Members::each(*static_cast<const S*>(attributes), [&]<class M>(std::size_t index, const M& member) {
      if constexpr (std::same_as<M, std::int64_t> || std::same_as<M, std::vector<std::int64_t>> ||
                    std::same_as<M, Shape>)
        if (index >= from && index < first && !within_extents(member)) first = index;
    });
    return first;
  };
  type.hash = [](const void* attributes) {
    std::size_t seed = 0;
    Members::each(*static_cast<const S*>(attributes),
                  [&](std::size_t, const auto& member) { seed = hash(to_value(member), seed); });
    return seed;
  };
  return type;
}

template <class M>
struct StructOf;
template <class S, class M>
struct StructOf<M S::*> {
  using type = S;
};

template <auto... members>
struct Pointed {
  static constexpr std::size_t count = sizeof...(members);
  template <class S, class F>
  static void each(S& attributes, F&& f) {
    std::size_t index = 0;
    (f(index++, attributes.*members), ...);
  }
  template <class S, class F>
  static void both(const S& a, const S& b, F&& f) {
    (f(a.*members, b.*members), ...);
  }
};

}  // namespace detail

/// The derived operations of a struct, from its members and their names in the same order.
template <auto first, auto... rest, std::size_t count>
[[nodiscard]] AttrType define_attributes(std::string name, const std::string_view (&members)[count]) {
  static_assert(count == 1 + sizeof...(rest), "define_attributes takes one name for each member");
  using S = typename detail::StructOf<decltype(first)>::type;
  return detail::attr_type_of<S, detail::Pointed<first, rest...>>(std::move(name),
                                                                  {std::begin(members), std::end(members)});
}

}  // namespace rulegrad
