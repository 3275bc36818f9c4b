#!/usr/bin/env bash
# Everything that needs a GPU, in one go:  bash benchmarks/gpu.sh [build|test|sanitize|bench]...
#
# Builds for the device at hand, runs the whole test suite with its CUDA half, checks the kernels
# with compute-sanitizer on a reduced suite, and writes benchmarks/results/<device>-*.json. Without
# arguments it does all of that. Needs a CUDA torch, nvcc, numpy, pytest, opencv and the build tools
# of pyproject.toml, but no network. Results go to $OUT as well, where that is set.
set -euo pipefail
cd "$(dirname "$0")/.."
parts=${*:-build test sanitize bench}
site=${REID_EXT_GPU_SITE:-$PWD/build/gpu-site}
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
step() { printf '\n=== %s (after %ss)\n' "$*" "$SECONDS"; }
wanted() { [[ " $parts " == *" $1 "* ]]; }

device=$(python3 -c "import torch; print(torch.cuda.get_device_name().replace(' ', '-').lower())")
architecture=$(python3 -c "import torch; print('%d%d' % torch.cuda.get_device_capability())")
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv

if wanted build; then
  step "build for $device, sm_$architecture"
  rm -rf "$site"
  REID_EXT_CUDA=ON CUDAARCHS="$architecture-real" python3 -m pip install --quiet --no-index \
    --no-deps --no-build-isolation --target "$site" .
  (cd / && python3 -c "import reid_ext; i = reid_ext.build_info(); print(i); \
assert i['cuda_ops'] == 'loaded'")
fi
if wanted test; then
  step "tests on $device"
  python3 -m pytest -q python_tests
fi
if wanted sanitize; then
  for tool in memcheck racecheck initcheck synccheck; do
    step "compute-sanitizer $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 --kernel-name-exclude regex:"at::native" \
      python3 -m pytest -q -x python_tests/test_{cosine,expat,fidi,mining,ranking,rerank,streaming,viewpoint}.py \
      -k "cuda and (reference or hand or two_runs or matches)"
  done
fi
if wanted bench; then
  step "benchmarks on $device"
  mkdir -p benchmarks/results
  for name in ops losses viewpoint evaluation rerank; do
    python3 "benchmarks/$name.py" --device cuda --json "benchmarks/results/$device-$name.json"
  done
  if [[ -n ${OUT:-} ]]; then cp "benchmarks/results/$device"-* "$OUT"; fi
fi
step "done: $parts"
