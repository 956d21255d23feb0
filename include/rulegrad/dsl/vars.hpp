#pragma once

#include "rulegrad/dsl/term.hpp"

/// The usual variables. Say `using namespace rulegrad::dsl::vars;`, or declare your own: `constexpr var<"x">
/// x;`.
namespace rulegrad::dsl::vars {

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

}  // namespace rulegrad::dsl::vars
