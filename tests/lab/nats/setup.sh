#!/bin/bash
# SPDX-License-Identifier: MIT
#
# setup.sh - install the npm package `nats`, the foreign client of the live tests, below the lab directory.
#
# Prints the directory that has it (node_modules in it). What is there already is kept; it is made in a
# directory of its own and renamed at the end, and a lock makes concurrent runs wait for the first.
#
#   VOXBUS_LAB  where it goes (default: voxbus-lab in the user's cache directory)
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../../tools/lib.sh
. "$HERE/../../../tools/lib.sh"

LAB=${VOXBUS_LAB:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/voxbus-lab}
TARGET=$LAB/nats

is_whole() { cmp -s "$HERE/package.json" "$1/package.json" && [ -d "$1/node_modules/nats" ]; }

main() {
	command -v npm >/dev/null || die "npm is missing: apt-get install nodejs npm"
	mkdir -p "$LAB"
	lock "$LAB/nats.lock" "waiting for another setup.sh" >&2
	if ! is_whole "$TARGET"; then
		rm -rf "$TARGET" "$TARGET.new"
		mkdir "$TARGET.new"
		cp "$HERE/package.json" "$TARGET.new/"
		(cd "$TARGET.new" && npm install --no-audit --no-fund --loglevel=error >&2)
		mv "$TARGET.new" "$TARGET"
	fi
	say "$TARGET"
}

main
