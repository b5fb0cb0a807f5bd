#!/bin/bash
# SPDX-License-Identifier: MIT
#
# stop.sh [22|16] [TERM|KILL] - stop the Asterisk of $INSTANCE, by its pid only.
# KILL is for tests of a crash. Nothing to stop is no error.
set -euo pipefail
# shellcheck source=lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"

if pid=$(instance_pid); then
	[ "${2:-TERM}" = KILL ] && kill -9 "$pid"
	stop_pid "$pid"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
	say "asterisk $VERSION pid $pid stopped"
fi
rm -f "$PID_FILE" "$INSTANCE"/run/*
