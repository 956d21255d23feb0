#!/usr/bin/env bash
# Compiles FILE a few times with the given compiler and flags; fails when the least processor time is above LIMIT seconds.
#   compile_time.sh LIMIT FILE COMPILER FLAG...
# Processor time, because other tests run at the same time; on an idle core it is the time one waits.
set -euo pipefail
limit=$1 file=$2
shift 2
out=$(mktemp)
trap 'rm -f "$out"' EXIT
TIMEFORMAT='%U %S'
best=1000
for _ in 1 2 3; do
  spent=$({ time "$@" -c "$file" -o "$out" >&2; } 2>&1 | tail -1 | awk '{ print $1 + $2 }')
  best=$(awk -v a="$best" -v b="$spent" 'BEGIN { print (b < a ? b : a) }')
done
echo "$(basename "$file"): $best s of processor time, at most $limit s"
awk -v a="$best" -v b="$limit" 'BEGIN { exit !(a <= b) }'
