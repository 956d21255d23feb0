#!/bin/sh
# Every C++ file is written as .clang-format says: format.sh SOURCE_ROOT CLANG_FORMAT
set -eu
cd "$1"
find src include tests benchmarks examples python \( -name '*.cpp' -o -name '*.hpp' \) -print0 | xargs -0 -n 100 "$2" --dry-run -Werror
