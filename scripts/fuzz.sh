#!/usr/bin/env bash
# Runs one of libFuzzer's targets (tests/fuzz) under the address and undefined-behaviour sanitizers of clang until the time is over;
# begins with what it found before and with files of the tree, keeps what adds coverage in build-fuzz/corpus, and says how much of
# which folder was covered. An input that crashes, hangs or takes too much memory is left in build-fuzz/findings.
#   scripts/fuzz.sh TARGET --minutes N [--seed N]     TARGET: onnx, arrays, pictures, rule_text, rules, graph or differential
#   scripts/fuzz.sh --build                           all targets, nothing is run
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-}
minutes=1 seed=0
shift || true
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    *) echo "usage: scripts/fuzz.sh TARGET --minutes N [--seed N]" >&2; exit 2 ;;
  esac
done

folder=build-fuzz
export CC=clang CXX=clang++
if command -v ccache >/dev/null; then export CC="ccache clang" CXX="ccache clang++"; fi
# Needs libclang-rt-14-dev, libfuzzer-14-dev and libomp-14-dev beside clang.
[ -d "$folder" ] || meson setup "$folder" -Dfuzz=true -Dbuildtype=debugoptimized -Doptimization=1 -Db_sanitize=address,undefined \
  -Db_lundef=false -Dwerror=false -Dpython=disabled >/dev/null
all="arrays pictures rule_text rules graph differential onnx"
if [ "$target" = --build ]; then
  # shellcheck disable=SC2046
  exec ninja -C "$folder" $(printf 'tests/fuzz/fuzz_%s ' $all)
fi
case " $all " in *" $target "*) ;; *) echo "no such target: $target; there are $all" >&2; exit 2 ;; esac
ninja -C "$folder" "tests/fuzz/fuzz_$target" >/dev/null

# Files of the tree that the target reads.
mkdir -p "$folder/corpus/$target" "$folder/seeds/$target" "$folder/findings"
case "$target" in
  onnx) find tests/zoo examples/demo -name '*.onnx' -size -60k ;;
  arrays) find tests examples -name '*.npy' -size -20k -o -name '*.npz' -size -20k ;;
  pictures) find examples/demo docs -name '*.png' -size -20k ;;
  rule*) find rules tests/rules_ok tests/rules_bad -name '*.rules' -size -30k ;;
  *) true ;;
esac | while read -r file; do cp "$file" "$folder/seeds/$target/$(echo "$file" | tr / _)"; done

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=1:allocator_may_return_null=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-14
set +e
"$folder/tests/fuzz/fuzz_$target" "$folder/corpus/$target" "$folder/seeds/$target" $( [ -d "tests/fuzz/found/$target" ] && echo "tests/fuzz/found/$target" ) \
  -max_total_time="$(awk "BEGIN { print int(60 * $minutes) }")" -seed="$seed" -max_len=32768 -timeout=30 -rss_limit_mb=3000 -malloc_limit_mb=1500 \
  -dict=tests/fuzz/extents.dict -artifact_prefix="$folder/findings/$target-" -print_final_stats=1 -print_coverage=1 >"$folder/$target.log" 2>&1
status=$?
set -e
grep -E "stat::|SUMMARY|FINDING|ERROR: libFuzzer" "$folder/$target.log" || true
# Edges of functions that were entered, by folder of the source.
python3 - "$folder/$target.log" <<'END'
import collections, re, sys
edges = collections.defaultdict(lambda: [0, 0])
for line in open(sys.argv[1], errors="replace"):
    found = re.match(r"(?:UN)?COVERED_FUNC: hits: (\d+) edges: (\d+)/(\d+) .*?\b(?:src|include)/([\w/]+)/", line)
    if not found:
        continue
    place = edges[found[4]]
    place[0] += int(found[2])
    place[1] += int(found[3])
for place, (seen, all_of_them) in sorted(edges.items()):
    print(f"{place}: {seen} of {all_of_them} edges, {100 * seen / max(all_of_them, 1):.0f} %")
END
exit $status
