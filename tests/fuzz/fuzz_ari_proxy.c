/* SPDX-License-Identifier: MIT */
/*
 * go-ari-proxy's config.json from any bytes: one line of error, or a configuration that prints and whose
 * print loads again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config/ari_proxy_conf.h"
#include "engines/asterisk/ari_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct broker_conf {
	char *name, *url, *queue;
};

static const struct conf_key keys[] = {
	{ "name", CONF_STRING, offsetof(struct broker_conf, name), .required = true },
	{ "url", CONF_STRING, offsetof(struct broker_conf, url) },
	{ "queue", CONF_STRING, offsetof(struct broker_conf, queue) },
	{ 0 },
};
static const struct conf_table broker = { "broker", sizeof(struct broker_conf), keys };
static const struct conf_variant variants[] = {
	{ "engines", "asterisk", &asterisk_conf },
	{ "buses", "amqp", &broker },
	{ "buses", "nats", &broker },
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size);
	struct voxbus_conf *conf = NULL, *again = NULL;
	struct err e = { "" };
	char *out = NULL;
	size_t n;
	FILE *f;

	if (ari_proxy_conf_parse(variants, text, "config.json", &conf, &e) < 0) {
		if (!str_starts(str_from(e.text), STR("config.json:")) || strchr(e.text, '\n'))
			abort();
		return 0;
	}
	f = open_memstream(&out, &n);
	if (!f || voxbus_conf_print(conf, f) < 0 || fclose(f) ||
	    voxbus_conf_parse(variants, str_make(out, n), "voxbus.yaml", &again, &e) < 0)
		abort();
	(void)voxbus_conf_destroy(conf);
	(void)voxbus_conf_destroy(again);
	free(out);
	return 0;
}
