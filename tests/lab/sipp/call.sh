#!/bin/bash
# SPDX-License-Identifier: MIT
#
# call.sh HOST:PORT NUMBER [COUNT] - place COUNT (1) SIP calls to NUMBER by SIPp, with real RTP.
#
#   TALK  ms until the caller hangs up (1000), or `callee`: wait until the far end hangs up
#   RATE  calls started each second (5)          PARALLEL  most calls at a time (COUNT)
#   LIMIT seconds for all of it (60)             WORK      directory for scenario, voice and logs
#
# Ends in one line: `calls 5 ok 5 failed 0`; exit status 0 if none failed. What SIPp says is in
# $WORK/sipp.log, its messages of failed calls in $WORK/errors.log.
set -euo pipefail
# shellcheck source=../../../tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../../tools/lib.sh"

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TARGET=${1:?usage: call.sh HOST:PORT NUMBER [COUNT]} NUMBER=${2:?} COUNT=${3:-1}
TALK=${TALK:-1000}
if [ -z "${WORK:-}" ]; then
	WORK=$(mktemp -d /tmp/vbsipp.XXXXXX)
	trap 'rm -rf "$WORK"' EXIT
fi
mkdir -p "$WORK"

# Each of these is a scenario's end: see bye-caller.xml and bye-callee.xml.
bye=caller
[ "$TALK" = callee ] && bye=callee
/usr/bin/python3 "$HERE/voice.py" "$WORK/voice.ulaw"
sed -e "/^ *@BYE@$/{r $HERE/bye-$bye.xml
d}" -e "s|@VOICE@|$WORK/voice.ulaw|" "$HERE/uac.xml" >"$WORK/scenario.xml"

args=(-sf "$WORK/scenario.xml" -s "$NUMBER" "$TARGET" -i 127.0.0.1 -m "$COUNT" -r "${RATE:-5}"
	-l "${PARALLEL:-$COUNT}" -nostdin -timeout "${LIMIT:-60}" -timeout_error
	-trace_err -error_file "$WORK/errors.log" -trace_stat -stf "$WORK/stat.csv" -fd 1)
[ "$bye" = caller ] && args+=(-d "$TALK")
rm -f "$WORK/stat.csv" "$WORK/errors.log"
rc=0
(cd "$WORK" && sipp "${args[@]}") >"$WORK/sipp.log" 2>&1 </dev/null || rc=$?
# The last line of the statistics; the columns are found by their names.
result=$(awk -F';' 'NR == 1 {for (i = 1; i <= NF; i++) col[$i] = i; next} {last = $0}
	END {split(last, f, ";"); print f[col["SuccessfulCall(C)"]] + 0, f[col["FailedCall(C)"]] + 0}' "$WORK/stat.csv" || echo 0 "$COUNT")
read -r ok failed <<<"$result"
say "calls $COUNT ok $ok failed $failed"
if ((rc != 0 || ok != COUNT)); then
	head -n 20 "$WORK/errors.log" >&2 2>/dev/null || tail -n 5 "$WORK/sipp.log" >&2
	exit 1
fi
