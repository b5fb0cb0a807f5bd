#!/bin/sh
# SPDX-License-Identifier: MIT
#
# hello-call: says "Hello World" to the next caller, with curl and grep alone. A CPaaS posts the call to
# call.xml and is kept waiting; we poll the call from there and post what it shall do.
#
# To try it, without any account:
#     voxbusd                      with its defaults, in one terminal
#     examples/hello-call.sh       in a second
#     examples/cpaas-sim           in a third: a simulated caller; Ctrl-C hangs up
#
#   VOXBUS_URL                where voxbus serves HTTP     (http://127.0.0.1:8090)
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
	# FormParams are sorted, and nothing before CallSid has an upper-case CA: the first one is it.
	call=$(printf '%s\n' "$messages" | grep -oh "CA\w*" | head -n 1)
done

echo "answering $call"
curl -fsS "$queue/$call" -d @- <<XML
<Response>
	<Say>Hello World</Say>
	<Redirect>/$VOXBUS_SID/call.xml</Redirect>
</Response>
XML
