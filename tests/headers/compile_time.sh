#!/bin/bash
# rulegrad/rulegrad.hpp costs under 1.5 s of compile time: compile_time.sh FOLDER COMPILER... A machine on which the
# standard library alone takes long (a slow one, or a busy one) may take in proportion: the two are timed in turns, and
# the quickest of each counts.
set -euo pipefail
cd "$1"; shift
TIMEFORMAT=%U

command=("$@")
cost() {
  { time printf '%s' "$1" | "${command[@]}" -std=c++20 -fsyntax-only -I. -x c++ - 1>&2; } 2>&1 | tail -1
}
lesser() { awk -v a="$1" -v b="$2" 'BEGIN { print (a + 0 < b + 0) ? a : b }'; }

our_headers='#include <rulegrad/rulegrad.hpp>
'
standard_headers='#include <array>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>
'
ours=1000 standard=1000
for _ in 1 2 3 4 5; do
  ours=$(lesser "$ours" "$(cost "$our_headers")")
  standard=$(lesser "$standard" "$(cost "$standard_headers")")
done
echo "rulegrad.hpp: $ours s; the standard library in it: $standard s"
awk -v ours="$ours" -v standard="$standard" 'BEGIN { exit !(ours < 1.5 || ours < 2.5 * standard) }'
