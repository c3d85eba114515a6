#!/usr/bin/env bash
# venv.sh PYTHON DIR: have a virtual environment in DIR; an interpreter that is too old is told of first.
set -euo pipefail

python=$1 folder=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || {
    echo "$python is missing or older than 3.11; name another: make PYTHON=python3.12 ..." >&2
    exit 1
}
# Debian keeps ensurepip, without which no environment has pip, in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$(dirname "$0")/system_package.sh" "ensurepip of python$version" "python$version-venv"
fi
[ -x "$folder/bin/pip" ] || "$python" -m venv --clear "$folder"
