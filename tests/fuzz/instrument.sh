#!/bin/sh
# Stands in front of rustc for the packages of this workspace (RUSTC_WORKSPACE_WRAPPER) and adds the coverage that libFuzzer
# steers by. These are passes of LLVM's own, so the pinned stable compiler has them. Dependencies are left as the tests build
# them, and are not built again.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
