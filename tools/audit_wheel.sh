#!/usr/bin/env bash
# What a wheel needs of a system, and its size:  bash tools/audit_wheel.sh WHEEL OUT
#
# Leaves it in OUT under the name that says on which systems it runs; stops if that is on none but
# this one. Needs auditwheel and patchelf.
set -euo pipefail
wheel=$1 out=$2

# torch's own libraries are in the process before ours: named here, so they are not packed
auditwheel repair --exclude 'libtorch*.so' --exclude 'libc10*.so' --exclude 'libcudart.so*' \
  --wheel-dir "$out" "$wheel"
audited=$(find "$out" -name '*-manylinux_*.whl')
[ -n "$audited" ]
auditwheel show "$audited"
stat -c '%n: %s bytes' "$audited"
