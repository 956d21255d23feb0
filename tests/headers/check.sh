#!/bin/sh
# Compiles every public header alone: check.sh FOLDER STANDARD COMPILER...
set -eu
cd "$1"; standard=$2; shift 2
export standard
find rulegrad -name '*.hpp' | sort | xargs -P 4 -I HEADER sh -c '
  header=$1; shift
  printf "#include <%s>\n" "$header" |
    "$@" "-std=$standard" -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I. -x c++ - ||
    { echo "$header does not compile alone as $standard"; exit 1; }' sh HEADER "$@"
