#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sms-loop: waits for a text message and prints it, with curl and grep alone. A CPaaS posts messages to the
# queue SMS; an empty answer has nothing for grep, so that we ask again.
#
# To try it, without any account:
#     voxbusd                                      with its defaults, in one terminal
#     examples/sms-loop.sh                         in a second
#     examples/cpaas-sim --sms 'See you at 5'      in a third: somebody writes
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

# The token goes to curl by a pipe: arguments can be seen by everybody on the machine.
session=$(printf 'user = "%s:%s"\n' "$VOXBUS_SID" "$VOXBUS_TOKEN" | curl -fsS -K - "$url/auth?ttl=24h") || exit 1

until
	messages=$(curl -fsS "$url/$VOXBUS_SID/SMS?session=$session") || exit 1
	printf '%s\n' "$messages" | grep Sid
do
	:
done
