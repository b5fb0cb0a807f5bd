/* SPDX-License-Identifier: MIT */
/* What names, addresses and URLs look like: for `valid` and `must` of keys (schema.h). */
#ifndef VOXBUS_CONFIG_VALID_H
#define VOXBUS_CONFIG_VALID_H

#include "base/str.h"

/* Of engines, buses, applications, the node. */
#define VALID_NAME_MUST "1 to 64 of A-Z a-z 0-9 _ . -"
bool valid_name(struct str s);
/* An account's id. Words that are paths of our own ("auth", "ari", ...) are none. */
#define VALID_SID_MUST "1 to 64 of A-Z a-z 0-9 _ - (and not auth, ari, v1 and the like)"
bool valid_sid(struct str s);
/* A file or directory; relative ones would depend on where the daemon was started. */
#define VALID_PATH_MUST "an absolute path of 1 to 1024 bytes"
bool valid_path(struct str s);
/* To listen on; port 0 is drawn by the system. */
#define VALID_ADDRESS_MUST "host:port, [ipv6]:port or unix:/path"
bool valid_address(struct str s);
/* The same, with http:// or https:// in front where it is to be said. */
#define VALID_LISTEN_MUST \
	"host:port, [ipv6]:port or unix:/path, with http:// or https:// before a port if need be"
bool valid_listen(struct str s);
/* A host name or an IPv4 address. */
#define VALID_HOST_MUST "a host name"
bool valid_host(struct str s);
/* Addresses that are trusted. */
#define VALID_NETWORK_MUST "an address, a network like 10.0.0.0/8, or unix"
bool valid_network(struct str s);
/* http://host[:port][/path] or https://, no user, no query. */
#define VALID_HTTP_URL_MUST "a URL like http://127.0.0.1:8088/ari, without user and query"
bool valid_http_url(struct str s);

#endif
