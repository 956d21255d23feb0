#!/usr/bin/env bash
# Makes the source archive of a commit, out/rulegrad-VERSION.tar.xz and its SHA-256: the same commit gives the same bytes, whoever makes it
# and when. Makes it twice and fails where the two differ.
#   scripts/archive.sh [COMMIT]
set -euo pipefail
cd "$(dirname "$0")/.."

commit=${1:-HEAD}
version=$(git show "$commit:meson.build" | sed -n "s/^project(.*[ (]version: '\([0-9.]*\)'.*/\1/p")
name=rulegrad-$version
mkdir -p out
pack() {
  # git writes names in the order of the tree, the commit's time and no owner; xz on one thread cuts nothing by the number of cores.
  git -c tar.umask=0022 archive --format=tar --prefix="$name/" "$commit" | xz --threads=1 -6 --check=crc64 >"$1"
}
pack "out/$name.tar.xz"
pack "out/$name.again"
if ! cmp "out/$name.tar.xz" "out/$name.again"; then
  echo "the same commit gave other bytes" >&2
  exit 1
fi
rm "out/$name.again"
(cd out && sha256sum "$name.tar.xz" | tee "$name.tar.xz.sha256")
