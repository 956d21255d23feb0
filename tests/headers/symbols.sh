#!/usr/bin/env bash
# What a program gets with the library: public names and no private ones, nothing that prints, nothing that changes behind
# its back. symbols.sh LIBRARY.so SOURCES
set -euo pipefail
library=$1 sources=$2
fail() { printf '%s\n' "$1" >&2; status=1; }
status=0

exported=$(nm -DC --defined-only "$library")
for name in 'rulegrad::Program::compile' 'rulegrad::Explainer::run' 'rulegrad::load_onnx' 'typeinfo for rulegrad::Error'; do
  grep -qF "$name" <<<"$exported" || fail "$name is hidden"
done
private=$(grep -E 'rulegrad::(Evaluator|Matcher|Vocabulary|RecipeRun|kernels::|blocked::|onnx::|io::Importer|\(anonymous)' <<<"$exported" || true)
[ -z "$private" ] || fail "private names are visible:
$private"

# Results and messages are for the caller; files are written through fopen, fwrite and descriptors.
printing=$(nm -DC --undefined-only "$library" | grep -wE 'printf|puts|putchar|vprintf|perror|std::cout|std::cerr|std::clog|stdout|stderr' || true)
[ -z "$printing" ] || fail "something prints:
$printing"

# Variables outside of functions are constants, which are filled when the library is loaded. The exception is the thread count
# of BLAS: it belongs to the process, and runs that change it at once must know of each other.
while read -r name; do
  [[ $name =~ ^(threads_before|scopes|scopes_mutex)$ ]] && continue
  grep -rqE "\bconst(expr|init)?\b.*\b$name\b" "$sources" || fail "the variable '$name' outside of functions can change"
done < <(objdump -tC "$library" | grep -P ' \.(data|bss)\t' | sed -E 's/^.*\t[0-9a-f]+ +//; s/\(anonymous namespace\)/-/g' | grep '^rulegrad::' | grep -v '(' | sed -E 's/.*:://; s/\[abi.*//')
exit $status
