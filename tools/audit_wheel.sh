#!/usr/bin/env bash
# Prints the system libraries that a wheel needs, and its size:  bash tools/audit_wheel.sh WHEEL OUT
#
# Writes the wheel to OUT with its manylinux tag in the file name. Fails if the wheel does not satisfy
# any manylinux policy. Needs auditwheel and patchelf.
set -euo pipefail
wheel=$1 out=$2

# The libraries of torch are loaded before ours, so they must not be packed into the wheel.
auditwheel repair --exclude 'libtorch*.so' --exclude 'libc10*.so' --exclude 'libcudart.so*' \
  --wheel-dir "$out" "$wheel"
audited=$(find "$out" -name '*-manylinux_*.whl')
[ -n "$audited" ]
auditwheel show "$audited"
stat -c '%n: %s bytes' "$audited"
