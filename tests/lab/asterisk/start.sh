#!/bin/bash
# SPDX-License-Identifier: MIT
#
# start.sh [22|16] - start one Asterisk in the background and return when its ARI answers.
#
# Renders conf/ into $INSTANCE/etc; ports and directories are those of lab.sh. ARI users: ari (secret)
# and ro (secret), the latter read-only. Any number of instances run side by side if each has an
# INSTANCE and a PORTBASE of its own. Prints one line: version, pid, ARI address, SIP address.
set -euo pipefail
# shellcheck source=lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"

ARI=http://127.0.0.1:$HTTP_PORT/ari

render() {
	local modules file line module program
	modules=$(modules_of "$AST_ROOT")
	mkdir -p "$INSTANCE"/{etc,run,log/cdr-csv,spool/recording,spool/monitor,spool/tmp,db,keys}
	for file in "$LAB_DIR"/conf/*.conf; do
		sed -e "s|@ROOT@|$AST_ROOT|g;s|@INSTANCE@|$INSTANCE|g;s|@MODULES@|$modules|g" \
			-e "s|@HTTP@|$HTTP_PORT|g;s|@SIP@|$SIP_PORT|g" \
			-e "s|@RTP_FIRST@|$RTP_FIRST|g;s|@RTP_LAST@|$RTP_LAST|g" \
			"$file" >"$INSTANCE/etc/${file##*/}"
	done
	# The list holds what either version needs; a module that this one lacks would be an error.
	while read -r line; do
		module=${line#load=}
		if [ "$module" = "$line" ] || [ -e "$modules/$module" ]; then
			printf '%s\n' "$line"
		fi
	done <"$LAB_DIR/conf/modules.conf" >"$INSTANCE/etc/modules.conf"
	# The program by its short name, also for a look inside: $INSTANCE/asterisk -rx 'core show channels'
	program=("$AST_ROOT/ld.so" --library-path "$(library_path "$AST_ROOT")" "$AST_ROOT/usr/sbin/asterisk")
	[ -n "$AST_ROOT" ] || program=("$(command -v asterisk)")
	printf '#!/bin/sh\nexec %s -C %q "$@"\n' "${program[*]@Q}" "$INSTANCE/etc/asterisk.conf" >"$INSTANCE/asterisk"
	chmod +x "$INSTANCE/asterisk"
}

main() {
	local pid i
	[ -z "$AST_ROOT" ] || [ -e "$AST_ROOT/.done" ] || die "there is no Asterisk $VERSION yet: run setup.sh $VERSION"
	mkdir -p "$INSTANCE"
	INSTANCE=$(cd "$INSTANCE" && pwd)
	((${#INSTANCE} <= 90)) || die "$INSTANCE is too long a path for Asterisk's control socket"
	if pid=$(instance_pid); then
		die "an Asterisk runs already in $INSTANCE (pid $pid)"
	fi
	tcp_busy "$HTTP_PORT" && die "port $HTTP_PORT is taken by another program; set PORTBASE"
	udp_busy "$SIP_PORT" && die "UDP port $SIP_PORT is taken by another program; set PORTBASE"
	render
	ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
	# In a session of its own, so that Ctrl-C at the terminal leaves it to stop.sh.
	setsid "$INSTANCE/asterisk" -f -n -q >"$INSTANCE/log/stdout" 2>&1 </dev/null 9>&- &
	pid=$!
	echo "$pid" >"$PID_FILE"
	for ((i = 0; i < 200; i++)); do
		if curl -fsS -m 1 -o "$INSTANCE/log/ping" -u ari:secret "$ARI/asterisk/ping" 2>/dev/null; then
			say "asterisk $VERSION pid $pid ari $ARI sip 127.0.0.1:$SIP_PORT"
			return
		fi
		kill -0 "$pid" 2>/dev/null || break
		((i == 40)) && say "  ... waiting for Asterisk's ARI"
		sleep 0.05
	done
	tail -n 20 "$INSTANCE/log/stdout" "$INSTANCE/log/messages" >&2 || true
	stop_pid "$pid"
	rm -f "$PID_FILE"
	die "Asterisk does not answer on $ARI"
}

main
