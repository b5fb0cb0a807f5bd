#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deps.sh [run|test] - install the Debian packages that ./run or ./test need, those that are missing only.
# Needs root or sudo for that; without either it says what to install and fails. When all is there it
# takes some hundredths of a second.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

RUN=(meson ninja-build pkg-config gcc libc6-dev libuv1-dev node-llhttp libwslay-dev libcjson-dev
	libyaml-dev libssl-dev zlib1g-dev libnats-dev libjemalloc-dev debian-archive-keyring sip-tester curl jq python3)
TEST=(libcmocka-dev clang clang-tidy clang-format libclang-rt-14-dev cppcheck gcovr python3-pytest openssl
	shellcheck git rabbitmq-server python3-pika nats-server)
# The foreign client of the NATS tests is an npm package; a node from elsewhere brings its npm.
command -v npm >/dev/null || TEST+=(nodejs npm)

missing() {
	local have
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
	for package; do
		[[ $'\n'$have$'\n' == *$'\n'"installed $package"$'\n'* ]] || printf '%s\n' "$package"
	done
}

# sudo without a question, or with somebody there to answer it.
may_sudo() { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }

# install_stopped PACKAGE... - without a broker that the system runs from now on: the tests start their own.
# shellcheck disable=SC2317 # called by install
install_stopped() {
	local policy=/usr/sbin/policy-rc.d ours=0 status=0
	if [ ! -e "$policy" ]; then
		ours=1
		printf '#!/bin/sh\nexit 101\n' | "${SUDO[@]}" tee "$policy" >/dev/null
		"${SUDO[@]}" chmod 755 "$policy"
	fi
	"${SUDO[@]}" apt-get -q -y install --no-install-recommends "$@" || status=$?
	if ((ours)); then "${SUDO[@]}" rm -f "$policy"; fi
	if command -v systemctl >/dev/null; then
		"${SUDO[@]}" systemctl -q disable rabbitmq-server.service epmd.socket nats-server.service || true
	fi
	return "$status"
}

# shellcheck disable=SC2317 # called by progress
install() {
	export DEBIAN_FRONTEND=noninteractive
	"${SUDO[@]}" apt-get -q update
	case " $* " in
	*" rabbitmq-server "* | *" nats-server "*) install_stopped "$@" ;;
	*) "${SUDO[@]}" apt-get -q -y install --no-install-recommends "$@" ;;
	esac
}

main() {
	local wanted=("${RUN[@]}") lacking log
	case ${1:-run} in
	run) ;;
	test) wanted+=("${TEST[@]}") ;;
	*) die "usage: deps.sh [run|test]" ;;
	esac
	command -v dpkg-query >/dev/null || die "this is no Debian; it needs what these packages hold: ${wanted[*]}"
	mapfile -t lacking < <(missing "${wanted[@]}")
	((${#lacking[@]})) || return 0
	SUDO=()
	if ((EUID != 0)); then
		may_sudo || die "these packages are missing, and it takes root to install them:
  apt-get install ${lacking[*]}"
		SUDO=(sudo)
		sudo true
	fi
	say "installing ${#lacking[@]} packages: ${lacking[*]}"
	log=$(mktemp)
	# shellcheck disable=SC2064 # the name of now
	trap "rm -f '$log'" EXIT
	progress "apt-get install" "$log" install "${lacking[@]}"
}

main "$@"
