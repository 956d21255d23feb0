#pragma once

#include "rulegrad/dsl/term.hpp"

/// All letters as variables, but for j, for code that has no names of its own in the way. In a block or a
/// namespace, `using dsl::letters::s;` hides a global `s`; or declare your own: `constexpr var<"s"> s;`.
namespace rulegrad::dsl::letters {

inline constexpr var<"a"> a;
inline constexpr var<"b"> b;
inline constexpr var<"c"> c;
inline constexpr var<"d"> d;
inline constexpr var<"e"> e;
inline constexpr var<"f"> f;
inline constexpr var<"g"> g;
inline constexpr var<"h"> h;
inline constexpr var<"i"> i;
inline constexpr var<"k"> k;
inline constexpr var<"l"> l;
inline constexpr var<"m"> m;
inline constexpr var<"n"> n;
inline constexpr var<"o"> o;
inline constexpr var<"p"> p;
inline constexpr var<"q"> q;
inline constexpr var<"r"> r;
inline constexpr var<"s"> s;
inline constexpr var<"t"> t;
inline constexpr var<"u"> u;
inline constexpr var<"v"> v;
inline constexpr var<"w"> w;
inline constexpr var<"x"> x;
inline constexpr var<"y"> y;
inline constexpr var<"z"> z;

}  // namespace rulegrad::dsl::letters

/// The variables that rules are mostly written in: values, operands and what is sent back. So few that
/// `using namespace rulegrad::dsl::vars;` gets along with a program's own short names; where it does not,
/// name what you need in the block, as in `using vars::x, vars::g;`.
namespace rulegrad::dsl::vars {

using letters::a;
using letters::b;
using letters::g;
using letters::r;
using letters::w;
using letters::x;
using letters::y;
using letters::z;

}  // namespace rulegrad::dsl::vars
