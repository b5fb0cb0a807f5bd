/* SPDX-License-Identifier: MIT */
/*
 * Who may do what: accounts, and the sessions that stand for them for a while.
 *
 * An account has a sid (its public name, the first segment of its queues) and a token. A session
 * is a random UUID that a client gets for both; it is kept as a hash only, in memory and in the
 * journal's states, so that it survives a restart and can't be read from disk.
 */
#ifndef VOXBUS_CORE_ACCOUNT_H
#define VOXBUS_CORE_ACCOUNT_H

#include <stdbool.h>

#include "base/rand.h"
#include "base/str.h"
#include "loop/loop.h"

struct account;
struct secret;
struct accounts;
struct journal;

/* journal may be NULL: sessions end with the process. Recovers stored sessions. */
int accounts_create(struct loop *loop, struct journal *journal, struct accounts **ret);
struct accounts *accounts_destroy(struct accounts *accounts);
/* 0, -EEXIST, -ENOMEM. */
int accounts_add(struct accounts *accounts, struct str sid, struct str token);
struct account *accounts_find(struct accounts *accounts, struct str sid);
/* The account if there is exactly one, else NULL. */
struct account *accounts_only(struct accounts *accounts);
struct str account_sid(const struct account *account);
/* For checking what was signed with it. */
const struct secret *account_token(const struct account *account);
/* The account if sid and token are right, in time that does not tell which is wrong; else NULL. */
struct account *accounts_check(struct accounts *accounts, struct str sid, struct str token);

/*
 * A new session of at most 24 h: 0 and the token, or -EAGAIN (10,000 sessions of the account
 * live), -ENOMEM. It holds at once; it survives a restart when *ret_lsn is durable (0: it is in memory
 * alone, since there is no journal or it refuses).
 */
int session_create(struct account *account, uint64_t ttl_ms, char ret[RAND_UUID_SIZE],
		   uint64_t *ret_lsn);
/* The account of a session that lives, or NULL. */
struct account *session_find(struct accounts *accounts, struct str token);
/* Ends it: true if there was one; *ret_lsn as above. */
bool session_revoke(struct accounts *accounts, struct str token, uint64_t *ret_lsn);
size_t accounts_sessions(const struct accounts *accounts);

#endif
