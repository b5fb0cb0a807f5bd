/* SPDX-License-Identifier: MIT */
/*
 * The HTTP client of a command: with TLS settings when the address begins with https://, and sentences
 * for what TLS finds wrong.
 */
#include "client.h"

#include <errno.h>
#include <stdio.h>

#include "net/http_client.h"
#include "net/tls.h"

int client_create(const struct cli *cli, struct loop *loop, const char *origin,
		  struct tls_context **ret_tls, struct http_client **ret, struct err *e)
{
	const struct tls_client_options tls = { .ca = cli->cacert, .verify_off = cli->insecure };
	struct http_client_options options = { .response_max = CLIENT_BODY_MAX };
	int rc = 0;

	*ret_tls = NULL;
	if (str_starts(str_from(origin), STR("https://")))
		rc = tls_client_create(loop, &tls, NULL, ret_tls, e);
	options.tls = *ret_tls;
	if (rc == 0)
		rc = http_client_create(loop, str_from(origin), &options, ret, e);
	if (rc < 0)
		*ret_tls = tls_context_destroy(*ret_tls);
	return rc;
}

bool client_explain_tls(const char *origin, int rc, struct err *e)
{
	if (rc == -EKEYREJECTED)
		(void)err_set(e, rc,
			      "the certificate of %s is not believed; name the CA that has signed "
			      "it with --cacert FILE (or, on a network that is yours alone, "
			      "--insecure)",
			      origin);
	else if (rc == -EPROTO)
		(void)err_set(e, rc, "%s does not speak TLS; say http:// instead of https://",
			      origin);
	else
		return false;
	return true;
}
