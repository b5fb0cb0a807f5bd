/* SPDX-License-Identifier: MIT */
/*
 * voxbus.yaml from any bytes, with the real tables: what is accepted must print, and what is
 * printed must load and print the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "buses/amqp/amqp_conf.h"
#include "buses/longpoll/longpoll_conf.h"
#include "config/voxbus_conf.h"
#include "engines/asterisk/ari_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct conf_variant variants[] = {
	{ "engines", "asterisk", &asterisk_conf },
	{ "buses", "longpoll", &longpoll_conf },
	{ "buses", "amqp", &amqp_conf },
	{ 0 },
};

static char *printed(struct str text, size_t *ret_n)
{
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };
	char *out = NULL;
	FILE *f;

	if (voxbus_conf_parse(variants, text, "voxbus.yaml", &conf, &e) < 0) {
		if (!*e.text || strchr(e.text, '\n'))
			abort();
		return NULL;
	}
	f = open_memstream(&out, ret_n);
	if (!f || voxbus_conf_print(conf, f) < 0 || fclose(f))
		abort();
	(void)voxbus_conf_destroy(conf);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n, m;
	char *first = printed(str_make((const char *)data, size), &n), *second;

	if (!first)
		return 0;
	second = printed(str_make(first, n), &m);
	if (!second || !str_eq(str_make(first, n), str_make(second, m)))
		abort();
	free(first);
	free(second);
	return 0;
}
