/* SPDX-License-Identifier: MIT */
/*
 * go-ari-proxy's config.json.
 *
 * ari_proxy/ holds one file a case: NAME.json with the equivalent NAME.yaml, which must come to the same,
 * or with NAME.err, the one line that it must give. The buses have tables of the test's own, with the
 * keys that the file knows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/ari_proxy_conf.h"
#include "config/conf_paths.h"
#include "engines/asterisk/ari_conf.h"

struct broker_conf {
	char *name, *url, *queue;
};

static bool is_amqp(struct str s)
{
	return str_starts(s, STR("amqp://"));
}

static bool is_nats(struct str s)
{
	return str_starts(s, STR("nats://"));
}

static const struct conf_key amqp_keys[] = {
	{ "name", CONF_STRING, offsetof(struct broker_conf, name), .required = true, .doc = "" },
	{ "url", CONF_STRING, offsetof(struct broker_conf, url), .valid = is_amqp,
	  .must = "amqp://...", .doc = "" },
	{ 0 },
};
static const struct conf_key nats_keys[] = {
	{ "name", CONF_STRING, offsetof(struct broker_conf, name), .required = true, .doc = "" },
	{ "url", CONF_STRING, offsetof(struct broker_conf, url), .valid = is_nats,
	  .must = "nats://...", .doc = "" },
	{ "queue", CONF_STRING, offsetof(struct broker_conf, queue), .doc = "" },
	{ 0 },
};
static const struct conf_table amqp_table = { "amqp", sizeof(struct broker_conf), amqp_keys };
static const struct conf_table nats_table = { "nats", sizeof(struct broker_conf), nats_keys };
static const struct conf_variant variants[] = {
	{ "engines", "asterisk", &asterisk_conf },
	{ "buses", "amqp", &amqp_table },
	{ "buses", "nats", &nats_table },
	{ 0 },
};

/* NULL: there is none. */
static char *case_text(const char *name, const char *suffix, size_t *ret_n)
{
	char path[512];
	char *text = NULL;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s%s", CONF_ARI_PROXY_DIR, name, suffix);
	f = fopen(path, "rb");
	if (!f)
		return NULL;
	text = calloc(1, 16 << 10);
	assert_non_null(text);
	*ret_n = fread(text, 1, (16 << 10) - 1, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static char *printed(const struct voxbus_conf *conf)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	assert_int_equal(voxbus_conf_print(conf, f), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void same_passwords(const struct voxbus_conf *a, const struct voxbus_conf *b)
{
	const struct ari_conf *x = a->engines.items[0].conf, *y = b->engines.items[0].conf;

	assert_true(secret_equals(&x->password, secret_str(&y->password)));
}

static void compare(const char *name, const struct voxbus_conf *conf, struct str yaml)
{
	struct voxbus_conf *want = NULL;
	struct err e = { "" };
	char *a, *b;

	if (voxbus_conf_parse(variants, yaml, name, &want, &e) < 0)
		fail_msg("%s", e.text);
	a = printed(conf);
	b = printed(want);
	assert_true(a && b);
	assert_string_equal(a, b);
	same_passwords(conf, want);
	free(a);
	free(b);
	(void)voxbus_conf_destroy(want);
}

static void run_case(const char *name)
{
	size_t n, m = 0;
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };
	char *text = case_text(name, ".json", &n), *yaml = case_text(name, ".yaml", &m), *want;
	int rc;

	assert_non_null(text);
	rc = ari_proxy_conf_parse(variants, str_make(text, n), "config.json", &conf, &e);
	if (yaml) {
		if (rc < 0)
			fail_msg("%s: %s", name, e.text);
		compare(name, conf, str_make(yaml, m));
	} else {
		want = case_text(name, ".err", &m);
		assert_true(rc < 0);
		assert_null(conf);
		assert_null(strchr(e.text, '\n'));
		if (!want || !str_eq(str_trim(str_make(want, m)), str_from(e.text)))
			fail_msg("%s:\n got %s\nwant %s", name, e.text, want ? want : "(nothing)");
		free(want);
	}
	(void)voxbus_conf_destroy(conf);
	free(yaml);
	free(text);
}

static void each_file_becomes_its_yaml_or_its_error(void **state)
{
	DIR *dir = opendir(CONF_ARI_PROXY_DIR);
	size_t cases = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char *dot = strrchr(entry->d_name, '.');

		if (!dot || strcmp(dot, ".json") != 0)
			continue;
		*dot = '\0';
		run_case(entry->d_name);
		cases++;
	}
	(void)closedir(dir);
	assert_true(cases >= 50);
}

static void a_file_cut_anywhere_is_one_line(void **state)
{
	size_t n;
	char *text = case_text("rabbitmq", ".json", &n);

	assert_non_null(text);
	for (size_t cut = 0; cut < n - 2; cut++) {
		struct voxbus_conf *conf = NULL;
		struct err e = { "" };

		assert_true(ari_proxy_conf_parse(variants, str_make(text, cut), "x", &conf, &e) <
			    0);
		assert_true(e.text[0] && !strchr(e.text, '\n'));
		assert_null(conf);
	}
	free(text);
}

/* A bus that this program was not built with is told at message_bus. */
static void a_bus_that_is_not_there_is_named(void **state)
{
	static const struct conf_variant without[] = {
		{ "engines", "asterisk", &asterisk_conf },
		{ "buses", "nats", &nats_table },
		{ 0 },
	};
	size_t n;
	char *text = case_text("rabbitmq", ".json", &n);
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };

	assert_non_null(text);
	assert_int_equal(ari_proxy_conf_parse(without, str_make(text, n), "c.json", &conf, &e),
			 -EINVAL);
	assert_string_equal(e.text, "c.json:9:18: message_bus: type is \"amqp\", must be nats");
	free(text);
}

/* A drop-in opens no port that the old proxy did not open. */
static void nothing_listens_by_http(void **state)
{
	size_t n;
	char *text = case_text("rabbitmq", ".json", &n);
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };

	assert_non_null(text);
	if (ari_proxy_conf_parse(variants, str_make(text, n), "config.json", &conf, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(conf->http.listen.count, 0);
	assert_string_equal(conf->admin.listen, "unix:/home/u/.local/state/voxbus/admin.sock");
	(void)voxbus_conf_destroy(conf);
	free(text);
}

static void files_that_cannot_be_read_are_named(void **state)
{
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };

	assert_int_equal(ari_proxy_conf_load(variants, "/nonexistent.json", &conf, &e), -ENOENT);
	assert_string_equal(e.text, "/nonexistent.json: can't be read: No such file or directory");
	assert_int_equal(ari_proxy_conf_load(variants, "/dev/zero", &conf, &e), -EFBIG);
	assert_int_equal(ari_proxy_conf_load(variants, CONF_ARI_PROXY_DIR "/nats.json", &conf, &e),
			 0);
	(void)voxbus_conf_destroy(conf);
}

static int environment(void **state)
{
	(void)setenv("HOME", "/home/u", 1);
	(void)unsetenv("XDG_STATE_HOME");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_file_becomes_its_yaml_or_its_error),
		cmocka_unit_test(a_file_cut_anywhere_is_one_line),
		cmocka_unit_test(a_bus_that_is_not_there_is_named),
		cmocka_unit_test(nothing_listens_by_http),
		cmocka_unit_test(files_that_cannot_be_read_are_named),
	};

	return cmocka_run_group_tests(tests, environment, NULL);
}
