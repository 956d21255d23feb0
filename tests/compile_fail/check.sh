#!/bin/sh
# check.sh FILE COMPILER...: succeeds if FILE does not compile and the compiler's only error holds the sentence of FILE's
# `// expect:` line. Files with `// expect: nothing` must compile without a warning.
set -u
file=$1
shift
sentence=$(sed -n '1s|^// expect: ||p' "$file")
[ -n "$sentence" ] || { echo "$file: the first line must be '// expect: <sentence>'"; exit 2; }
output=$("$@" -fsyntax-only "$file" 2>&1)
status=$?
if [ "$sentence" = nothing ]; then
  [ $status -eq 0 ] && [ -z "$output" ] && exit 0
  printf '%s\n' "$output"
  exit 1
fi
[ $status -ne 0 ] || { echo "$file compiled, but should not"; exit 1; }
errors=$(printf '%s\n' "$output" | grep -c 'error:')
[ "$errors" -eq 1 ] || { printf '%s\n' "$output"; echo "$file: one error should be told, and $errors are"; exit 1; }
first=$(printf '%s\n' "$output" | grep -m 1 'error:')
case $first in
  *"$sentence"*) exit 0 ;;
esac
printf '%s\n' "$file: the first error line should say" "  $sentence" "but is" "  $first"
exit 1
