/* SPDX-License-Identifier: MIT */
/*
 * Who may publish, by the bus's `publish` key:
 *
 *   open                anybody: webhooks come without credentials
 *   session             whoever may read, may write
 *   signed              a webhook whose signature is this account's token over what it sent
 *   signed-or-session   either; a signature that holds is enough
 *
 * A signature is over the URL that the sender had configured, and behind a proxy that is rarely the
 * one that arrives here. So a refusal says, to the sender and in the log, which URL was checked;
 * the session that might stand in it is masked.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/secret.h"
#include "buses/longpoll/document.h"
#include "buses/longpoll/longpoll_internal.h"
#include "codec/form.h"
#include "engines/webhook/signature.h"
#include "net/http_url.h"

enum { LOG_EVERY_MS = 1000 };

/* The URL with its sessions' values masked: 0 or as buf_add. */
static int add_masked(struct buf *out, struct str url)
{
	struct str query = url, part = str_cut(&query, '?');
	int rc = buf_add(out, part);

	for (char sep = '?'; rc == 0 && query.p; sep = '&') {
		struct str pair = str_cut(&query, '&'), rest = pair;
		struct form_pair named;

		rc = buf_addc(out, sep);
		if (rc == 0 && form_next(&rest, &named) && form_name_is(&named, STR("session")) &&
		    named.value.p) {
			rc = buf_add(out, named.name);
			pair = STR("=" SECRET_SHOWN);
		}
		if (rc == 0)
			rc = buf_add(out, pair);
	}
	return rc;
}

static void refuse(struct longpoll *bus, struct http_request *request, struct str url,
		   const char *what)
{
	static const char help[] = "; if that is not the URL that was configured, set "
				   "http.public_url (or http.trusted_proxies)";
	uint64_t now_ms = loop_now(bus->env.loop);
	auto_buf struct buf text = { .max = 2 * SIGNATURE_URL_MAX };

	(void)buf_addf(&text, "%s ", what);
	size_t at = buf_len(&text);
	(void)add_masked(&text, url);
	struct str shown = str_skip(buf_str(&text), at);
	bus->signature_failures++;
	if (!bus->refusal_logged || now_ms - bus->refusal_logged_ms >= LOG_EVERY_MS) {
		log_warn(bus->env.log, "signature refused", "why=%s url=%.*s peer=%s", what,
			 STR_ARG(shown), http_request_info(request)->peer);
		bus->refusal_logged = true;
		bus->refusal_logged_ms = now_ms;
	}
	(void)buf_add(&text, str_from(help));
	answer_detail(request, 403, NULL, 0, buf_str(&text));
}

/* The form's fields, to be freed; NULL: no memory. */
static struct signature_param *params_of(const struct document *d, size_t *ret_n)
{
	size_t n = d->kind == DOCUMENT_FORM ? d->form.n : 0;
	struct signature_param *params = calloc(n + 1, sizeof(*params));

	if (!params)
		return NULL;
	for (size_t i = 0; i < n; i++)
		params[i] =
			(struct signature_param){ d->form.items[i].name, d->form.items[i].value };
	*ret_n = n;
	return params;
}

/* As signature_check. */
static int check(struct longpoll *bus, struct str signature, struct str url,
		 const struct document *d)
{
	struct signature_input in = {
		.url = url,
		.body = d->posted.body,
		.is_form = d->kind == DOCUMENT_FORM,
	};

	in.params = params_of(d, &in.n_params);
	if (!in.params)
		return -ENOMEM;
	int rc = signature_check(secret_str(account_token(bus->account)), signature, &in);
	free(in.params);
	return rc;
}

/* 0: the signature holds. -ENOENT: there is none. Else as signature_check, and of which URL. */
static int verify(struct longpoll *bus, const struct http_request *request,
		  const struct document *d, struct buf *ret_url)
{
	const struct http_request_info *info = http_request_info(request);
	struct str signature = signature_of(info->headers, info->n_headers);

	if (!signature.p)
		return -ENOENT;
	int rc = http_request_url(request, ret_url);
	return rc < 0 ? rc : check(bus, signature, buf_str(ret_url), d);
}

static void answer_unverified(struct longpoll *bus, struct http_request *request, int rc,
			      struct str url)
{
	if (rc == -EACCES)
		refuse(bus, request, url,
		       "the signature is not the one that this account's token gives over");
	else if (rc == -EBADMSG)
		refuse(bus, request, url,
		       "the body is not the one whose SHA-256 is in the bodySHA256 of");
	else
		answer_refused(request, rc);
}

static void answer_unsigned(struct longpoll *bus, struct http_request *request)
{
	const struct http_header challenge = { STR("WWW-Authenticate"), STR("Signature") };

	bus->auth_failures++;
	answer_problem(request, 401, &challenge, 1,
		       "this account takes signed webhooks only; the signature is missing");
}

bool publish_permitted(struct longpoll *bus, struct http_request *request, const struct document *d)
{
	auto_buf struct buf url = { .max = SIGNATURE_URL_MAX };
	int mode = bus->conf->publish;

	if (mode == PUBLISH_OPEN)
		return true;
	if (mode == PUBLISH_SESSION)
		return access_granted(bus, request);
	int rc = verify(bus, request, d, &url);
	if (rc == 0)
		return true;
	if (mode == PUBLISH_SIGNED_OR_SESSION && (rc == -ENOENT || access_is_shown(request)))
		return access_granted(bus, request);
	if (rc == -ENOENT)
		answer_unsigned(bus, request);
	else
		answer_unverified(bus, request, rc, buf_str(&url));
	return false;
}
