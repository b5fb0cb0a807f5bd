#!/bin/bash
# SPDX-License-Identifier: MIT
#
# setup.sh [22|16] - unpack a real Asterisk below the lab directory; needs no root and installs nothing.
#
# 22 comes from Debian's sid, 16 from bullseye: apt (with a state of its own, so that the machine's
# stays as it is, and with signatures checked) downloads the packages that the loaded modules need,
# dpkg-deb unpacks them, and Asterisk runs by its own ld.so. What is there already is checked and
# kept. Everything is built in a directory of its own and renamed at the end, so that a failed or
# broken-off run leaves nothing half; a lock makes concurrent runs wait for the first.
#
#   VOXBUS_LAB  see lab.sh      MIRROR   the Debian mirror (default: the one of this machine's apt)
#   FORCE=1     make it afresh  KEYRING  default: debian-archive-keyring
set -euo pipefail
# shellcheck source=lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"

KEYRING=${KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
PACKAGES_BOTH="asterisk asterisk-modules asterisk-core-sounds-en-gsm libc6 libcap2 libcrypt1 libedit2
	libgcc-s1 libjansson4 libpopt0 libsqlite3-0 libstdc++6 libsystemd0 liburiparser1 libuuid1
	libxslt1.1 libzstd1 zlib1g libtinfo6 libbsd0 libmd0 libsrtp2-1 libgsm1 libresample1"
# shellcheck disable=SC2034 # used by its made-up name
PACKAGES_22="libssl3t64 libxml2-16"
# shellcheck disable=SC2034
PACKAGES_16="libssl1.1 libxml2 libicu67 liblzma5 liblz4-1 libgcrypt20 libgpg-error0"

# Is the Asterisk below $1 whole? It must start, and say its version.
is_whole() { [ -e "$1/.done" ] && asterisk_at "$1" -V 2>/dev/null | grep -q "^Asterisk $VERSION\."; }

# The Debian mirror that this machine's apt uses already.
mirror() {
	local uris
	if [ -n "${MIRROR:-}" ]; then
		say "$MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # apt's placeholders, not the shell's
	uris=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null)
	uris=$(printf '%s\n' "$uris" | awk '$2 == "Debian" && !/security/ {print $1; exit}')
	[ -n "$uris" ] || die "no Debian mirror in apt's sources (run apt-get update, or set MIRROR)"
	say "$uris"
}

# A private apt: own lists, own cache, no package counted as installed.
write_apt_state() {
	local apt=$1 url=$2
	mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc/parts,debs}
	: >"$apt/status"
	echo "deb [signed-by=$KEYRING] $url $SUITE main" >"$apt/etc/sources.list"
	cat >"$apt/apt.conf" <<-END
		Dir::State "$apt";
		Dir::State::lists "lists";
		Dir::State::status "$apt/status";
		Dir::Cache "$apt/cache";
		Dir::Etc "$apt/etc";
		Dir::Etc::sourcelist "sources.list";
		Dir::Etc::sourceparts "parts";
		Dir::Etc::preferencesparts "parts";
		Dir::Etc::parts "/etc/apt/apt.conf.d";
		APT::Architecture "amd64";
		APT::Architectures "amd64";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Acquire::Check-Valid-Until "false";
		Acquire::Retries "2";
	END
}

# shellcheck disable=SC2317,SC2086 # called by progress; the package lists are words
download() {
	local extra=PACKAGES_$VERSION
	export APT_CONFIG=$1/apt.conf
	apt-get -q update
	cd "$1/debs"
	apt-get -q download $PACKAGES_BOTH ${!extra}
}

# shellcheck disable=SC2317 # called by progress
unpack() {
	local work=$1 root=$1/root deb
	mkdir -p "$root"
	for deb in "$work"/apt/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" -x --exclude=./usr/share/doc \
			--exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/i18n \
			--exclude=./usr/lib/x86_64-linux-gnu/gconv --exclude='./etc/*'
	done
	keep_loaded_modules "$root"
	link_loader "$root"
	ln -s en_US_f_Allison "$root/usr/share/asterisk/sounds/en"
	check_libraries "$root"
	asterisk_at "$root" -V | tee "$root/.done"
}

# Modules that conf/modules.conf does not name are never opened: leave them out (about 10 MB).
keep_loaded_modules() {
	local module dir
	dir=$(modules_of "$1")
	for module in "$dir"/*.so; do
		grep -qx "load=${module##*/}" "$LAB_DIR/conf/modules.conf" || rm -f "$module"
	done
}

link_loader() {
	local loader
	for loader in "$1"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \
		"$1"/lib/x86_64-linux-gnu/ld-*.so "$1"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \
		"$1"/usr/lib64/ld-linux-x86-64.so.2; do
		if [ -x "$loader" ] && [ ! -L "$loader" ]; then
			ln -sfr "$loader" "$1/ld.so"
			return
		fi
	done
	echo "no dynamic loader among the packages"
	return 1
}

# sid moves: a library that changed its package name shows here, not as a mystery at start.
check_libraries() {
	local root=$1 file missing=0
	for file in "$root/usr/sbin/asterisk" "$(modules_of "$root")"/*.so; do
		"$root/ld.so" --library-path "$(library_path "$root")" --list "$file" | grep 'not found' |
			sed "s|^|${file##*/}: |" && missing=1
	done
	if ((missing)); then
		echo "a package is missing from the lists in setup.sh"
		return 1
	fi
}

main() {
	local work url
	mkdir -p "$LAB"
	lock "$LAB/.lock$VERSION" "lab: another setup is at work, waiting for it"
	if [ -z "${FORCE:-}" ] && is_whole "$AST_ROOT"; then
		say "lab: $(cat "$AST_ROOT/.done") is ready in $AST_ROOT"
		return
	fi
	[ "$(dpkg --print-architecture)" = amd64 ] || die "the lab needs an amd64 machine"
	[ -r "$KEYRING" ] || die "no $KEYRING: install debian-archive-keyring"
	url=$(mirror)
	rm -rf "$LAB/new$VERSION".*
	work=$LAB/new$VERSION.$$
	# shellcheck disable=SC2064 # the name of now
	trap "rm -rf '$work'" EXIT
	write_apt_state "$work/apt" "$url"
	# Not in a condition: that would switch off `set -e` inside the functions.
	progress "lab: download Asterisk $VERSION ($SUITE)" "$work/download.log" download "$work/apt"
	progress "lab: unpack Asterisk $VERSION" "$work/unpack.log" unpack "$work"
	rm -rf "$AST_ROOT"
	mv "$work/root" "$AST_ROOT"
	say "lab: $(cat "$AST_ROOT/.done") is ready in $AST_ROOT ($(du -sm "$AST_ROOT" | cut -f1) MB)"
}

main
