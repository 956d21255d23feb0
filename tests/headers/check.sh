#!/bin/sh
# Compiles every public header alone: check.sh FOLDER STANDARD COMPILER...
set -eu
cd "$1"; standard=$2; shift 2
export standard
command -v "$1" >/dev/null || { echo "$1 is not installed; scripts/install_dependencies.sh installs it" >&2; exit 1; }
find rulegrad -name '*.hpp' | sort | xargs -P 2 -I HEADER sh -c '
  header=$1; shift
  printf "#include <%s>\n" "$header" |
    "$@" "-std=$standard" -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I. -x c++ - ||
    { echo "$header does not compile alone as $standard"; exit 1; }' sh HEADER "$@"
