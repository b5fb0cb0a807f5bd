/* SPDX-License-Identifier: MIT */
/*
 * A POST or PUT to an ordinary queue: 200 when the message is durable, never before.
 *
 * The answer is empty, or, for a webhook whose sender wants instructions in XML, the empty
 * instruction. The client may go in between; the message is then kept all the same.
 * Who posts instructions for a call is told whether the call has them (X-Delivered). A request of a
 * call itself is not answered here, but held: call.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/call.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/pace.h"
#include "buses/longpoll/publish.h"

struct posting {
	struct publish publish;
	struct paced paced;
	struct http_request *request; /* NULL: the client has gone */
	bool wants_xml;
	bool is_call; /* the queue is where a call's instructions are posted */
	size_t n;
	char key[]; /* of the queue */
};

static void post_gone(void *arg)
{
	struct posting *post = arg;

	post->request = NULL;
}

static void answer_published(struct posting *post)
{
	bool tells = post->is_call && !post->publish.repeated;
	bool taken = tells && queue_deliver(post->publish.bus, str_make(post->key, post->n),
					    post->publish.seq);
	const struct http_header headers[] = {
		{ STR("X-Message-Id"), str_from(post->publish.id) },
		{ STR("X-Delivered"), taken ? STR("1") : STR("0") },
	};

	answer_reply(post->request,
		     &(struct http_reply){
			     .status = 200,
			     .content_type = post->wants_xml ? STR("application/xml") : STR(""),
			     .headers = headers,
			     .n_headers = tells ? 2 : 1,
			     .body = post->wants_xml ? STR("<Response/>") : STR("") });
}

static void post_finish(struct posting *post, int rc)
{
	if (post->request) {
		http_request_on_gone(post->request, NULL, NULL);
		if (rc == 0)
			answer_published(post);
		else
			answer_refused(post->request, rc);
	}
	free(post);
}

static void post_go(struct paced *paced)
{
	post_finish(container_of(paced, struct posting, paced), 0);
}

static void post_done(struct publish *publish, int rc)
{
	struct posting *post = container_of(publish, struct posting, publish);

	if (rc < 0 || post->is_call ||
	    !pace_hold(publish->bus, str_make(post->key, post->n), &post->paced))
		post_finish(post, rc);
}

static bool accepts_xml(const struct http_request *request)
{
	struct str accept = http_request_header(request, STR("Accept"));

	while (accept.p) {
		struct str range = str_cut(&accept, ',');
		struct str type = str_trim(str_cut(&range, ';'));

		if (str_eq_nocase(type, STR("application/xml")) ||
		    str_eq_nocase(type, STR("text/xml")))
			return true;
	}
	return false;
}

static struct posting *post_create(struct http_request *request, struct str key)
{
	struct posting *post = calloc(1, sizeof(*post) + key.n);
	struct str sid;

	if (!post)
		return NULL;
	list_init(&post->paced.link);
	post->paced.go = post_go;
	post->request = request;
	post->wants_xml = accepts_xml(request);
	post->is_call = place_is_of_call(key, &sid);
	post->n = key.n;
	memcpy(post->key, key.p, key.n);
	return post;
}

static void post_message(struct longpoll *bus, struct http_request *request, struct str key,
			 const struct document *document)
{
	struct posting *post = post_create(request, key);

	if (!post)
		answer_refused(request, -ENOMEM);
	else if (publish_append(&post->publish, bus, request, key, document, post_done))
		http_request_on_gone(request, post_gone, post);
	else
		free(post);
}

void post_handle(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct document document;

	if (!publish_read(bus, request, &document))
		return;
	if (!call_handle(bus, request, key, &document))
		post_message(bus, request, key, &document);
	document_fini(&document);
}
