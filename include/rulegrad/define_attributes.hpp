#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "rulegrad/attributes.hpp"
#include "rulegrad/error.hpp"

/// How a program describes the attribute struct of an operator of its own:
///
///     struct SwishAttributes { double beta = 1; };
///     template <> const rulegrad::AttrType& rulegrad::attr_type<SwishAttributes>() {
///       static const AttrType type = define_attributes<&SwishAttributes::beta>("SwishAttributes", {"beta"});
///       return type;
///     }
///
/// Members may be bool, std::int64_t, double, std::string, lists of integers or numbers, DType, Shape and Tensor.
namespace [[gnu::visibility("default")]] rulegrad {
namespace detail {

template <class T>
struct MemberOf;
template <class S, class M>
struct MemberOf<M S::*> {
  using Struct = S;
};

/// Rules write every number as a double and every list as one of doubles.
template <class M>
bool take(M& member, const AttrValue& value) {
  if (const auto* same = std::get_if<M>(&value)) {
    member = *same;
    return true;
  }
  if constexpr (std::is_same_v<M, double>) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      member = static_cast<double>(*integer);
      return true;
    }
  } else if constexpr (std::is_same_v<M, std::int64_t> || std::is_same_v<M, bool>) {
    if (const auto* number = std::get_if<double>(&value); number != nullptr && static_cast<double>(static_cast<M>(*number)) == *number) {
      member = static_cast<M>(*number);
      return true;
    }
  } else if constexpr (std::is_same_v<M, std::vector<std::int64_t>>) {
    if (const auto* list = std::get_if<std::vector<double>>(&value)) {
      member.clear();
      bool whole = true;
      for (const double number : *list) {
        member.push_back(static_cast<std::int64_t>(number));
        whole = whole && static_cast<double>(member.back()) == number;
      }
      return whole;
    }
  }
  return false;
}

}  // namespace detail

/// Equality, hash, reading and writing by name, from the members and their names in the same order.
template <auto First, auto... Rest>
[[nodiscard]] AttrType define_attributes(std::string name, const std::array<std::string_view, 1 + sizeof...(Rest)>& members) {
  using S = typename detail::MemberOf<decltype(First)>::Struct;
  AttrType type;
  type.name = std::move(name);
  for (const std::string_view member : members) type.fields.emplace_back(member);
  type.defaults = std::make_shared<const S>();
  type.get = [](const void* attributes, std::size_t field) {
    const S& from = *static_cast<const S*>(attributes);
    const AttrValue values[] = {AttrValue(from.*First), AttrValue(from.*Rest)...};
    return values[field];
  };
  type.set = [](void* attributes, std::size_t field, const AttrValue& value) {
    S& to = *static_cast<S*>(attributes);
    std::size_t index = 0;
    bool taken = false;
    const auto one = [&](auto& member) {
      if (index++ == field) taken = detail::take(member, value);
    };
    one(to.*First);
    (one(to.*Rest), ...);
    if (!taken) throw Error(ErrorCode::dtype, "an attribute cannot take the value " + to_string(value));
  };
  type.copy = [](const void* attributes) -> std::shared_ptr<void> { return std::make_shared<S>(*static_cast<const S*>(attributes)); };
  type.equal = [](const void* a, const void* b) {
    const S &left = *static_cast<const S*>(a), &right = *static_cast<const S*>(b);
    return equal(AttrValue(left.*First), AttrValue(right.*First)) && (equal(AttrValue(left.*Rest), AttrValue(right.*Rest)) && ...);
  };
  type.hash = [](const void* attributes) {
    const S& from = *static_cast<const S*>(attributes);
    std::size_t seed = hash(AttrValue(from.*First));
    ((seed = seed * 31 + hash(AttrValue(from.*Rest))), ...);
    return seed;
  };
  return type;
}

}  // namespace rulegrad
