#!/bin/bash
# rulegrad/rulegrad.hpp costs under 1.5 s of compile time: compile_time.sh FOLDER COMPILER... A machine on which the
# standard library alone takes long (a slow one, or a busy one) may take twice what that does.
set -euo pipefail
cd "$1"; shift
TIMEFORMAT=%U

cost() {
  local best=1000 now
  for _ in 1 2 3; do
    now=$( { time printf '%s' "$1" | "${command[@]}" -std=c++20 -fsyntax-only -I. -x c++ - 1>&2; } 2>&1 | tail -1)
    best=$(echo "$now $best" | awk '{ print ($1 < $2) ? $1 : $2 }')
  done
  echo "$best"
}

command=("$@")
ours=$(cost '#include <rulegrad/rulegrad.hpp>
')
standard=$(cost '#include <array>
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
')
echo "rulegrad.hpp: $ours s; the standard library in it: $standard s"
awk -v ours="$ours" -v standard="$standard" 'BEGIN { exit !(ours < 1.5 || ours < 2 * standard) }'
