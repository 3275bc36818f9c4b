#!/usr/bin/env bash
# Is what we publish what we say?  bash tools/check_wheel.sh [OUT]
#
# Makes the sdist, builds a wheel from the sdist alone in a fresh folder, asks auditwheel which
# system libraries it needs, and runs that one wheel beside three releases of torch.
# TORCHES names other releases, TORCH_SUFFIX another build (default +cpu). Needs g++, a pip index,
# and 3 GiB for the environments, one at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-dist}")
read -r -a torches <<< "${TORCHES:-2.11.0 2.12.0 2.13.0}"
suffix=${TORCH_SUFFIX-+cpu}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
step() { printf '\n=== %s (after %ss)\n' "$*" "$SECONDS"; }

environment() {  # a fresh one, instead of the last
  rm -rf "$work/environment"
  python3 -m venv "$work/environment"
  source "$work/environment/bin/activate"
}

step "sdist"
environment
pip install --quiet build auditwheel
python -m build --quiet --sdist --outdir "$out"
sdist=$(ls -t "$out"/reid_ext-*.tar.gz | head -1)
mkdir "$work/sources"
tar -xzf "$sdist" -C "$work/sources" --strip-components=1

step "a wheel from it, beside torch ${torches[0]}"  # the oldest: newer ones must take it
pip install --quiet "torch==${torches[0]}$suffix"
(cd "$work/sources" && python -m build --quiet --wheel --outdir "$work/wheel")
built=("$work"/wheel/*.whl)

step "its system libraries"
# torch's own libraries are in the process before ours: named here, so not packed
auditwheel repair --exclude 'libtorch*.so' --exclude 'libc10*.so' --exclude 'libcudart.so*' \
  --wheel-dir "$work/repaired" "${built[0]}"
cp "$work"/repaired/*.whl "$out"
wheel=$(ls -t "$out"/reid_ext-*.whl | head -1)
auditwheel show "$wheel"

for torch in "${torches[@]}"; do
  step "the wheel beside torch $torch"
  environment
  pip install --quiet "torch==$torch$suffix" "$wheel"
  (cd "$work" && reid-ext doctor)
done

step "sizes"
for file in "$sdist" "$wheel"; do
  printf '%s: %d bytes\n' "$(basename "$file")" "$(stat -c %s "$file")"
done
python -m zipfile --list "$wheel" | awk 'NR == 1 || /\.so/'
