// Attribute structs that a program describes: what is listed, read and compared.
#include <cstdint>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/expr/define_attributes.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

enum class Word : std::uint8_t { one, two };
struct Members {
  bool flag = false;
  std::int64_t whole = 0;
  double number = 0;
  std::string text{};
  std::vector<std::int64_t> list{};
  std::vector<double> reals{};
  DType dtype = DType::float32;
  Shape shape{};
  Tensor tensor{};
  Word word = Word::one;
};
// What define_attributes and BOOST_HANA_ADAPT_STRUCT are held against: a list of nine of these ten members
// does not compile.
static_assert(detail::holds<Members, 10>() && !detail::holds<Members, 11>());

struct Two {
  double first = 1;
  std::int64_t second = 2;
};

}  // namespace

template <>
const AttrType& rulegrad::attr_type<Two>() {
  static const AttrType type = define_attributes<&Two::first, &Two::second>("Two", {"first", "second"});
  return type;
}

TEST_CASE("attributes of a program's own name the field that is wrong, as those that ship do") {
  const NamedValue wrong[] = {{"second", AttrValue(std::string("much"))}},
                   fine[] = {{"second", AttrValue(3.0)}};
  CHECK_THROWS_WITH_AS((void)Attributes::make(attr_type<Two>(), wrong),
                       "attribute 'second' cannot take the value \"much\"; its default is 2", Error);
  const Attributes three = Attributes::make(attr_type<Two>(), fine);
  CHECK(three.as<Two>().second == 3);
  CHECK(three == Attributes(Two{1, 3}));
  CHECK(three != Attributes(Two{}));
  CHECK(three.hash() == Attributes(Two{1, 3}).hash());
}
