#!/usr/bin/env bash
# system_package.sh COMMAND PACKAGE: have COMMAND, by Debian's PACKAGE if need be and we are root; else exit 1.
set -euo pipefail

command -v "$1" > /dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    if { apt-get update && apt-get install -y --no-install-recommends "$2"; } > "$log" 2>&1; then
        rm "$log"
        exit 0
    fi
    tail -n 5 "$log" >&2
    rm "$log"
fi
echo "missing: $1 (Debian: apt install $2)" >&2
exit 1
