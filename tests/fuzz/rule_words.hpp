#pragma once

namespace rulegrad::fuzz {

/// What stands in rule files beside names of operators.
inline constexpr const char* rule_words[] = {"rulegrad",  "rules",   "analyzer",
                                             "fn",        "op",      "use",
                                             "next",      "vjp",     "diff",
                                             "let",       "where",   "if",
                                             "when",      "default", "error",
                                             "gradient",  "seed",    "result",
                                             "for",       "in",      "over",
                                             "sum",       "mean",    "max",
                                             "midpoint",  "samples", "gauss_legendre",
                                             "normal",    "uniform", "windows",
                                             "relevance", "of",      "extends",
                                             "canonize",  "at",      "point",
                                             "base",      "input",   "score",
                                             "target",    "declare", "conserves",
                                             "completes", "linear",  "aux",
                                             "const",     "first",   "last",
                                             "depth",     "skip",    "layer",
                                             "is",        "and",     "or",
                                             "not",       "axis",    "axes",
                                             "wrt",       "grad",    "accum",
                                             "stack",     "include", "clip_pos",
                                             "x",         "y",       "r",
                                             "g",         "w",       "b",
                                             "t",         "q"};

}  // namespace rulegrad::fuzz
