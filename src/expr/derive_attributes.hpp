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

#include "rulegrad/expr/define_attributes.hpp"

/// The operations of an attribute struct that BOOST_HANA_ADAPT_STRUCT lists the members of.
namespace rulegrad {
namespace detail {

template <class S>
struct Adapted {
  static constexpr std::size_t count = decltype(boost::hana::length(boost::hana::accessors<S>()))::value;
  template <class Struct, class F>
  static void each(Struct& attributes, F&& f) {
    std::size_t index = 0;
    // Hana's accessors return members of an lvalue by reference.
    boost::hana::for_each(boost::hana::accessors<S>(),
                          [&](auto accessor) { f(index++, boost::hana::second(accessor)(attributes)); });
  }
  template <class F>
  static void both(const S& a, const S& b, F&& f) {
    boost::hana::for_each(boost::hana::accessors<S>(), [&](auto accessor) {
      f(boost::hana::second(accessor)(a), boost::hana::second(accessor)(b));
    });
  }
};

template <class S>
std::vector<std::string> field_names() {
  std::vector<std::string> names;
  boost::hana::for_each(boost::hana::accessors<S>(), [&](auto accessor) {
    names.emplace_back(boost::hana::to<char const*>(boost::hana::first(accessor)));
  });
  return names;
}

}  // namespace detail

template <class S>
AttrType derive_attr_type(std::string name) {
  return detail::attr_type_of<S, detail::Adapted<S>>(std::move(name), detail::field_names<S>());
}

}  // namespace rulegrad
