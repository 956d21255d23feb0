#!/usr/bin/env bash
# Builds and tests on Debian 13 (g++ 14, oneDNN 3, xtensor 0.25, onnx 1.17) in a folder, without touching the system: needs mmdebstrap and root.
#   scripts/debian13.sh [FOLDER] [TARGET...]     (/var/tmp/rulegrad-debian13; everything, and all tests of this build)
# With targets only these are built and, where they are test programs, run. The folder stays, so that the next run builds what changed;
# SUITE and MIRROR choose others, CXX=clang++ another compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-/var/tmp/rulegrad-debian13}
shift || true
suite=${SUITE:-trixie}
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -1)}

# What scripts/install_dependencies.sh installs, as this release has it.
packages=$(sed -n '/^packages="/,/"$/p' scripts/install_dependencies.sh | tr -d '"' | sed 's/packages=//' | tr -s ' \n' ' ')
for package in $packages; do
  case $package in dataset-fashion-mnist | *-1[0-9]) ;; *) wanted="${wanted:+$wanted,}$package" ;; esac
done
if [ ! -e "$folder/usr/bin/meson" ]; then
  mmdebstrap --variant=apt --include="$wanted,ca-certificates" "$suite" "$folder" "${mirror:-http://deb.debian.org/debian}"
fi

# The files of the project as they are now.
mkdir -p "$folder/src"
git ls-files -z -c -o --exclude-standard --deduplicate | while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar -c --null --files-from=- | tar -x -C "$folder/src"
mountpoint -q "$folder/proc" || mount -t proc proc "$folder/proc"
trap 'umount "$folder/proc"' EXIT

compiler=${CXX:-g++}
case $compiler in clang*) c=clang ;; *) c=gcc ;; esac
chroot "$folder" /usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 \
  OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" CCACHE_DIR=/src/.cache/ccache CXX="ccache $compiler" CC="ccache $c" bash -euo pipefail -c '
    cd /src
    . /etc/os-release
    echo "$PRETTY_NAME: $('"$compiler"' --version | head -1); oneDNN $(pkg-config --modversion dnnl 2>/dev/null || dpkg-query -W -f="\${Version}" libdnnl-dev)," \
      "xtensor $(dpkg-query -W -f="\${Version}" libxtensor-dev), onnx $(dpkg-query -W -f="\${Version}" libonnx-dev)"
    build=build-'"${compiler//+/x}"'
    [ -d $build ] || meson setup $build
    if [ $# -eq 0 ]; then
      ninja -C $build
      meson test -C $build --no-rebuild --print-errorlogs
    else
      ninja -C $build "$@"
      for target in "$@"; do
        case $target in tests/*) $build/$target ;; esac
      done
    fi' rulegrad "$@"
