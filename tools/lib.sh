# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# lib.sh - sourced by the project's scripts: words to the terminal, progress, locks, ports.
#
# The one idea: nobody looks at a silent terminal for longer than two seconds. `progress` runs a
# command with its output in a log and shows a running clock (a spinner on a terminal, a line every
# few seconds elsewhere); if the command fails, the end of the log follows at once.

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
	warn "$*"
	exit 1
}

# Microseconds since some fixed moment; tenths TEXT-of-microseconds -> "3.2".
now_us() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }
tenths() { printf '%d.%d' $(($1 / 1000000)) $(($1 % 1000000 / 100000)); }

# progress TITLE LOG COMMAND... - run COMMAND with its output in LOG and tell how it goes.
# Short commands (under two seconds) print one line when they end, and none if QUIET is set.
# PROGRESS_TAIL is how many lines of the log are shown on failure (30). Returns COMMAND's status.
# COMMAND runs in a process group of its own (set -m), which Ctrl-C and SIGTERM end with us.
progress() {
	local title=$1 log=$2 start pid rc=0 shown=0 spin='|/-+' ticks=0 took traps
	shift 2
	start=$(now_us)
	set -m
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	traps=$(trap -p INT TERM)
	trap 'progress_interrupted "$pid" "$traps" INT' INT
	trap 'progress_interrupted "$pid" "$traps" TERM' TERM
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
		ticks=$((ticks + 1))
		((ticks < 10)) && continue
		if [ -t 1 ]; then
			shown=1
			printf '\r  %s %s %ds ' "${spin:ticks%4:1}" "$title" $((ticks / 10))
		elif ((ticks == 20 || ticks % 100 == 0)); then
			printf '  ... %s %ds\n' "$title" $((ticks / 10))
		fi
	done
	wait "$pid" || rc=$?
	trap - INT TERM
	eval "$traps"
	took=$(($(now_us) - start))
	((shown)) && printf '\r\033[K'
	if ((rc)); then
		printf '  %-46s %6ss FAIL\n' "$title" "$(tenths "$took")"
		tail -n "${PROGRESS_TAIL:-30}" "$log" | sed 's/^/    | /'
	elif [ -z "${QUIET:-}" ] || ((took > 2000000)); then
		printf '  %-46s %6ss ok\n' "$title" "$(tenths "$took")"
	fi
	return "$rc"
}

# SIGINT, since that is what programs tidy up after; then go on as if the signal came now.
progress_interrupted() {
	local i
	trap - INT TERM
	kill -INT -- "-$1" 2>/dev/null || true
	for ((i = 0; i < 100; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL -- "-$1" 2>/dev/null || true
	eval "$2"
	kill -"$3" $$
}

# lock FILE TEXT - hold FILE's lock until this shell ends; says TEXT when somebody else holds it.
lock() {
	exec 9>"$1"
	flock -n 9 && return 0
	say "$2"
	flock 9
}

# tcp_busy PORT, udp_busy PORT - does a socket of this machine listen there, on whatever address?
tcp_busy() { port_in 0A "$1" /proc/net/tcp /proc/net/tcp6; }
udp_busy() { port_in 07 "$1" /proc/net/udp /proc/net/udp6; }
port_in() {
	local state=$1 hex
	printf -v hex '%04X' "$2"
	shift 2
	cat "$@" 2>/dev/null | awk -v p=":$hex$" -v s="$state" '$2 ~ p && $4 == s {f = 1} END {exit !f}'
}

# stop_pid PID [SECONDS] - SIGTERM, then SIGKILL when it has not gone after SECONDS (5).
stop_pid() {
	local pid=$1 i
	kill "$pid" 2>/dev/null || return 0
	for ((i = 0; i < ${2:-5} * 20; i++)); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.05
	done
	warn "process $pid does not end, killing it"
	kill -9 "$pid" 2>/dev/null || true
}
