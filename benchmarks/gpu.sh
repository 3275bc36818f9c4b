#!/usr/bin/env bash
# Runs everything that needs a GPU:  bash benchmarks/gpu.sh [build|test|sanitize|bench]...
#
# Builds for the GPU of this machine, runs the CUDA tests, checks every op with compute-sanitizer, and
# writes benchmarks/results/<device>-*.json. Without arguments, runs all four parts in at most nine
# minutes on 16 cores, as each step has a time limit. A failed step does not stop the others; the
# failed steps are listed at the end. Needs a CUDA torch, nvcc, numpy, pytest, opencv and the build
# tools of pyproject.toml, but no network. If OUT is set, copies the results there as well.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
parts=${*:-build test sanitize bench}
for part in $parts; do
  case $part in
    build | test | sanitize | bench) ;;
    *) echo "gpu.sh: each argument must be build, test, sanitize or bench, got $part" >&2; exit 2 ;;
  esac
done
site=${REID_EXT_GPU_SITE:-$PWD/build/gpu-site}
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
wanted() { [[ " $parts " == *" $1 "* ]]; }
failed=()
step() {  # arguments: time limit in seconds, name, command
  local limit=$1 name=$2
  shift 2
  printf '\n=== %s (after %ss, at most %ss)\n' "$name" "$SECONDS" "$limit"
  timeout "$limit" "$@" && return
  failed+=("$name: status $?")  # status 124 means the time limit was reached
  return 1
}
finish() {
  printf '\n=== done in %ss: %s\n' "$SECONDS" "$parts"
  ((${#failed[@]} == 0)) && exit 0
  printf 'FAILED  %s\n' "${failed[@]}"
  exit 1
}

describe="import torch; major, minor = torch.cuda.get_device_capability()
print(torch.cuda.get_device_name().replace(' ', '-').lower(), f'{major}{minor}')"
read -r device architecture < <(python3 -c "$describe") || { echo "gpu.sh: no CUDA device found"; exit 1; }
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm --format=csv

install() {
  rm -rf "$site"
  REID_EXT_CUDA=ON CUDAARCHS="$architecture-real" python3 -m pip install --quiet --no-index \
    --no-deps --no-build-isolation --target "$site" . &&
    (cd / && python3 -c "import reid_ext; i = reid_ext.build_info(); print(i); \
assert i['cuda_ops'] == 'loaded', i['cuda_ops']")
}
export -f install
export site architecture
if wanted build; then
  step 150 "build for $device, sm_$architecture" bash -c install || finish
fi
if wanted test; then
  workers=()
  if python3 -c "import xdist" 2>/dev/null; then workers=(-n 8); fi
  step 150 "tests on $device" python3 -m pytest -q python_tests -k cuda ${workers[@]+"${workers[@]}"}
fi
if wanted sanitize; then
  only=()  # only our kernels, if this version can filter; else also those of torch
  if compute-sanitizer --help 2>&1 | grep -q -- --kernel-regex; then
    only=(--kernel-regex kns=reid_ext)
  fi
  for tool in memcheck racecheck initcheck synccheck; do
    # the caching allocator of torch would hide accesses beyond a tensor, and reuse memory
    step 25 "compute-sanitizer $tool" env PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
      compute-sanitizer --tool "$tool" --error-exitcode 9 ${only[@]+"${only[@]}"} \
      python3 -m pytest -q -x python_tests/ops/test_cuda.py -k two_runs
  done
fi
if wanted bench; then
  mkdir -p benchmarks/results
  for name in ops losses viewpoint evaluation rerank; do
    step 25 "benchmarks/$name.py on $device" python3 "benchmarks/$name.py" --device cuda \
      --seconds 0.2 --json "benchmarks/results/$device-$name.json"
  done
  if [[ -n ${OUT:-} ]]; then cp "benchmarks/results/$device"-*.json "$OUT"; fi
fi
finish
