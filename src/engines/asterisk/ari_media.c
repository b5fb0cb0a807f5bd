/* SPDX-License-Identifier: MIT */
/*
 * One small question for each: GET /playbacks/{id}, GET /recordings/live/{name}.
 *
 * All go out at once, as many as the way to Asterisk takes, for frames wait behind the answers. Only
 * a 404 means that it is over; any other answer leaves it be.
 */
#include "engines/asterisk/ari_media.h"

#include <errno.h>
#include <stdlib.h>

#include "engines/asterisk/ari_call.h"
#include "engines/asterisk/ari_routes.h"

struct probe {
	struct ari_media *media;
	struct ari_call *call;
	enum object_kind kind;
	bool gone;
	char *id; /* its object may go while we wait */
};

struct ari_media {
	void (*done)(void *arg, int rc);
	void *arg;
	size_t n, open;
	struct probe probes[];
};

static void on_answer(void *arg, int rc, const struct http_response *response)
{
	struct probe *p = arg;
	struct ari_media *m = p->media;

	p->call = NULL;
	m->open--;
	if (rc == 0)
		p->gone = response->status == 404;
	if (rc < 0 || m->open == 0)
		m->done(m->arg, rc);
}

static int ask(struct ari_session *s, struct probe *p)
{
	bool by_link = s->engine->conf->rest == ARI_REST_WEBSOCKET;
	struct ari_request request = { .method = STR("GET"), .done = on_answer, .arg = p };
	auto_buf struct buf target = { 0 };
	const char *why;
	int rc;

	buf_init(&target, ARI_TARGET_MAX);
	rc = buf_add(&target,
		     p->kind == OBJECT_PLAYBACK ? STR("/playbacks/") : STR("/recordings/live/"));
	if (rc == 0)
		rc = ari_route_encode(&target, str_from(p->id));
	request.target = buf_str(&target);
	if (rc == 0)
		rc = ari_call_create(s->engine, by_link ? s->carrier : NULL, &request, &why,
				     &p->call);
	return rc;
}

static int ask_all(struct ari_session *s, struct ari_media *m, enum object_kind kind, size_t max)
{
	struct ari_objects *set = ari_tables_of(&s->tables, kind);

	map_for_each (node, &set->map) {
		struct probe *p = &m->probes[m->n];

		if (m->n == max)
			break;
		p->media = m;
		p->kind = kind;
		p->id = str_dup(node->key);
		if (!p->id)
			return -ENOMEM;
		m->n++;
		/* One whose name no request can hold (a slash in it) is left believed. */
		int rc = ask(s, p);
		if (rc < 0 && rc != -EINVAL && rc != -ENOBUFS)
			return rc;
		m->open += rc == 0;
	}
	return 0;
}

int ari_media_ask(struct ari_session *s, void (*done)(void *arg, int rc), void *arg,
		  struct ari_media **ret)
{
	size_t n = s->tables.playbacks.map.count + s->tables.recordings.map.count;
	struct ari_media *m;
	int rc;

	*ret = NULL;
	if (!n)
		return 0;
	n = n < ARI_MEDIA_MAX ? n : ARI_MEDIA_MAX;
	m = calloc(1, sizeof(*m) + n * sizeof(m->probes[0]));
	if (!m)
		return -ENOMEM;
	m->done = done;
	m->arg = arg;
	rc = ask_all(s, m, OBJECT_PLAYBACK, n);
	if (rc == 0)
		rc = ask_all(s, m, OBJECT_RECORDING, n);
	if (rc < 0 || !m->open)
		m = ari_media_destroy(m);
	*ret = m;
	return rc;
}

void ari_media_each_gone(const struct ari_media *m,
			 void (*fn)(void *arg, enum object_kind kind, struct str id), void *arg)
{
	for (size_t i = 0; m && i < m->n; i++)
		if (m->probes[i].gone)
			fn(arg, m->probes[i].kind, str_from(m->probes[i].id));
}

struct ari_media *ari_media_destroy(struct ari_media *m)
{
	for (size_t i = 0; m && i < m->n; i++) {
		if (m->probes[i].call)
			ari_call_cancel(m->probes[i].call);
		free(m->probes[i].id);
	}
	free(m);
	return NULL;
}
