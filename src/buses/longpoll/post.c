/* SPDX-License-Identifier: MIT */
/*
 * A POST or PUT to an ordinary queue: 200 when the message is durable, never before.
 *
 * The answer is empty, or, for a webhook whose sender wants instructions in XML, the empty
 * instruction. The client may go in between; the message is then kept all the same.
 */
#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/publish.h"

struct posting {
	struct publish publish;
	struct http_request *request; /* NULL: the client has gone */
	bool wants_xml;
};

static void post_gone(void *arg)
{
	struct posting *post = arg;

	post->request = NULL;
}

static void answer_published(struct posting *post)
{
	const struct http_header id = { STR("X-Message-Id"), str_from(post->publish.id) };

	answer_reply(post->request,
		     &(struct http_reply){
			     .status = 200,
			     .content_type = post->wants_xml ? STR("application/xml") : STR(""),
			     .headers = &id,
			     .n_headers = 1,
			     .body = post->wants_xml ? STR("<Response/>") : STR("") });
}

static void post_done(struct publish *publish, int rc)
{
	struct posting *post = container_of(publish, struct posting, publish);

	if (post->request) {
		http_request_on_gone(post->request, NULL, NULL);
		if (rc == 0)
			answer_published(post);
		else
			answer_refused(post->request, rc);
	}
	free(post);
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

void post_handle(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct document document;

	if (!publish_read(bus, request, &document))
		return;
	struct posting *post = calloc(1, sizeof(*post));
	if (!post) {
		answer_refused(request, -ENOMEM);
	} else if (publish_append(&post->publish, bus, request, key, &document, post_done)) {
		post->request = request;
		post->wants_xml = accepts_xml(request);
		http_request_on_gone(request, post_gone, post);
	} else {
		free(post);
	}
	document_fini(&document);
}
