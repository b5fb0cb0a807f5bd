# shellcheck shell=bash disable=SC2034 # the names are for those who source this
# SPDX-License-Identifier: MIT
#
# lab.sh - sourced by the lab's scripts: versions, where things lie, which ports an instance has.
#
#   VOXBUS_LAB  where the unpacked Asterisk lies (default: voxbus-lab in the user's cache directory,
#               so that all clones share one)
#   INSTANCE    directory of one running Asterisk (default: $VOXBUS_LAB/run<version>). Keep it short:
#               the control socket lies in it and a Unix socket's path has at most 107 bytes.
#   ASTERISK    `system`: the Asterisk that is installed on this machine instead of an unpacked one
#   PORTBASE    +88 is HTTP and ARI (TCP), +60 SIP (UDP), +200..+399 RTP (UDP), all on 127.0.0.1
#   RTP_FIRST, RTP_LAST  other ports for RTP: each call takes two

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../../tools/lib.sh
. "$LAB_DIR/../../../tools/lib.sh"

LAB=${VOXBUS_LAB:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/voxbus-lab}
VERSION=${1:-22}
case $VERSION in
22) SUITE=sid PORTBASE=${PORTBASE:-16000} ;;
16) SUITE=bullseye PORTBASE=${PORTBASE:-16400} ;;
*) die "Asterisk $VERSION: the lab knows 22 and 16" ;;
esac
AST_ROOT=$LAB/asterisk$VERSION
[ "${ASTERISK:-}" = system ] && AST_ROOT=
INSTANCE=${INSTANCE:-$LAB/run$VERSION}
PID_FILE=$INSTANCE/asterisk.pid
HTTP_PORT=$((PORTBASE + 88))
SIP_PORT=$((PORTBASE + 60))
RTP_FIRST=${RTP_FIRST:-$((PORTBASE + 200))} RTP_LAST=${RTP_LAST:-$((PORTBASE + 399))}

# asterisk_at ROOT ARGUMENT... - run the Asterisk below ROOT with its own loader and libraries.
asterisk_at() {
	local root=$1
	shift
	"$root/ld.so" --library-path "$(library_path "$root")" "$root/usr/sbin/asterisk" "$@"
}

library_path() { printf '%s' "$1/lib/x86_64-linux-gnu:$1/usr/lib/x86_64-linux-gnu:$1/usr/lib"; }

# Newer packages have their modules in the multi-arch directory, older ones (16) do not.
modules_of() {
	local dir=$1/usr/lib/x86_64-linux-gnu/asterisk/modules
	[ -d "$dir" ] || dir=$1/usr/lib/asterisk/modules
	printf '%s' "$dir"
}

# instance_pid - print the pid of the instance's Asterisk; fails if it does not run.
instance_pid() {
	local pid
	pid=$(cat "$PID_FILE" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && printf '%s' "$pid"
}
