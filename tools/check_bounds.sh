#!/usr/bin/env bash
# Runs the core tests with the oldest and the newest supported releases:
#
#   bash tools/check_bounds.sh [ENV ...]        default: oldest python3.12 python3.13
#
# "oldest" is the lowest Python of requires-python with the lower bound of every requirement in
# pyproject.toml. An environment such as "python3.13" is that Python with the newest releases. Each is
# built from a copy of the sources in a fresh environment. Needs these Pythons, g++, a pip index, and
# 8 GiB in WORK, since there is one environment at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- oldest python3.12 python3.13
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
step() { printf '\n=== %s (after %ss)\n' "$*" "$SECONDS"; }
core=(build cosine expat fidi triplet mining nearest ranking streaming evaluation rerank
  models images samplers checkpoint market1501 synthetic cli report viz)

lower_bounds() {  # requirements "name>=1.2" of the build, the package and its tests as "name==1.2"
  grep -E '^(requires|dependencies|test|viz) = ' pyproject.toml |
    grep -oE '"[a-z0-9-]+>=[0-9.]+"' | tr -d '"' | sed 's/>=/==/'
}

mkdir -p "$work"
rm -rf "$work/sources"
mkdir "$work/sources"
git ls-files -z | xargs -0 cp --parents -t "$work/sources"
for name in "$@"; do
  step "$name"
  python=$name
  export PIP_CONSTRAINT=$work/constraints  # also applies to the isolated build environment
  : > "$PIP_CONSTRAINT"
  if [ "$name" = oldest ]; then
    python=python$(sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)
    lower_bounds | tee "$PIP_CONSTRAINT"
  fi
  [ -d "$work/$name" ] || "$python" -m venv "$work/$name"
  source "$work/$name/bin/activate"
  pip install --quiet torch
  rm -rf "$work/sources/build"
  REID_EXT_CUDA=OFF pip install --quiet "$work/sources[test,viz]"
  pip freeze | grep -iE '^(torch|numpy|opencv|scipy|h5py|pytest|hypothesis|matplotlib)'
  (cd "$work/sources" && rm -rf reid_ext &&
    python -c "import sys, reid_ext; print(sys.version.split()[0], reid_ext.build_info())" &&
    pytest -q $(printf 'python_tests/*/test_%s.py ' "${core[@]}"))
  cp -r reid_ext "$work/sources"
  deactivate
  [ -n "${WORK:-}" ] || rm -rf "${work:?}/$name"
done
