#!/bin/bash
# SPDX-License-Identifier: MIT
#
# hello: a whole telephone application with curl and jq. It answers every call of the application
# "hello", says hello and hangs up; calls run side by side.
#
#   VOXBUS_URL          where voxbus serves HTTP     (http://127.0.0.1:8090)
#   VOXBUS_APPLICATION  the application's name       (hello)
#   VOXBUS_SOUND        what it plays                (sound:hello-world)
#   VOXBUS_SID, VOXBUS_TOKEN, or VOXBUS_ACCOUNT: a file of two lines, VOXBUS_SID=.. and VOXBUS_TOKEN=..
#                       ($XDG_STATE_HOME/voxbus/account: what voxbusd makes at its first start)
set -u
url=${VOXBUS_URL:-http://127.0.0.1:8090}
application=${VOXBUS_APPLICATION:-hello}
sound=${VOXBUS_SOUND:-sound:hello-world}
account=${VOXBUS_ACCOUNT:-${XDG_STATE_HOME:-$HOME/.local/state}/voxbus/account}
if [ -z "${VOXBUS_SID:-}" ] || [ -z "${VOXBUS_TOKEN:-}" ]; then
	# shellcheck source=/dev/null
	. "$account" || { echo "hello: no account: set VOXBUS_SID and VOXBUS_TOKEN" >&2; exit 1; }
fi
me=$VOXBUS_SID:$VOXBUS_TOKEN
state=$(mktemp)

say() { printf '%(%H:%M:%S)T %s\n' -1 "$*"; }

# The session, from /auth; the account's token goes to curl by a pipe, not by its arguments.
auth() {
	until curl -fsS -K <(printf 'user = "%s"\n' "$me") -o "$state" "$url/auth?ttl=12h"; do sleep 1; done
}
# request METHOD TOPIC [BODY]: prints the answer; gets a new session when the old one has expired.
request() {
	local status out
	while :; do
		out=$(curl -sS -X "$1" -H "Authorization: $(<"$state")" ${3:+-H 'Content-Type: application/json' -d "$3"} \
			-w '\n%{http_code}' \
			"$url/$VOXBUS_SID/$2") || { sleep 1; continue; }
		status=${out##*$'\n'}
		case $status in
		200) printf '%s\n' "${out%$'\n'*}"; return 0 ;;
		401) auth ;;
		429 | 503) sleep 1 ;;
		*) say "$1 $2: ${out%$'\n'*}" >&2; return 1 ;;
		esac
	done
}
# The messages of a topic as they come, one a line; nothing after the time-out.
poll() { request GET "$1?timeout=${2:-5m}" | jq -c '.[]'; }
# order DIALOG METHOD URL [BODY]
order() {
	request POST "commands_$1" "$(jq -cn --arg m "$2" --arg u "$3" --arg b "${4:-{\}}" \
		'{unique_id:"", url:$u, method:$m, body:$b}')" >/dev/null
}

# One call, from its first event to its last.
call() {
	local dialog=$1 events type channel
	while events=$(poll "events_$dialog" 1m) && [ -n "$events" ]; do
		while IFS=$'\t' read -r type channel; do
			say "$dialog $type ${channel:-}"
			case $type in
			StasisStart)
				order "$dialog" POST "/channels/$channel/answer"
				order "$dialog" POST "/channels/$channel/play" "{\"media\":\"$sound\"}" ;;
			PlaybackFinished) order "$dialog" DELETE "/channels/$channel" ;;
			StasisEnd) return ;;
			esac
		done < <(jq -r '(.ari_body | fromjson) as $e | [$e.type,
			($e.channel.id // ($e.playback.target_uri // "" | ltrimstr("channel:")))] | @tsv' <<<"$events")
	done
	say "$dialog has gone silent"
}

serve() {
	auth
	say "waiting for calls of \"$application\" at $url"
	while :; do
		for dialog in $(poll "$application" | jq -r .dialog_id); do
			call "$dialog" &
		done
	done
}

# A process group of its own, so that nothing is left behind that takes calls: not even a curl.
set -m
serve &
trap 'kill -- -$! 2>/dev/null; rm -f "$state"' EXIT
trap exit INT TERM
wait
