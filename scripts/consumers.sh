#!/usr/bin/env bash
# Builds the projects of tests/consumers as any project outside would: against an installed shared library in a folder
# whose name holds spaces, against a staged (DESTDIR) static one without optional features, and as a Meson subproject.
# Everything lies in build-consumers, so that ccache finds it again.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v ccache >/dev/null && [ -z "${CXX:-}" ]; then export CC="ccache gcc" CXX="ccache g++"; fi
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
root=$PWD/build-consumers consumers=$PWD/tests/consumers model=$PWD/examples/demo/mlp.onnx
libdir=lib
mkdir -p "$root"
start=$SECONDS
step() { echo "$((SECONDS - start)) s: $1"; }
fail() { echo "consumers: $1" >&2; exit 1; }
quietly() { "$@" >"$root/log" 2>&1 || { cat "$root/log" >&2; fail "failed: $*"; }; }
library() {  # FOLDER OPTIONS...
  local folder=$root/$1; shift
  [ -d "$folder" ] || quietly meson setup "$folder" --libdir $libdir -Dtests=disabled "$@"
  quietly ninja -C "$folder"
}
meson_consumer() {  # NAME FOLDER OPTIONS...
  local name=$1 folder=$root/$2; shift 2
  rm -rf "$folder"
  quietly meson setup "$folder" "$consumers/$name" "$@"
  quietly meson test -C "$folder"
}
cmake_consumer() {  # FOLDER OPTIONS...
  local folder=$root/$1; shift
  rm -rf "$folder"
  quietly cmake -S "$consumers/cmake" -B "$folder" -DMODEL="$model" -DCMAKE_CXX_COMPILER="${CXX##* }" "$@"
  quietly cmake --build "$folder"
  quietly ctest --test-dir "$folder" --output-on-failure
}

step "shared library, prefix with spaces"
prefix="$root/in stalled"
library shared --prefix "$prefix" -Ddefault_library=shared
rm -rf "$prefix"
quietly meson install -C "$root/shared" --no-rebuild
[ -e "$prefix/$libdir/librulegrad.a" ] && fail "a shared-only build installed a static library"
symbols=$(nm -DC --defined-only "$prefix/$libdir/librulegrad.so")
grep -q 'rulegrad::Program::compile' <<<"$symbols" || fail "public names are hidden"
grep -Eq 'rulegrad::(Evaluator|Matcher|kernels::|io::Importer)' <<<"$symbols" && fail "private names are visible"
export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
[ "$(pkg-config --modversion rulegrad)" = "$("$prefix/bin/rulegrad" --version)" ] || fail "two version numbers"
[ -f "$prefix/share/rulegrad/rules/lrp.rules" ] || fail "the rule files are missing"
bash -c "PATH='$prefix/bin:$PATH'; . '$prefix/share/bash-completion/completions/rulegrad'; COMP_WORDS=(rulegrad show lrp.eps) COMP_CWORD=2; _rulegrad; printf '%s\n' \"\${COMPREPLY[@]}\"" |
  grep -qx lrp.epsilon || fail "bash does not complete methods"
meson_consumer meson_pkgconfig pkgconfig -Dmodel="$model"
cmake_consumer cmake -DCMAKE_PREFIX_PATH="$prefix"
step "plugin"
meson_consumer plugin plugin -Dcommand_dir="$prefix/bin"

step "static library without optional features, staged"
library static --prefix /opt/rulegrad -Ddefault_library=static -Donnx=disabled -Dpng=disabled -Djpeg=disabled -Dnpz=disabled -Dcommand=disabled
stage="$root/stage d"
rm -rf "$stage"
DESTDIR="$stage" quietly meson install -C "$root/static" --no-rebuild
[ -e "$stage/opt/rulegrad/$libdir/librulegrad.so" ] && fail "a static-only build installed a shared library"
[ -e "$stage/opt/rulegrad/bin/rulegrad" ] && fail "the command was not left out"
# The staged folder stands in for the root of the machine that it will be copied to.
sed -i "s|^prefix=.*|prefix=${stage// /\\\\ }/opt/rulegrad|" "$stage/opt/rulegrad/$libdir/pkgconfig/rulegrad.pc"
export PKG_CONFIG_PATH="$stage/opt/rulegrad/$libdir/pkgconfig"
pkg-config --libs --static rulegrad | grep -Eq 'protobuf|onnx|png|jpeg' && fail "a feature that was left out is still linked"
meson_consumer meson_pkgconfig pkgconfig_static -Dmodel="$model" -Dstatic=true
cmake_consumer cmake_static -DCMAKE_PREFIX_PATH="$stage/opt/rulegrad"

step "Meson subproject"
unset PKG_CONFIG_PATH
copy=$root/subproject_source
rm -rf "$copy"
mkdir -p "$copy/subproject/subprojects/rulegrad"
cp -r tests/consumers/meson_subproject/. "$copy/subproject"
cp tests/consumers/explain.cpp "$copy"
# What a checkout holds, without this folder and other builds.
git ls-files -z --cached --others --exclude-standard | tar --null -T - -c 2>/dev/null | tar -x -C "$copy/subproject/subprojects/rulegrad"
rm -rf "$root/subproject"
quietly meson setup "$root/subproject" "$copy/subproject" --buildtype=debug -Doptimization=0 -Ddebug=false -Dmodel="$model"
quietly meson test -C "$root/subproject"
step "all consumers work"
