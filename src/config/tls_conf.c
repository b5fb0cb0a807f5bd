/* SPDX-License-Identifier: MIT */
/* Keys of TLS. Whether the files are there and fit is found by who reads them (net/tls.h). */
#include "config/tls_conf.h"

#include "config/valid.h"

static const struct conf_key server_keys[] = {
	{ "certificate", CONF_STRING, offsetof(struct tls_server_conf, certificate),
	  .valid = valid_path, .must = VALID_PATH_MUST,
	  .doc = "A PEM file: the certificate, and behind it those between it and the root "
		 "(fullchain.pem). It is looked at every 60 s and on SIGHUP; a new one serves new "
		 "connections." },
	{ "key", CONF_STRING, offsetof(struct tls_server_conf, key), .valid = valid_path,
	  .must = VALID_PATH_MUST,
	  .doc = "A PEM file: the certificate's private key, without a passphrase." },
	{ "client_ca", CONF_STRING, offsetof(struct tls_server_conf, client_ca),
	  .valid = valid_path, .must = VALID_PATH_MUST,
	  .doc = "A PEM file of authorities: with it, a client must show a certificate that one of "
		 "them has signed. Not given, clients need none." },
	{ 0 },
};

static int server_check(const void *arg, const struct conf_where *where, struct err *e)
{
	const struct tls_server_conf *conf = arg;

	if (!where->node && !conf->certificate && !conf->key && !conf->client_ca)
		return 0;
	if (!conf->certificate)
		return conf_fail(where, NULL, e, "certificate is missing, must be a PEM file");
	if (!conf->key)
		return conf_fail(where, NULL, e,
				 "key is missing, must be the PEM file of the certificate's "
				 "private key");
	return 0;
}

static const struct conf_key client_keys[] = {
	{ "ca", CONF_STRING, offsetof(struct tls_client_conf, ca), .valid = valid_path,
	  .must = VALID_PATH_MUST,
	  .doc = "A PEM file: the authority that has signed the server's certificate, or that "
		 "certificate itself. Not given, the authorities that the system believes." },
	{ "verify", CONF_BOOL, offsetof(struct tls_client_conf, verify), .def = "yes",
	  .doc = "Whether the server's certificate and its name are checked. With no, anybody in "
		 "between can read and change everything: for tests only." },
	{ "certificate", CONF_STRING, offsetof(struct tls_client_conf, certificate),
	  .valid = valid_path, .must = VALID_PATH_MUST,
	  .doc = "A PEM file: our own certificate, for servers that ask for one." },
	{ "key", CONF_STRING, offsetof(struct tls_client_conf, key), .valid = valid_path,
	  .must = VALID_PATH_MUST, .doc = "A PEM file: that certificate's private key." },
	{ "server_name", CONF_STRING, offsetof(struct tls_client_conf, server_name),
	  .valid = valid_host, .must = VALID_HOST_MUST,
	  .doc = "The name that the server's certificate must have; not given, the host of the "
		 "url." },
	{ 0 },
};

static int client_check(const void *arg, const struct conf_where *where, struct err *e)
{
	const struct tls_client_conf *conf = arg;

	if (conf->certificate && !conf->key)
		return conf_fail(where, "certificate", e,
				 "certificate is set and key is not, must be given together");
	if (conf->key && !conf->certificate)
		return conf_fail(where, "key", e,
				 "key is set and certificate is not, must be given together");
	return 0;
}

const struct conf_table tls_server_table = { "tls", sizeof(struct tls_server_conf), server_keys,
					     server_check };
const struct conf_table tls_client_table = { "tls", sizeof(struct tls_client_conf), client_keys,
					     client_check };

bool tls_client_conf_is_set(const struct tls_client_conf *conf)
{
	return conf->ca || !conf->verify || conf->certificate || conf->server_name;
}
