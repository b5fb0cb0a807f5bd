#!/bin/sh
# SPDX-License-Identifier: MIT
#
# gather-call: asks the next caller for two digits and thanks for them, with curl and grep alone. The digits
# come back as a second request of the CPaaS, to the URL that the document names as the action.
#
# To try it, without any account:
#     voxbusd                                      with its defaults, in one terminal
#     examples/gather-call.sh                      in a second
#     examples/cpaas-sim --keys 12                 in a third: a simulated caller who presses 1 and 2
#
#   VOXBUS_URL                where voxbus serves HTTP     (http://127.0.0.1:8090)
#   VOXBUS_PUBLIC_URL         the same as the CPaaS sees it (VOXBUS_URL)
#   VOXBUS_SID, VOXBUS_TOKEN  the account, or VOXBUS_ACCOUNT: a file that sets the two
#                             ($XDG_STATE_HOME/voxbus/account: what voxbusd makes at its first start)
set -u
url=${VOXBUS_URL:-http://127.0.0.1:8090}
if [ -z "${VOXBUS_SID:-}" ] || [ -z "${VOXBUS_TOKEN:-}" ]; then
	# shellcheck source=/dev/null
	. "${VOXBUS_ACCOUNT:-${XDG_STATE_HOME:-$HOME/.local/state}/voxbus/account}" || exit 1
fi
queue=$url/$VOXBUS_SID/call.xml

# The token goes to curl by a pipe: arguments can be seen by everybody on the machine.
session=$(printf 'user = "%s:%s"\n' "$VOXBUS_SID" "$VOXBUS_TOKEN" | curl -fsS -K - "$url/auth") || exit 1

echo "waiting for a call at $queue"
call=
while [ -z "$call" ]; do
	messages=$(curl -fsS "$queue?session=$session&timeout=10s&max=1") || exit 1
	call=$(printf '%s\n' "$messages" | grep -oh "CA\w*" | head -n 1)
done

# Any path that ends in .xml is a place for calls; the query comes along, raw & and all.
action=$VOXBUS_SID/calls/events/NodeId-11/$call.xml
echo "asking $call for two digits"
curl -fsS "$queue/$call" -d @- <<XML
<Response>
	<Gather numDigits="2" finishOnKey="#" timeout="10" method="POST"
		action="${VOXBUS_PUBLIC_URL:-$url}/$action?event-type=gather-action&callId=callID&routeId=routeId&mediaRequestID=requestId">
		<Say>Please enter two digits</Say>
	</Gather>
	<Say>No digits detected</Say>
	<Hangup/>
</Response>
XML

messages=$(curl -fsS "$url/$action?session=$session&timeout=30s&max=1")
digits=$(printf '%s\n' "$messages" | grep -o "\"Digits\":\"\w*")
digits=${digits##*\"}
echo "Got Digits: $digits"
[ -n "$digits" ] || exit 1

curl -fsS "$url/$action/$call" -d @- <<XML
<Response>
	<Say>Thank you for entering $digits</Say>
	<Hangup/>
</Response>
XML
