#!/usr/bin/env bash
# What only a GPU can show, in one short run: agreement with the CPU, speed, waits, the paper's own size.
#     scripts/gpu_check.sh --bring                  before, where pip works: the wheels that a bare machine may lack
#     scripts/gpu_check.sh --bring-all              the same with NumPy and SciPy, five times as much
#     scripts/gpu_check.sh [--minutes 10] [--out docs/results] [--device cuda:0] [--tiny]
# Needs Python 3.12 with PyTorch and no network; writes gpu.json and gpu.md. PYTHON chooses the interpreter.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
wheels=$root/.wheels
python=${PYTHON:-python3}
began=$(date +%s)

# What the checks import in addition to PyTorch, and the packages that bring it. Those of one line are of one making.
light='pydantic pydantic pydantic-core typing-extensions typing-inspection annotated-types
tomli_w tomli-w
safetensors safetensors
PIL pillow'
heavy='numpy numpy
scipy scipy'

bring() {
    local packages
    packages=$(cut -d ' ' -f 2- <<< "$1")
    rm -rf "$wheels"
    # shellcheck disable=SC2086  # one word a package
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --constraint "$root/constraints.txt" --dest "$wheels" $packages
    du -sh "$wheels"
}

# Install what cannot be imported, next to the wheels; what is there already stays as it is.
install_missing() {
    local module packages
    while read -r module packages; do
        "$python" -c "import $module" &> /dev/null < /dev/null && continue
        echo "$module is missing: installing $packages from $wheels" >&2
        # shellcheck disable=SC2086
        "$python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" --no-deps \
            --no-compile --target "$site" $packages < /dev/null || {
            echo "run scripts/gpu_check.sh --bring (or --bring-all) first where pip works, and take .wheels along" >&2
            exit 2
        }
    done <<< "$light"$'\n'"$heavy"
}

case "${1:-}" in
    --bring) bring "$light"; exit ;;
    --bring-all) bring "$light"$'\n'"$heavy"; exit ;;
esac

site=$wheels/site-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
export PYTHONPATH=$root/src:$site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
install_missing
exec "$python" "$root/scripts/gpu_check.py" --began "$began" "$@"
