#!/usr/bin/env bash
# Builds the projects of tests/consumers as any project outside would: against an installed shared library in a folder
# whose name holds spaces, against a staged (DESTDIR) static one without optional features, and as a Meson subproject.
# Prints a line `ok: ...` for each. The library is built beside the other builds, where ccache knows its files from them;
# everything else lies in build-consumers.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v ccache >/dev/null && [ -z "${CXX:-}" ]; then export CC="ccache gcc" CXX="ccache g++"; fi
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
root=$PWD/build-consumers top=$PWD consumers=$PWD/tests/consumers model=$PWD/examples/demo/mlp.onnx
libdir=lib
mkdir -p "$root"
start=$SECONDS
ok() { echo "ok: $1 ($((SECONDS - start)) s)"; }
fail() { echo "consumers: $1" >&2; exit 1; }
quietly() { "$@" >"$root/log" 2>&1 || { cat "$root/log" >&2; fail "failed: $*"; }; }
library() {  # FOLDER OPTIONS...
  local folder=$top/build-$1; shift
  [ -d "$folder" ] || quietly meson setup "$folder" --libdir $libdir -Dwerror=true -Dtests=disabled -Dpython=disabled "$@"
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

# Shared only, prefix with spaces.
prefix="$root/in stalled"
library shared --prefix "$prefix" -Ddefault_library=shared
rm -rf "$prefix"
quietly meson install -C "$top/build-shared" --no-rebuild
[ ! -e "$prefix/$libdir/librulegrad.a" ] || fail "a shared-only build installed a static library"
for file in include/rulegrad/rulegrad.hpp $libdir/librulegrad.so $libdir/pkgconfig/rulegrad.pc $libdir/cmake/rulegrad/rulegradConfig.cmake \
  $libdir/cmake/rulegrad/rulegradConfigVersion.cmake bin/rulegrad share/rulegrad/rules/lrp.rules share/bash-completion/completions/rulegrad \
  share/zsh/site-functions/_rulegrad share/fish/vendor_completions.d/rulegrad.fish share/doc/rulegrad/LICENSE; do
  [ -e "$prefix/$file" ] || fail "$file is not installed"
done
export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
version=$("$prefix/bin/rulegrad" --version)
[ "$(pkg-config --modversion rulegrad)" = "$version" ] || fail "pkg-config and the command have two version numbers"
grep -q "version: '$version'" meson.build || fail "the version is not that of meson.build"
grep -q "SONAME *librulegrad.so.${version%.*}$" <<<"$(objdump -p "$prefix/$libdir/librulegrad.so")" || fail "the soname is not that of the version"
completed=$(bash -c "PATH='$prefix/bin:$PATH'; . '$prefix/share/bash-completion/completions/rulegrad'; COMP_WORDS=(rulegrad show lrp.eps) COMP_CWORD=2; _rulegrad; printf '%s\n' \"\${COMPREPLY[@]}\"")
grep -qx lrp.epsilon <<<"$completed" || fail "bash does not complete methods"
ok "shared library installed"
meson_consumer meson_pkgconfig pkgconfig -Dmodel="$model"
ok "Meson through pkg-config, shared"
# As one types it, with flags that hold quoted spaces.
eval "quietly ${CXX##* } -std=c++20 '$consumers/explain.cpp' $(pkg-config --cflags --libs rulegrad) -o '$root/typed'"
cd "$root" && LD_LIBRARY_PATH="$prefix/$libdir" quietly ./typed "$model" && cd "$top"
ok "a compiler by hand, shared"
cmake_consumer cmake -DCMAKE_PREFIX_PATH="$prefix"
cmake -S "$consumers/cmake" -B "$root/cmake_too_new" -DMINIMUM=99 -DCMAKE_PREFIX_PATH="$prefix" >"$root/log" 2>&1 && fail "CMake took version $version for 99"
grep -q "$version" "$root/log" || fail "CMake does not say which version it found"
ok "CMake, shared"
meson_consumer plugin plugin -Dcommand_dir="$prefix/bin"
ok "plugin with an operator and its LRP rule"

# Static only, without optional features. The staged folder stands in for the root of the machine that it will be copied to.
library static --prefix /opt/rulegrad -Ddefault_library=static -Donnx=disabled -Dpng=disabled -Djpeg=disabled -Dnpz=disabled -Donednn=disabled -Dcommand=disabled
for lost in 'lost: load_onnx, save_onnx' 'lost: read_picture of PNG' 'lost: read_picture of JPEG' 'lost: read_npz' 'lost: the fast convolutions' 'lost: the command'; do
  grep -qF "$lost" "$top/build-static/meson-logs/meson-log.txt" || fail "the summary does not say '$lost'"
done
stage="$root/stage d"
rm -rf "$stage"
DESTDIR="$stage" quietly meson install -C "$top/build-static" --no-rebuild
[ ! -e "$stage/opt/rulegrad/$libdir/librulegrad.so" ] || fail "a static-only build installed a shared library"
[ ! -e "$stage/opt/rulegrad/bin/rulegrad" ] || fail "the command was not left out"
sed -i "s|^prefix=.*|prefix=${stage// /\\\\ }/opt/rulegrad|" "$stage/opt/rulegrad/$libdir/pkgconfig/rulegrad.pc"
export PKG_CONFIG_PATH="$stage/opt/rulegrad/$libdir/pkgconfig"
! grep -Eq 'protobuf|onnx|png|jpeg|dnnl' <<<"$(pkg-config --libs --static rulegrad)" || fail "a feature that was left out is still linked"
ok "static library staged"
meson_consumer meson_pkgconfig pkgconfig_static -Dmodel="$model"
ok "Meson through pkg-config, static, without optional features"
cmake_consumer cmake_static -DCMAKE_PREFIX_PATH="$stage/opt/rulegrad"
ok "CMake, static, without optional features"

# Meson subproject: what a checkout holds, without this folder and other builds. Quick to compile, not to run.
unset PKG_CONFIG_PATH
copy=$root/subproject_source
rm -rf "$copy"
mkdir -p "$copy/subproject/subprojects/rulegrad"
cp -r tests/consumers/meson_subproject/. "$copy/subproject"
cp tests/consumers/explain.cpp "$copy"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -c 2>/dev/null | tar -x -C "$copy/subproject/subprojects/rulegrad"
rm -rf "$root/subproject"
quietly meson setup "$root/subproject" "$copy/subproject" --buildtype=plain -Dmodel="$model"
quietly meson test -C "$root/subproject"
ok "Meson subproject"
