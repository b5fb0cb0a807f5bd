/* SPDX-License-Identifier: MIT */
/* An engine's `tls` keys as TLS wants them. */
#include "engines/asterisk/ari_conf.h"
#include "net/tls.h"

bool ari_conf_is_tls(const struct ari_conf *conf)
{
	return str_starts(str_from(conf->url), STR("https://"));
}

int ari_conf_tls(struct loop *loop, const struct log *log, const struct ari_conf *conf,
		 struct tls_context **ret, struct err *e)
{
	struct tls_client_options options = {
		.ca = conf->tls.ca,
		.certificate = conf->tls.certificate,
		.key = conf->tls.key,
		.server_name = conf->tls.server_name,
		.verify_off = !conf->tls.verify,
	};

	return tls_client_create(loop, &options, log, ret, e);
}
