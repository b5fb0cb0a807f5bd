#!/bin/bash
# SPDX-License-Identifier: MIT
#
# call.sh KIND [COUNT] - make calls without a telephone.
#
#   wait|ring|busy|dtmf|echo|user  a Local channel: one end in Stasis($APP), the other runs that
#                                  extension of the context `far` (see conf/extensions.conf)
#   sip [COUNT]                    COUNT SIP calls with RTP to $EXTEN by SIPp; the caller hangs up after
#                                  $TALK ms (1000). RATE calls a second (5). See ../sipp/README.md
#
# APP (hello) is the application of the Local calls, EXTEN (7000) the number that SIPp dials.
# AST_VERSION (22), INSTANCE and PORTBASE choose the Asterisk.
set -euo pipefail
KIND=${1:-wait} COUNT=${2:-1}
# shellcheck source=lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh" "${AST_VERSION:-22}"

case $KIND in
wait | ring | busy | dtmf | echo | user)
	for ((i = 1; i <= COUNT; i++)); do
		curl -fsS -u ari:secret -X POST -o /dev/null \
			"http://127.0.0.1:$HTTP_PORT/ari/channels?endpoint=Local/$KIND@far/n&app=${APP:-hello}&appArgs=$KIND,$i"
	done
	;;
sip)
	exec "$LAB_DIR/../sipp/call.sh" "127.0.0.1:$SIP_PORT" "${EXTEN:-7000}" "$COUNT"
	;;
*)
	die "KIND is one of wait, ring, busy, dtmf, echo, user, sip"
	;;
esac
