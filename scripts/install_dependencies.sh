#!/bin/sh
# Installs what rulegrad builds with on Debian 12, as far as it is missing. Needs root, or sudo.
set -eu

packages="g++ clang clang-format-14 clang-tidy-14 meson ninja-build pkg-config cmake python3 ccache libboost-dev libfmt-dev libxtensor-dev libxtensor-blas-dev
  libopenblas-dev libprotobuf-dev protobuf-compiler libonnx-dev libpng-dev libjpeg62-turbo-dev zlib1g-dev libcli11-dev
  doctest-dev python3-dev python3-numpy python3-venv pybind11-dev libbenchmark-dev libdnnl-dev dataset-fashion-mnist"

missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ]; then run=""; else run="sudo"; fi
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing"
$run apt-get update -qq
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null
