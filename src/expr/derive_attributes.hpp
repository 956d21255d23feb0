#pragma once

#include <boost/hana/accessors.hpp>
#include <boost/hana/adapt_struct.hpp>
#include <boost/hana/ext/std/tuple.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/keys.hpp>
#include <boost/hana/length.hpp>
#include <boost/hana/pair.hpp>
#include <boost/hana/string.hpp>
#include <boost/hana/tuple.hpp>

#include <algorithm>
#include <concepts>

#include "rulegrad/attributes.hpp"
#include "rulegrad/error.hpp"
#include "support/hash.hpp"

/// Equality, hash, reading and writing by name of an attribute struct, derived from its members, so that an
/// operator's attributes are listed once and cannot be forgotten in one of these places.
namespace rulegrad {

/// Enumerations travel as words: specialise with the words in the order of the enumerators.
template <class E>
struct enum_words;

namespace derive {

template <class T>
AttrValue to_value(const T& member) {
  if constexpr (std::is_enum_v<T> && !std::same_as<T, DType>)
    return std::string(enum_words<T>::words[static_cast<std::size_t>(member)]);
  else
    return member;
}

template <class T>
bool from_value(T& member, const AttrValue& value) {
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
      if (const auto* number = std::get_if<double>(&value); number && static_cast<double>(static_cast<std::int64_t>(*number)) == *number) {
        member = static_cast<std::int64_t>(*number);
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
        for (const double number : *list) member.push_back(static_cast<std::int64_t>(number));
        return std::equal(member.begin(), member.end(), list->begin(), list->end(),
                          [](std::int64_t i, double d) { return static_cast<double>(i) == d; });
      }
    } else if constexpr (std::same_as<T, Shape>) {
      if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value)) {
        member = Shape::of(*list);
        return true;
      }
      std::vector<std::int64_t> whole;
      if (std::holds_alternative<std::vector<double>>(value) && from_value(whole, value)) {
        member = Shape::of(whole);
        return true;
      }
    }
    return false;
  }
}

/// Calls `f(index, member)` for each member; `S` may be const.
template <class S, class F>
void for_each_member(S& attributes, F&& f) {
  namespace hana = boost::hana;
  std::size_t index = 0;
  hana::for_each(hana::accessors<std::remove_const_t<S>>(),
                 [&](auto accessor) { f(index++, hana::second(accessor)(attributes)); });
}

template <class S>
std::vector<std::string> field_names() {
  namespace hana = boost::hana;
  std::vector<std::string> names;
  hana::for_each(hana::accessors<S>(), [&](auto accessor) { names.emplace_back(hana::to<char const*>(hana::first(accessor))); });
  return names;
}

}  // namespace derive

template <class S>
AttrType derive_attr_type(std::string name) {
  AttrType type;
  type.name = std::move(name);
  type.fields = derive::field_names<S>();
  type.defaults = std::make_shared<const S>();
  type.get = [](const void* attributes, std::size_t field) {
    AttrValue result;
    derive::for_each_member(*static_cast<const S*>(attributes), [&](std::size_t index, const auto& member) {
      if (index == field) result = derive::to_value(member);
    });
    return result;
  };
  type.set = [](void* attributes, std::size_t field, const AttrValue& value) {
    S& target = *static_cast<S*>(attributes);
    namespace hana = boost::hana;
    std::size_t index = 0;
    hana::for_each(hana::accessors<S>(), [&](auto accessor) {
      if (index++ != field) return;
      auto member = hana::second(accessor)(std::as_const(target));
      if (!derive::from_value(member, value))
        throw Error(ErrorCode::dtype, std::string("attribute '") + hana::to<char const*>(hana::first(accessor)) +
                                          "' cannot take the value " + to_string(value) + "; its default is " +
                                          to_string(AttrValue(derive::to_value(hana::second(accessor)(S{})))));
      // Hana's accessors return members of an lvalue by reference.
      hana::second(accessor)(target) = std::move(member);
    });
  };
  type.copy = [](const void* attributes) -> std::shared_ptr<void> {
    return std::make_shared<S>(*static_cast<const S*>(attributes));
  };
  type.equal = [](const void* a, const void* b) {
    bool same = true;
    const S& left = *static_cast<const S*>(a);
    const S& right = *static_cast<const S*>(b);
    boost::hana::for_each(boost::hana::accessors<S>(), [&](auto accessor) {
      same = same && equal(AttrValue(derive::to_value(boost::hana::second(accessor)(left))),
                           AttrValue(derive::to_value(boost::hana::second(accessor)(right))));
    });
    return same;
  };
  type.hash = [](const void* attributes) {
    std::size_t seed = 0;
    derive::for_each_member(*static_cast<const S*>(attributes), [&](std::size_t, const auto& member) {
      seed = hash_combine(seed, hash(AttrValue(derive::to_value(member))));
    });
    return seed;
  };
  return type;
}

}  // namespace rulegrad
