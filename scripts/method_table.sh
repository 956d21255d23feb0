#!/usr/bin/env bash
# Prints a Markdown table of every method on every real model of the shared data, and why the others refuse: method_table.sh [BUILD]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
ninja -C "$build" tests/method_table >&2
exec "$build/tests/method_table" "${@:2}"
