#!/bin/sh
# Builds ayatori.bpf.o, the same bytes on every machine with clang 16. OUT may name another file.
# Debian: clang-16 libbpf-dev linux-libc-dev
set -eu
cd "$(dirname "$0")"
out=${1:-ayatori.bpf.o}
include=/usr/include/$(uname -m)-linux-gnu
clang-16 -target bpf -mcpu=v3 -O2 -g -fno-strict-aliasing -fno-ident -fdebug-compilation-dir=. \
  -Wall -Wextra -Werror -Wno-unused-parameter -I"$include" -c ayatori.bpf.c -o "$out"
llvm-strip-16 -g "$out"
