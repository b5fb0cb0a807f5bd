/* SPDX-License-Identifier: MIT */
/*
 * The context: its files, its life, and a client's sessions.
 *
 *   look (TLS_LOOK_MS) ──► the thread pool stats the files ── same, under a day old ──► nothing
 *   tls_context_reload ──►   and loads them if need be     ── loaded ──► the new SSL_CTX
 *                                                          └─ broken ──► said once, old one stays
 *
 * An SSL holds its own SSL_CTX, so that connections that are open never notice. A new SSL_CTX has
 * new keys for its tickets, hence a day's limit: who steals the keys of TLS 1.2 tickets can read no
 * more than the sessions of a day. A reload also ends the sessions that an older client_ca let in.
 */
#include "net/tls.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/tls_internal.h"

enum { DAY_MS = 86400000, DAY_S = 86400, QUIET_MS = 10000, DATE_SIZE = 24 };

/* Those of this thread's loop. */
static _Thread_local struct list contexts = { NULL, NULL }; /* struct tls_context.link */

/* A reload on the thread pool. */
struct tls_load {
	struct tls_context *context;
	bool force;
	struct tls_paths paths; /* the context's strings: they never change */
	struct tls_stamp stamps[3];
	int rc; /* 1 = nothing to do */
	SSL_CTX *ssl;
	struct tls_certificate certificate;
	struct err e;
};

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ms() / 1000);
}

static const char *date_text(int64_t s, char out[DATE_SIZE])
{
	time_t t = (time_t)s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, DATE_SIZE, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		out[0] = '\0';
	return out;
}

static int certificate_problem(const struct tls_paths *p, const struct tls_certificate *c,
			       int64_t at_s, struct err *e)
{
	char date[DATE_SIZE];

	if (!c->known)
		return 0;
	if (c->not_after <= at_s)
		return err_set(e, -EKEYEXPIRED, "certificate %s expired on %s: renew it",
			       p->certificate, date_text(c->not_after, date));
	if (c->not_before > at_s)
		return err_set(e, -EKEYEXPIRED,
			       "certificate %s is valid only from %s on: set this machine's clock, "
			       "or get one that is valid now",
			       p->certificate, date_text(c->not_before, date));
	if (c->key_exposed)
		return err_set(e, 1,
			       "key %s may be read by everybody on this machine: chmod o-r it, and "
			       "think of a new one",
			       p->key);
	if (c->not_after - at_s <= (int64_t)TLS_WARN_DAYS * DAY_S)
		return err_set(e, 1, "certificate %s expires on %s: renew it", p->certificate,
			       date_text(c->not_after, date));
	return 0;
}

int tls_certificate_problem(const struct tls_context *c, int64_t at_s, struct err *e)
{
	return certificate_problem(&c->paths, &c->certificate, at_s, e);
}

/* Once a day, and whenever there is a new certificate. */
static void warn_of_dates(struct tls_context *c)
{
	uint64_t now = loop_now(c->loop);
	struct err e;
	int rc;

	if (now < c->warn_due_ms)
		return;
	c->warn_due_ms = now + DAY_MS;
	rc = tls_certificate_problem(c, now_s(), &e);
	if (rc < 0)
		log_error(c->log, "certificate not valid", "problem=%s then=%s", e.text,
			  "peers will refuse it");
	else if (rc)
		log_warn(c->log, "certificate needs care", "problem=%s", e.text);
}

/* ---- sessions ---- */

static void drop_sessions(struct tls_context *c)
{
	for (size_t i = 0; i < TLS_SESSIONS; i++) {
		SSL_SESSION_free(c->sessions[i].session);
		free(c->sessions[i].endpoint);
		c->sessions[i] = (struct tls_session){ 0 };
	}
}

static struct tls_session *find_session(const struct tls_context *c, const char *endpoint)
{
	for (size_t i = 0; i < TLS_SESSIONS; i++)
		if (c->sessions[i].endpoint && strcmp(c->sessions[i].endpoint, endpoint) == 0)
			return (struct tls_session *)&c->sessions[i];
	return NULL;
}

SSL_SESSION *tls_context_session(const struct tls_context *c, const char *endpoint)
{
	const struct tls_session *s = find_session(c, endpoint);

	return s && SSL_SESSION_is_resumable(s->session) ? s->session : NULL;
}

void tls_context_keep(struct tls_context *c, const char *endpoint, SSL_SESSION *session)
{
	struct tls_session *s = find_session(c, endpoint);
	char *copy = s ? s->endpoint : strdup(endpoint);

	if (!copy) {
		SSL_SESSION_free(session);
		return;
	}
	if (!s) {
		s = &c->sessions[c->next_session++ % TLS_SESSIONS];
		free(s->endpoint);
	}
	SSL_SESSION_free(s->session);
	*s = (struct tls_session){ copy, session };
}

/* OpenSSL has a session that can be taken up again: with TLS 1.3 after the handshake. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *t = SSL_get_app_data(ssl);

	if (!t || !t->endpoint || SSL_get_SSL_CTX(ssl) != t->context->ssl)
		return 0;
	tls_context_keep(t->context, t->endpoint, session);
	return 1;
}

/* ---- reload ---- */

static bool same_stamps(const struct tls_stamp a[3], const struct tls_stamp b[3])
{
	for (size_t i = 0; i < 3; i++)
		if (a[i].dev != b[i].dev || a[i].ino != b[i].ino || a[i].size != b[i].size ||
		    a[i].mtime.tv_sec != b[i].mtime.tv_sec ||
		    a[i].mtime.tv_nsec != b[i].mtime.tv_nsec)
			return false;
	return true;
}

static void look_later(struct tls_context *c)
{
	/* Without memory for a timer the next SIGHUP is the next look. */
	(void)timer_start(&c->look, TLS_LOOK_MS);
}

static void use(struct tls_context *c, SSL_CTX *ssl, const struct tls_certificate *certificate)
{
	SSL_CTX_free(c->ssl);
	drop_sessions(c);
	c->ssl = ssl;
	c->certificate = *certificate;
	if (!c->paths.server)
		SSL_CTX_sess_set_new_cb(ssl, on_session);
	if (!c->loop)
		return;
	c->made_ms = loop_now(c->loop);
	c->warn_due_ms = 0;
}

static void load_work(void *arg)
{
	struct tls_load *l = arg;
	struct tls_stamp stamps[3];

	/* Before they are read: what changes meanwhile is seen at the next look. */
	tls_files_stamp(&l->paths, stamps);
	l->rc = 1;
	if (!l->force && same_stamps(stamps, l->stamps))
		return;
	memcpy(l->stamps, stamps, sizeof(stamps));
	l->rc = tls_files_load(&l->paths, &l->ssl, &l->certificate, &l->e);
	/* An expired one in the place of one that is valid is a mistake. */
	if (l->rc == 0 && certificate_problem(&l->paths, &l->certificate, now_s(), &l->e) < 0) {
		SSL_CTX_free(l->ssl);
		l->rc = -EKEYEXPIRED;
	}
	OPENSSL_thread_stop();
}

static void tell_load(struct tls_context *c, const struct tls_load *l)
{
	char date[DATE_SIZE];

	if (l->rc < 0) {
		c->stats.reload_failures++;
		log_error(c->log, "TLS files not taken", "problem=%s then=%s", l->e.text,
			  "the old ones stay in use");
		return;
	}
	c->stats.reloads++;
	log_info(c->log, "TLS files taken", "certificate=%s subject=%s expires=%s",
		 c->paths.certificate ? c->paths.certificate : "none", c->certificate.subject,
		 c->certificate.known ? date_text(c->certificate.not_after, date) : "");
}

static void start_load(struct tls_context *c, bool force);

static void load_done(void *arg)
{
	struct tls_load *l = arg;
	struct tls_context *c = l->context;

	c->load = NULL;
	if (!c->loop) {
		/* Its owner has gone meanwhile. */
		if (l->rc == 0)
			SSL_CTX_free(l->ssl);
		tls_context_unref(c);
		free(l);
		return;
	}
	if (l->rc <= 0)
		memcpy(c->stamps, l->stamps, sizeof(c->stamps));
	if (l->rc == 0)
		use(c, l->ssl, &l->certificate);
	if (l->rc <= 0)
		tell_load(c, l);
	free(l);
	warn_of_dates(c);
	if (c->again)
		start_load(c, true);
	else
		look_later(c);
	tls_context_unref(c);
}

static void start_load(struct tls_context *c, bool force)
{
	struct tls_load *l;

	c->again = c->load && force;
	if (c->load)
		return;
	l = calloc(1, sizeof(*l));
	if (l) {
		*l = (struct tls_load){ .context = c, .force = force, .paths = c->paths };
		memcpy(l->stamps, c->stamps, sizeof(l->stamps));
		c->load = l;
		if (loop_work(c->loop, load_work, load_done, l) == 0) {
			(void)tls_context_ref(c);
			return;
		}
		c->load = NULL;
		free(l);
	}
	look_later(c);
}

static void on_look(void *arg)
{
	struct tls_context *c = arg;

	start_load(c, loop_now(c->loop) - c->made_ms >= DAY_MS);
}

void tls_context_reload(struct tls_context *c)
{
	timer_stop(&c->look);
	start_load(c, true);
}

void tls_reload_all(void)
{
	if (!contexts.next)
		return;
	list_for_each (it, &contexts)
		tls_context_reload(container_of(it, struct tls_context, link));
}

/* ---- life ---- */

static void register_context(struct tls_context *c)
{
	if (!contexts.next)
		list_init(&contexts);
	list_add_tail(&contexts, &c->link);
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	c->refs++;
	return c;
}

static void free_paths(struct tls_paths *p)
{
	free(p->certificate);
	free(p->key);
	free(p->ca);
	free(p->server_name);
}

void tls_context_unref(struct tls_context *c)
{
	assert(c->refs);
	if (--c->refs)
		return;
	drop_sessions(c);
	SSL_CTX_free(c->ssl);
	free_paths(&c->paths);
	free(c);
}

struct tls_context *tls_context_destroy(struct tls_context *c)
{
	if (!c)
		return NULL;
	timer_stop(&c->look);
	list_del(&c->link);
	c->loop = NULL;
	tls_context_unref(c);
	return NULL;
}

static bool copy(char **ret, const char *text)
{
	*ret = text ? strdup(text) : NULL;
	return !text || *ret;
}

/* Takes the strings of `paths` over. */
static int create(struct loop *loop, struct tls_paths *paths, bool complete, const struct log *log,
		  struct tls_context **ret, struct err *e)
{
	struct tls_context *c = complete ? calloc(1, sizeof(*c)) : NULL;
	struct tls_certificate certificate;
	SSL_CTX *ssl;
	int rc;

	if (!c) {
		free_paths(paths);
		return err_set(e, -ENOMEM, "out of memory");
	}
	list_init(&c->link);
	c->refs = 1;
	c->paths = *paths;
	c->loop = loop;
	c->log = log;
	timer_init(&c->look, loop, on_look, c);
	tls_files_stamp(&c->paths, c->stamps);
	rc = tls_files_load(&c->paths, &ssl, &certificate, e);
	if (rc < 0) {
		(void)tls_context_destroy(c);
		return rc;
	}
	use(c, ssl, &certificate);
	if (loop) {
		register_context(c);
		warn_of_dates(c);
		look_later(c);
	}
	*ret = c;
	return 0;
}

int tls_server_create(struct loop *loop, const struct tls_server_options *o, const struct log *log,
		      struct tls_context **ret, struct err *e)
{
	struct tls_paths paths = { .server = true, .verify = o->client_ca != NULL };
	bool complete = copy(&paths.certificate, o->certificate) && copy(&paths.key, o->key) &&
			copy(&paths.ca, o->client_ca);

	return create(loop, &paths, complete, log, ret, e);
}

int tls_client_create(struct loop *loop, const struct tls_client_options *o, const struct log *log,
		      struct tls_context **ret, struct err *e)
{
	struct tls_paths paths = { .verify = !o->verify_off };
	bool complete = copy(&paths.certificate, o->certificate) && copy(&paths.key, o->key) &&
			copy(&paths.ca, o->ca) && copy(&paths.server_name, o->server_name);

	return create(loop, &paths, complete, log, ret, e);
}

void tls_context_certificate(const struct tls_context *c, struct tls_certificate *ret)
{
	*ret = c->certificate;
}

void tls_context_stats(const struct tls_context *c, struct tls_stats *ret)
{
	*ret = c->stats;
}

void tls_context_failed(struct tls_context *c, const char *peer, const char *why)
{
	uint64_t now = c->loop ? loop_now(c->loop) : 0;
	bool quiet = !c->loop || now < c->quiet_til_ms;

	c->stats.failed++;
	if (quiet) {
		log_debug(c->log, "TLS refused", "peer=%s reason=%s", peer, why);
		return;
	}
	c->quiet_til_ms = now + QUIET_MS;
	log_info(c->log, "TLS refused", "peer=%s reason=%s failures=%" PRIu64, peer, why,
		 c->stats.failed);
}
