#!/bin/sh
# Were the files built and linked as the option `hardened` says?
set -eu
for file in "$@"; do
  readelf -lW "$file" | grep -q GNU_RELRO || { echo "$file: tables of the linker stay writable"; exit 1; }
  readelf -dW "$file" | grep -q 'NOW' || { echo "$file: functions of libraries are looked up while it runs, in writable tables"; exit 1; }
  nm -D "$file" | grep -q '__stack_chk_fail' || { echo "$file: no frame of its functions is guarded"; exit 1; }
done
