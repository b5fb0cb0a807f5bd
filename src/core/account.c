/* SPDX-License-Identifier: MIT */
/*
 * Accounts and sessions.
 *
 * A session's token is never kept: the table is keyed by its SHA-256, and so is the journal's
 * state, so that neither a core dump of the table nor the disk gives a token away. (A token is 122
 * random bits: no salt and no slow hash are needed.) The state's value is "<expiry in ms> <sid>".
 * While the daemon runs a session ends by a timer on the loop's clock; what is left of it after
 * a restart says the journal's clock, by which messages have their ages, too: somebody who sets the
 * wall clock neither ends all sessions nor keeps them.
 *
 * A password check costs the same whether the account exists or not: for an unknown sid the
 * secret of nobody is compared.
 */
#include "core/account.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/secret.h"
#include "journal/journal.h"

enum {
	SESSIONS_MAX = 10000, /* of one account: session_create says -EAGAIN */
	TTL_MAX_MS = 24 * 3600 * 1000,
	MEMOS = 64,
	STATE_KEY_SIZE = 8 + 2 * SHA256_DIGEST_LENGTH + 1,
};

/*
 * Whose token was shown of late, by 128 bits that nobody else can compute (the hash has a key of this
 * process): a poll in a loop shows the same one each time, and SHA-256 would be a good part of its work.
 */
struct memo {
	uint64_t of_all, of_rest; /* of the token, and of the token without its first byte */
	struct session *session;  /* NULL: free */
};

struct accounts {
	struct loop *loop;
	struct journal *journal; /* may be NULL */
	struct map accounts;     /* struct account.node, by sid */
	struct map sessions;     /* struct session.node, by hash */
	struct secret nobody;    /* compared when there is no such account */
	EVP_MD_CTX *digest;      /* SHA-256 */
	struct memo memos[MEMOS];
};

struct account {
	struct map_node node; /* accounts.accounts */
	struct accounts *accounts;
	char *sid;
	struct secret token;
	struct list sessions; /* struct session.link */
	size_t n_sessions;
};

struct session {
	struct map_node node; /* accounts.sessions */
	struct list link;     /* account.sessions */
	struct account *account;
	struct timer expiry;
	unsigned char hash[SHA256_DIGEST_LENGTH];
};

/* -ENOMEM: what is in ret is no hash. A context that is used again needs no memory. */
static int token_hash(struct accounts *accounts, struct str token,
		      unsigned char ret[SHA256_DIGEST_LENGTH])
{
	EVP_MD_CTX *md = accounts->digest;

	if (EVP_DigestInit_ex2(md, NULL, NULL) == 1 &&
	    EVP_DigestUpdate(md, token.p, token.n) == 1 && EVP_DigestFinal_ex(md, ret, NULL) == 1)
		return 0;
	return -ENOMEM;
}

static void state_key(const unsigned char hash[SHA256_DIGEST_LENGTH], char ret[STATE_KEY_SIZE])
{
	int at = snprintf(ret, STATE_KEY_SIZE, "session/");

	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
		at += snprintf(ret + at, STATE_KEY_SIZE - (size_t)at, "%02x", hash[i]);
}

/* A journal that refuses costs the session its survival of a restart, not its life: a full disk
 * must not keep readers from making room. The lsn, 0 when it is in memory alone. */
static uint64_t state_put(struct accounts *accounts, const unsigned char *hash, struct str value)
{
	char key[STATE_KEY_SIZE];
	uint64_t lsn = 0;

	if (!accounts->journal)
		return 0;
	state_key(hash, key);
	(void)journal_put(accounts->journal, str_from(key), value, &lsn);
	return lsn;
}

/* From memory alone. */
static void session_forget(struct session *session)
{
	struct account *account = session->account;

	for (size_t i = 0; i < MEMOS; i++)
		if (account->accounts->memos[i].session == session)
			account->accounts->memos[i].session = NULL;
	timer_stop(&session->expiry);
	map_del(&account->accounts->sessions, &session->node);
	list_del(&session->link);
	account->n_sessions--;
	free(session);
}

static uint64_t session_end(struct session *session)
{
	uint64_t lsn = state_put(session->account->accounts, session->hash, str_make(NULL, 0));

	session_forget(session);
	return lsn;
}

static void session_expired(void *arg)
{
	(void)session_end(arg);
}

/* 0, -EAGAIN when the account has its maximum, -ENOMEM. */
static int session_add(struct account *account, const unsigned char *hash, uint64_t ttl_ms,
		       struct session **ret)
{
	struct accounts *accounts = account->accounts;

	if (account->n_sessions >= SESSIONS_MAX)
		return -EAGAIN;
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	session->account = account;
	memcpy(session->hash, hash, sizeof(session->hash));
	timer_init(&session->expiry, accounts->loop, session_expired, session);
	if (timer_start(&session->expiry, ttl_ms) < 0)
		goto fail;
	if (map_add(&accounts->sessions, &session->node,
		    str_make((const char *)session->hash, sizeof(session->hash))) < 0)
		goto fail;
	list_add_tail(&account->sessions, &session->link);
	account->n_sessions++;
	*ret = session;
	return 0;

fail:
	timer_stop(&session->expiry);
	free(session);
	return -ENOMEM;
}

int accounts_create(struct loop *loop, struct journal *journal, struct accounts **ret)
{
	struct accounts *accounts = calloc(1, sizeof(*accounts));
	char random[65];

	if (!accounts)
		return -ENOMEM;
	accounts->loop = loop;
	accounts->journal = journal;
	map_init(&accounts->accounts);
	map_init(&accounts->sessions);
	rand_hex(random, 32);
	accounts->digest = EVP_MD_CTX_new();
	if (!accounts->digest || EVP_DigestInit_ex(accounts->digest, EVP_sha256(), NULL) != 1 ||
	    secret_set(&accounts->nobody, str_from(random)) < 0) {
		(void)accounts_destroy(accounts);
		return -ENOMEM;
	}
	*ret = accounts;
	return 0;
}

static void account_destroy(struct account *account)
{
	list_for_each_safe (it, &account->sessions)
		session_forget(container_of(it, struct session, link));
	secret_fini(&account->token);
	free(account->sid);
	free(account);
}

struct accounts *accounts_destroy(struct accounts *accounts)
{
	if (!accounts)
		return NULL;
	map_for_each (node, &accounts->accounts)
		account_destroy(container_of(node, struct account, node));
	map_fini(&accounts->accounts);
	map_fini(&accounts->sessions);
	secret_fini(&accounts->nobody);
	EVP_MD_CTX_free(accounts->digest);
	free(accounts);
	return NULL;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hash_parse(struct str hex, unsigned char ret[SHA256_DIGEST_LENGTH])
{
	if (hex.n != 2 * SHA256_DIGEST_LENGTH)
		return false;
	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		int high = hex_value(hex.p[2 * i]), low = hex_value(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* What is stored under a key is only looked at here; removing it has to wait until the walk ends. */
struct recovery {
	struct account *account;
	uint64_t now_ms;
	struct list expired; /* struct stale.link */
};

struct stale {
	struct list link; /* recovery.expired */
	unsigned char hash[SHA256_DIGEST_LENGTH];
};

static void recover_one(void *arg, struct str key, struct str value)
{
	struct recovery *recovery = arg;
	struct str expiry = str_cut(&value, ' ');
	unsigned char hash[SHA256_DIGEST_LENGTH];
	struct session *session;
	uint64_t until_ms;

	if (!str_eq(value, account_sid(recovery->account)))
		return;
	if (str_u64(expiry, &until_ms) < 0 ||
	    !hash_parse(str_skip(key, sizeof("session/") - 1), hash))
		return;
	if (until_ms > recovery->now_ms) {
		uint64_t left_ms = until_ms - recovery->now_ms;

		/* Whatever is written there, nothing is immortal. */
		(void)session_add(recovery->account, hash,
				  left_ms < TTL_MAX_MS ? left_ms : TTL_MAX_MS, &session);
		return;
	}
	struct stale *stale = malloc(sizeof(*stale));
	if (!stale)
		return;
	memcpy(stale->hash, hash, sizeof(hash));
	list_add_tail(&recovery->expired, &stale->link);
}

/* Takes back the account's sessions that have not expired meanwhile, and forgets the others. */
static void account_recover(struct account *account)
{
	struct accounts *accounts = account->accounts;
	struct recovery recovery = { .account = account };

	if (!accounts->journal)
		return;
	recovery.now_ms = journal_now_ms(accounts->journal);
	list_init(&recovery.expired);
	journal_each_state(accounts->journal, STR("session/"), recover_one, &recovery);
	list_for_each_safe (it, &recovery.expired) {
		struct stale *stale = container_of(it, struct stale, link);

		(void)state_put(accounts, stale->hash, str_make(NULL, 0));
		free(stale);
	}
}

int accounts_add(struct accounts *accounts, struct str sid, struct str token)
{
	if (accounts_find(accounts, sid))
		return -EEXIST;
	struct account *account = calloc(1, sizeof(*account));
	if (!account)
		return -ENOMEM;
	account->accounts = accounts;
	list_init(&account->sessions);
	account->sid = str_dup(sid);
	if (!account->sid || secret_set(&account->token, token) < 0 ||
	    map_add(&accounts->accounts, &account->node, str_make(account->sid, sid.n)) < 0) {
		account_destroy(account);
		return -ENOMEM;
	}
	account_recover(account);
	return 0;
}

struct account *accounts_find(struct accounts *accounts, struct str sid)
{
	struct map_node *node = map_find(&accounts->accounts, sid);

	return node ? container_of(node, struct account, node) : NULL;
}

struct account *accounts_only(struct accounts *accounts)
{
	return accounts->accounts.count == 1
		       ? container_of(map_first(&accounts->accounts), struct account, node)
		       : NULL;
}

struct str account_sid(const struct account *account)
{
	return account->node.key;
}

const struct secret *account_token(const struct account *account)
{
	return &account->token;
}

struct account *accounts_check(struct accounts *accounts, struct str sid, struct str token)
{
	struct account *account = accounts_find(accounts, sid);
	bool right = secret_equals(account ? &account->token : &accounts->nobody, token);

	return account && right ? account : NULL;
}

/* 0 and the lsn, or -ENOMEM. */
static int session_store(const struct session *session, uint64_t ttl_ms, uint64_t *ret_lsn)
{
	struct accounts *accounts = session->account->accounts;
	auto_buf struct buf state;
	int rc;

	buf_init(&state, 4096);
	*ret_lsn = 0;
	if (!accounts->journal)
		return 0;
	rc = buf_addf(&state, "%" PRIu64 " %.*s", journal_now_ms(accounts->journal) + ttl_ms,
		      STR_ARG(account_sid(session->account)));
	if (rc == 0)
		*ret_lsn = state_put(accounts, session->hash, buf_str(&state));
	return rc;
}

int session_create(struct account *account, uint64_t ttl_ms, char ret[RAND_UUID_SIZE],
		   uint64_t *ret_lsn)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	struct session *session;
	char token[RAND_UUID_SIZE];

	if (ttl_ms > TTL_MAX_MS)
		ttl_ms = TTL_MAX_MS;
	rand_uuid(token);
	int rc = token_hash(account->accounts, str_from(token), hash);
	if (rc == 0)
		rc = session_add(account, hash, ttl_ms, &session);
	if (rc < 0)
		return rc;

	rc = session_store(session, ttl_ms, ret_lsn);
	if (rc < 0)
		return session_forget(session), rc;
	memcpy(ret, token, sizeof(token));
	return 0;
}

static struct session *session_by_token(struct accounts *accounts, struct str token)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	if (token_hash(accounts, token, hash) < 0)
		return NULL;
	struct map_node *node =
		map_find(&accounts->sessions, str_make((const char *)hash, sizeof(hash)));
	return node ? container_of(node, struct session, node) : NULL;
}

struct account *session_find(struct accounts *accounts, struct str token)
{
	struct memo memo = { str_hash(token), str_hash(str_skip(token, 1)), NULL };
	struct memo *place = &accounts->memos[memo.of_all % MEMOS];

	if (place->session && place->of_all == memo.of_all && place->of_rest == memo.of_rest)
		return place->session->account;
	memo.session = session_by_token(accounts, token);
	if (!memo.session)
		return NULL;
	*place = memo;
	return memo.session->account;
}

bool session_revoke(struct accounts *accounts, struct str token, uint64_t *ret_lsn)
{
	struct session *session = session_by_token(accounts, token);

	if (session)
		*ret_lsn = session_end(session);
	return session;
}

size_t accounts_sessions(const struct accounts *accounts)
{
	return accounts->sessions.count;
}
