/* SPDX-License-Identifier: MIT */
/*
 * voxbus.yaml as a whole: golden errors, defaults, printing and the manual.
 *
 * golden/ holds one wrong file a case, NAME.yaml, and the one line that it must give, NAME.err.
 * The part of voxbus.yaml(5) between its two marks must be what the tables say; with
 * VOXBUS_UPDATE_MANUAL set it is rewritten.
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

#include "base/buf.h"
#include "base/log.h"
#include "buses/amqp/amqp_conf.h"
#include "buses/longpoll/longpoll_conf.h"
#include "buses/nats/nats_conf.h"
#include "config/conf_paths.h"
#include "config/voxbus_conf.h"
#include "engines/asterisk/ari_conf.h"

static const struct conf_variant variants[] = {
	{ "engines", "asterisk", &asterisk_conf },
	{ "buses", "longpoll", &longpoll_conf },
	{ "buses", "amqp", &amqp_conf },
	{ "buses", "nats", &nats_conf },
	{ 0 },
};

static char *file_text(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *text = NULL;
	size_t n;

	if (!f)
		return NULL;
	text = calloc(1, 64 << 10);
	assert_non_null(text);
	n = fread(text, 1, (64 << 10) - 1, f);
	assert_int_equal(fclose(f), 0);
	*ret_n = n;
	return text;
}

static int parse(const char *text, struct voxbus_conf **ret, struct err *e)
{
	return voxbus_conf_parse(variants, str_from(text), "voxbus.yaml", ret, e);
}

static struct voxbus_conf *parsed(const char *text)
{
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };

	if (parse(text, &conf, &e) < 0)
		fail_msg("%s", e.text);
	return conf;
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

static void golden_one(const char *name)
{
	char path[512];
	size_t n, m = 0;
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };
	char *text, *want;

	(void)snprintf(path, sizeof(path), "%s/%s.yaml", CONF_GOLDEN_DIR, name);
	text = file_text(path, &n);
	assert_non_null(text);
	(void)snprintf(path, sizeof(path), "%s/%s.err", CONF_GOLDEN_DIR, name);
	want = file_text(path, &m);
	if (voxbus_conf_parse(variants, str_make(text, n), "voxbus.yaml", &conf, &e) == 0)
		fail_msg("%s was accepted", name);
	assert_null(conf);
	assert_null(strchr(e.text, '\n'));
	if (!want || !str_eq(str_trim(str_make(want, m)), str_from(e.text)))
		fail_msg("%s:\n got %s\nwant %s", name, e.text, want ? want : "(no .err file)");
	free(want);
	free(text);
}

static void wrong_files_get_their_line(void **state)
{
	DIR *dir = opendir(CONF_GOLDEN_DIR);
	size_t cases = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char *dot = strrchr(entry->d_name, '.');

		if (!dot || strcmp(dot, ".yaml") != 0)
			continue;
		*dot = '\0';
		golden_one(entry->d_name);
		cases++;
	}
	(void)closedir(dir);
	assert_true(cases >= 40);
}

/* Each wrong file and the example, cut at every byte: no crash, no leak. */
static void a_cut_file_is_no_trouble(void **state)
{
	static const char *const names[] = { CONF_EXAMPLE, CONF_GOLDEN_DIR "/dead-under-stale.yaml",
					     CONF_GOLDEN_DIR "/not-utf-8.yaml" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t n;
		char *text = file_text(names[i], &n);

		assert_non_null(text);
		for (size_t cut = 0; cut <= n; cut++) {
			struct voxbus_conf *conf = NULL;
			struct err e;

			(void)voxbus_conf_parse(variants, str_make(text, cut), "x", &conf, &e);
			(void)voxbus_conf_destroy(conf);
		}
		free(text);
	}
}

static void empty_files_are_all_defaults(void **state)
{
	static const char *const texts[] = {
		"", "\n", "# nothing\n", "---\n", "{}", "~", "http:\nengines:\naccounts: []\n"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct voxbus_conf *conf = parsed(texts[i]);

		assert_non_null(conf->node);
		assert_int_equal(conf->log.level, LOG_INFO);
		assert_int_equal(conf->http.listen.count, 1);
		assert_string_equal(conf->http.listen.items[0], "127.0.0.1:8090");
		assert_int_equal(conf->journal.segment, 64 << 20);
		assert_int_equal(conf->journal.quota, 8ull << 30);
		assert_int_equal(conf->journal.retention_ms, 7ull * 86400 * 1000);
		assert_int_equal(conf->dialogs.linger_ms, 10000);
		assert_int_equal(conf->commands.deadline_ms, 30000);
		assert_int_equal(conf->engines.count + conf->buses.count, 0);
		(void)voxbus_conf_destroy(conf);
	}
}

static void values_arrive_in_their_structs(void **state)
{
	struct voxbus_conf *conf =
		parsed("node: pbx1\ndata_dir: /var/lib/voxbus\n"
		       "log: {level: debug, format: json}\n"
		       "accounts: [{sid: AC1, token: s3cret}]\n"
		       "engines:\n  - {type: asterisk, name: e, username: u, password: p,\n"
		       "     stale: 3s, applications: [a, b], on_replaced: reclaim}\n"
		       "buses: [{type: longpoll, name: http, account: AC1, body_max: 1MiB}]\n"
		       "applications: [{name: a, record: off, events: {drop: [ChannelVarset],\n"
		       "  ttl: {Dial: 90, ChannelDtmfReceived: 500ms}}}]\n");
	const struct account_conf *account = conf->accounts.items;
	const struct application_conf *application = conf->applications.items;
	const struct ari_conf *ari = conf->engines.items[0].conf;
	const struct longpoll_conf *bus = conf->buses.items[0].conf;

	assert_int_equal(conf->log.level, LOG_DEBUG);
	assert_int_equal(conf->log.format, LOG_JSON);
	assert_true(secret_equals(&account->token, STR("s3cret")));
	assert_int_equal(conf->engines.items[0].type, 0);
	assert_int_equal(conf->buses.items[0].type, 1);
	assert_ptr_equal(conf->buses.items[0].variant, &variants[1]);
	assert_string_equal(ari->url, "http://127.0.0.1:8088/ari");
	assert_int_equal(ari->connections, 8);
	assert_int_equal(ari->ping_ms, 1000);
	assert_int_equal(ari->stale_ms, 3000);
	assert_int_equal(ari->dead_ms, 10000);
	assert_int_equal(ari->timeout_ms, 10000);
	assert_int_equal(ari->on_replaced, ARI_RECLAIM);
	assert_int_equal(ari->applications.count, 2);
	assert_int_equal(bus->poll_timeout_ms, 15000);
	assert_int_equal(bus->body_max, 1 << 20);
	assert_string_equal(application->bus, "http");
	assert_false(application->record);
	assert_int_equal(application->events.drop.count, 1);
	assert_string_equal(application->events.drop.items[0], "ChannelVarset");
	assert_int_equal(application->events.ttl.count, 2);
	assert_string_equal(application->events.ttl.items[0].name, "Dial");
	assert_int_equal(application->events.ttl.items[0].ms, 90000);
	assert_int_equal(application->events.ttl.items[1].ms, 500);
	assert_string_equal(conf->admin.listen, "unix:/var/lib/voxbus/admin.sock");
	assert_string_equal(voxbus_conf_bus(conf, STR("b")), "http");
	(void)voxbus_conf_destroy(conf);
}

static void state_directory_follows_the_environment(void **state)
{
	static const struct {
		const char *what, *xdg, *home, *want;
	} cases[] = {
		{ "XDG_STATE_HOME", "/state", "/home/u", "/state/voxbus" },
		{ "home", NULL, "/home/u", "/home/u/.local/state/voxbus" },
		{ "an empty one does not count", "", "/home/u", "/home/u/.local/state/voxbus" },
		{ "a relative one does not count", "x", "/home/u", "/home/u/.local/state/voxbus" },
		{ "neither", NULL, NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct voxbus_conf *conf = NULL;
		struct err e = { "" };

		(void)unsetenv("XDG_STATE_HOME");
		(void)unsetenv("HOME");
		if (cases[i].xdg)
			(void)setenv("XDG_STATE_HOME", cases[i].xdg, 1);
		if (cases[i].home)
			(void)setenv("HOME", cases[i].home, 1);
		if (cases[i].want) {
			assert_int_equal(parse("", &conf, &e), 0);
			assert_string_equal(conf->data_dir, cases[i].want);
		} else {
			assert_int_equal(parse("", &conf, &e), -EINVAL);
			assert_non_null(strstr(e.text, "voxbus.yaml: data_dir is missing"));
		}
		(void)voxbus_conf_destroy(conf);
	}
	(void)setenv("HOME", "/home/u", 1);
}

static void embedded_defaults_serve(void **state)
{
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };
	const struct ari_conf *ari;

	(void)setenv("VOXBUS_ARI_PASSWORD", "a: \"b\" # c", 1);
	(void)setenv("VOXBUS_APPLICATION", "demo", 1);
	if (voxbus_conf_load(variants, NULL, &conf, &e) < 0)
		fail_msg("%s", e.text);
	ari = conf->engines.items[0].conf;
	assert_string_equal(ari->url, "http://127.0.0.1:8088/ari");
	assert_string_equal(ari->username, "ari");
	assert_true(secret_equals(&ari->password, STR("a: \"b\" # c")));
	assert_string_equal(ari->applications.items[0], "demo");
	assert_string_equal(voxbus_conf_bus(conf, STR("demo")), "http");
	assert_string_equal(conf->http.listen.items[0], "127.0.0.1:8090");
	(void)voxbus_conf_destroy(conf);
	(void)unsetenv("VOXBUS_ARI_PASSWORD");
	(void)unsetenv("VOXBUS_APPLICATION");
}

static void engine_that_names_no_application_serves_all(void **state)
{
	struct voxbus_conf *conf =
		parsed("engines: [{type: asterisk, name: e, username: u, password: p}]\n"
		       "buses: [{type: longpoll, name: http}]\n"
		       "applications: [{name: a}, {name: b}]\n");
	const struct ari_conf *ari = conf->engines.items[0].conf;

	assert_int_equal(ari->applications.count, 2);
	assert_string_equal(ari->applications.items[1], "b");
	(void)voxbus_conf_destroy(conf);
}

static void what_is_printed_loads_and_prints_the_same(void **state)
{
	size_t n;
	char *example = file_text(CONF_EXAMPLE, &n);
	const char *const texts[] = { "", voxbus_conf_defaults, example,
				      "data_dir: \"/a \\\" $${b} ${VOXBUS_TEST_QUOTED} \xc3\xa4\"\n"
				      "engines: [{type: asterisk, name: e, password: p, "
				      "username: \"\\x07 \\\\ null\"}]\n"
				      "buses: [{type: longpoll, name: http}]\n"
				      "applications: [{name: a}, {name: b}]\n" };

	assert_non_null(example);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct voxbus_conf *conf = parsed(texts[i]);
		char *first = printed(conf);
		struct voxbus_conf *again = parsed(first);
		char *second = printed(again);

		assert_true(conf && again && first && second);
		assert_string_equal(first, second);
		assert_null(strstr(first, "s3cret"));
		assert_string_equal(conf->data_dir, again->data_dir);
		(void)voxbus_conf_destroy(conf);
		(void)voxbus_conf_destroy(again);
		free(first);
		free(second);
	}
	free(example);
}

static void files_that_cannot_be_read_are_named(void **state)
{
	struct voxbus_conf *conf = NULL;
	struct err e = { "" };

	assert_int_equal(voxbus_conf_load(variants, "/nonexistent/v.yaml", &conf, &e), -ENOENT);
	assert_string_equal(e.text,
			    "/nonexistent/v.yaml: can't be read: No such file or directory");
	assert_int_equal(voxbus_conf_load(variants, "/", &conf, &e), -EISDIR);
	assert_int_equal(voxbus_conf_load(variants, "/dev/zero", &conf, &e), -EFBIG);
	assert_int_equal(voxbus_conf_load(variants, CONF_EXAMPLE, &conf, &e), 0);
	(void)voxbus_conf_destroy(conf);
}

static void manual_is_what_the_tables_say(void **state)
{
	static const char begin[] = ".\\\" begin of the generated part\n";
	static const char end[] = ".\\\" end of the generated part\n";
	size_t n, m;
	char *manual = file_text(CONF_MANUAL, &n), *doc = NULL, *from, *to;
	FILE *f = open_memstream(&doc, &m);

	assert_non_null(manual);
	assert_non_null(f);
	assert_int_equal(voxbus_conf_doc(variants, f), 0);
	assert_int_equal(fclose(f), 0);
	assert_non_null(doc);
	from = strstr(manual, begin);
	to = strstr(manual, end);
	assert_true(from && to && from < to);
	from += strlen(begin);
	if (getenv("VOXBUS_UPDATE_MANUAL")) {
		f = fopen(CONF_MANUAL, "w");
		assert_non_null(f);
		(void)fprintf(f, "%.*s%s%s", (int)(from - manual), manual, doc, to);
		assert_int_equal(fclose(f), 0);
	} else {
		*to = '\0';
		assert_string_equal(from, doc);
	}
	free(doc);
	free(manual);
}

static int environment(void **state)
{
	(void)unsetenv("VOXBUS_TEST_UNSET");
	(void)setenv("VOXBUS_TEST_QUOTED", "- a: {b} ${HOME} \"#", 1);
	(void)setenv("VOXBUS_TEST_EVIL", "a\nlog: {level: debug} ${HOME}", 1);
	(void)setenv("VOXBUS_TEST_LIST", "[\"127.0.0.1:1\"]", 1);
	(void)setenv("VOXBUS_TEST_LATIN1", "b\xe4r", 1);
	(void)setenv("VOXBUS_TEST_EMPTY", "", 1);
	(void)setenv("HOME", "/home/u", 1);
	(void)unsetenv("XDG_STATE_HOME");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_files_get_their_line),
		cmocka_unit_test(a_cut_file_is_no_trouble),
		cmocka_unit_test(empty_files_are_all_defaults),
		cmocka_unit_test(values_arrive_in_their_structs),
		cmocka_unit_test(state_directory_follows_the_environment),
		cmocka_unit_test(embedded_defaults_serve),
		cmocka_unit_test(engine_that_names_no_application_serves_all),
		cmocka_unit_test(what_is_printed_loads_and_prints_the_same),
		cmocka_unit_test(files_that_cannot_be_read_are_named),
		cmocka_unit_test(manual_is_what_the_tables_say),
	};

	return cmocka_run_group_tests(tests, environment, NULL);
}
