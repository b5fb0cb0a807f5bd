/* SPDX-License-Identifier: MIT */
/* Tables, types and the environment, on a table of the test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "config/config_internal.h"

/* Memory is out for what the printer wants n-th, while that is counted. */
static bool counting;
static long left = -1;

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	return counting && left >= 0 && left-- == 0 ? NULL : __real_realloc(p, n);
}

struct bus {
	char *name;
	uint64_t heartbeat_ms;
};

struct inner {
	bool on;
	int color;
};

struct outer {
	uint64_t number, size, duration_ms;
	char *text;
	struct secret secret;
	struct conf_strings strings;
	struct inner inner;
	struct conf_items items;
	struct conf_variants buses;
};

static const struct conf_key bus_keys[] = {
	{ "name", CONF_STRING, offsetof(struct bus, name), .required = true, .min = 1,
	  .doc = "Name." },
	{ "heartbeat", CONF_DURATION, offsetof(struct bus, heartbeat_ms), .def = "10s", .min = 1000,
	  .max = 600000, .doc = "Heartbeat." },
	{ 0 },
};
static const struct conf_table bus_table = { "bus", sizeof(struct bus), bus_keys };

static const struct conf_word colors[] = { { "red", 7 }, { "green", 8 }, { "blue", 9 }, { 0 } };
static const struct conf_key inner_keys[] = {
	{ "on", CONF_BOOL, offsetof(struct inner, on), .def = "yes", .doc = "On." },
	{ "color", CONF_ENUM, offsetof(struct inner, color), .def = "green", .words = colors,
	  .doc = "Color." },
	{ 0 },
};
static const struct conf_table inner_table = { "inner", sizeof(struct inner), inner_keys };

static const struct conf_key keys[] = {
	{ "number", CONF_U64, offsetof(struct outer, number), .doc = "Number." },
	{ "size", CONF_SIZE, offsetof(struct outer, size), .def = "1536KiB", .doc = "Size." },
	{ "duration", CONF_DURATION, offsetof(struct outer, duration_ms), .def = "1h30m",
	  .doc = "Duration." },
	{ "text", CONF_STRING, offsetof(struct outer, text), .doc = "Text." },
	{ "secret", CONF_SECRET, offsetof(struct outer, secret), .doc = "Secret." },
	{ "strings", CONF_STRINGS, offsetof(struct outer, strings), .def = "a, b", .max = 3,
	  .doc = "Strings." },
	{ "inner", CONF_TABLE, offsetof(struct outer, inner), .table = &inner_table,
	  .doc = "Inner." },
	{ "items", CONF_TABLES, offsetof(struct outer, items), .table = &inner_table,
	  .doc = ".Items \\ begin with a point." },
	{ "buses", CONF_VARIANTS, offsetof(struct outer, buses), .unique = "name",
	  .doc = "Buses." },
	{ 0 },
};
static const struct conf_table table = { "outer", sizeof(struct outer), keys };
static const struct conf_variant variants[] = { { "buses", "nats", &bus_table }, { 0 } };

static struct outer *parsed(const char *text)
{
	struct err e = { "" };
	void *conf = NULL;

	if (conf_parse(&table, variants, str_from(text), "voxbus.yaml", &conf, &e) < 0)
		fail_msg("%s", e.text);
	return conf;
}

static void refused(const char *text, int want_rc, const char *want)
{
	struct err e = { "" };
	void *conf = NULL;
	int rc = conf_parse(&table, variants, str_from(text), "voxbus.yaml", &conf, &e);

	assert_string_equal(e.text, want);
	assert_int_equal(rc, want_rc);
	assert_null(conf);
}

static void message_names_line_path_key_found_and_allowed(void **state)
{
	refused("\n\n\n\n\n\n\n\n\n\nbuses:\n  - type: nats\n    name: main\n    heartbeat: 0\n",
		-EINVAL,
		"voxbus.yaml:14: buses[0] \"main\": heartbeat is 0, must be 1 to 600 seconds");
	refused("strings: [a, b, c, d]\n", -EINVAL,
		"voxbus.yaml:1: strings has 4 items, must have 0 to 3");
	refused("strings: [a, '']\n", -EINVAL,
		"voxbus.yaml:1: strings[1] is \"\", must be a text of 1 to 4096 bytes");
	refused("items: [{color: red}, {color: pink}]\n", -EINVAL,
		"voxbus.yaml:1: items[1]: color is \"pink\", must be red, green or blue");
	refused("number: 1.5\n", -EINVAL, "voxbus.yaml:1: number is \"1.5\", must be a number");
	refused("duration: 200y\n", -EINVAL,
		"voxbus.yaml:1: duration is 200y, must be a duration like 15s");
}

static void every_type_is_read_and_has_its_default(void **state)
{
	static const char text[] = "number: 18446744073709551615\n"
				   "size: 3GiB\n"
				   "duration: 1m500ms\n"
				   "text: 'quoted: \"text\"'\n"
				   "secret: 0123\n"
				   "strings: []\n"
				   "inner: {on: off, color: blue}\n"
				   "items: [{}, {on: false}]\n"
				   "buses: [{name: b, type: nats}]\n";
	struct outer *a = parsed(""), *b = parsed(text);
	const struct inner *items = b->items.items;

	assert_int_equal(a->number, 0);
	assert_int_equal(a->size, 1536 << 10);
	assert_int_equal(a->duration_ms, 5400000);
	assert_null(a->text);
	assert_null(a->secret.value);
	assert_int_equal(a->strings.count, 2);
	assert_string_equal(a->strings.items[1], "b");
	assert_true(a->inner.on);
	assert_int_equal(a->inner.color, 8);
	assert_true(b->number == UINT64_MAX);
	assert_true(b->size == 3ull << 30);
	assert_int_equal(b->duration_ms, 60500);
	assert_string_equal(b->text, "quoted: \"text\"");
	assert_string_equal(b->secret.value, "0123");
	assert_int_equal(b->strings.count, 0);
	assert_false(b->inner.on);
	assert_int_equal(b->items.count, 2);
	assert_true(items[0].on && !items[1].on);
	assert_string_equal(conf_string(&bus_table, b->buses.items[0].conf, "name"), "b");
	(void)conf_destroy(&table, a);
	(void)conf_destroy(&table, b);
}

static void words_of_yes_and_no_are_taken(void **state)
{
	static const char *const yes[] = { "yes", "on", "true", "'yes'" };
	static const char *const no[] = { "no", "off", "false" };

	for (size_t i = 0; i < 7; i++) {
		char text[64];
		struct outer *conf;

		(void)snprintf(text, sizeof(text), "inner: {on: %s}\n", i < 4 ? yes[i] : no[i - 4]);
		conf = parsed(text);
		assert_int_equal(conf->inner.on, i < 4);
		(void)conf_destroy(&table, conf);
	}
	refused("inner: {on: True}", -EINVAL,
		"voxbus.yaml:1: inner: on is \"True\", must be yes, no, on, off, true or false");
}

static const char printed[] = "number: 5\nsize: 1536KiB\nduration: 2500ms\n"
			      "text: \"amqp://joe:***@host/\"\nsecret: \"***\"\n"
			      "strings:\n  - \"$${X}\"\n  - \"null\"\n  - \"a #b\"\n"
			      "inner:\n  on: yes\n  color: green\n"
			      "items:\n  - on: yes\n    color: red\n"
			      "buses:\n  - type: nats\n    name: b\n    heartbeat: 10s\n";

/* What conf_print makes of the configuration above; the text is to be freed. */
static int print_once(char **text)
{
	struct outer *conf = parsed("number: 5\nduration: 2500ms\nsecret: hush\n"
				    "text: amqp://joe:hush@host/\n"
				    "strings: ['$${X}', 'null', 'a #b']\n"
				    "items: [{color: red}]\n"
				    "buses: [{type: nats, name: b}]\n");
	size_t n;
	FILE *f = open_memstream(text, &n);
	int rc;

	counting = true;
	rc = conf_print(&table, conf, f);
	counting = false;
	assert_int_equal(fclose(f), 0);
	assert_non_null(*text);
	(void)conf_destroy(&table, conf);
	return rc;
}

static void print_is_exact(void **state)
{
	char *text = NULL;

	assert_int_equal(print_once(&text), 0);
	assert_string_equal(text, printed);
	free(text);
}

/* A configuration that misses a line would load as another one. */
static void print_without_memory_prints_nothing(void **state)
{
	int rc = -ENOMEM;

	for (long n = 0; rc < 0; n++) {
		char *text = NULL;

		assert_in_range(n, 0, 100);
		left = n;
		rc = print_once(&text);
		left = -1;
		assert_true(rc == 0 || rc == -ENOMEM);
		assert_string_equal(text, rc == 0 ? printed : "");
		free(text);
		assert_true(n > 0 || rc < 0);
	}
}

static void manual_escapes_what_mdoc_would_take(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert_int_equal(conf_doc(&table, variants, f), 0);
	assert_int_equal(fclose(f), 0);
	assert_non_null(text);
	assert_non_null(strstr(text, "\n\\&.Items \\e begin with a point.\n"));
	assert_non_null(strstr(text, ".Ss buses[] with type: nats\n"));
	assert_non_null(strstr(text, "Allowed: 1 to 600 seconds.\nDefault: 10s.\n"));
	free(text);
}

static void environment_is_replaced(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "plain $ and $x {}", "plain $ and $x {}" },
		{ "${CT_A}", "alpha" },
		{ "<${CT_A}${CT_A}>", "<alphaalpha>" },
		{ "${CT_NONE:-def}", "def" },
		{ "${CT_NONE:-}", "" },
		{ "${CT_EMPTY:-def}", "def" },
		{ "${CT_EMPTY}", "" },
		{ "${CT_A:-def}", "alpha" },
		{ "${CT_NONE:-http://h:1/a}", "http://h:1/a" },
		{ "$${CT_A}", "${CT_A}" },
		{ "$$${CT_A}", "$${CT_A}" },
		{ "${CT_NESTED}", "${CT_A}" },
		{ "$", "$" },
	};

	(void)setenv("CT_A", "alpha", 1);
	(void)setenv("CT_EMPTY", "", 1);
	(void)setenv("CT_NESTED", "${CT_A}", 1);
	(void)unsetenv("CT_NONE");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf out;
		struct err e;

		buf_init(&out, 1000);
		assert_int_equal(env_expand(str_from(cases[i].text), &out, &e), 0);
		if (!str_eq(buf_str(&out), str_from(cases[i].want)))
			fail_msg("%s: got %.*s", cases[i].text, STR_ARG(buf_str(&out)));
		buf_fini(&out);
	}
}

static void huge_values_and_files_are_refused(void **state)
{
	char *text = malloc(CONF_TEXT_MAX + 2);

	assert_non_null(text);
	memset(text, '#', CONF_TEXT_MAX + 1);
	text[CONF_TEXT_MAX + 1] = '\0';
	refused(text, -EFBIG, "voxbus.yaml: the file is over 1 MiB");
	memset(text, 'x', 70000);
	memcpy(text, "text: ", 6);
	text[70000] = '\0';
	refused(text, -EFBIG, "voxbus.yaml:1: a value is over 64 KiB");
	memcpy(text, "buses: [", 8);
	for (size_t i = 8; i < 60000; i += 2)
		memcpy(text + i, "a,", 2);
	memcpy(text + 60000, "]", 2);
	refused(text, -EFBIG, "voxbus.yaml:1: over 20000 values, must be fewer");
	memcpy(text + 8 + 600, "]", 2);
	refused(text, -EINVAL, "voxbus.yaml:1: buses has 300 items, must have 0 to 256");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_names_line_path_key_found_and_allowed),
		cmocka_unit_test(every_type_is_read_and_has_its_default),
		cmocka_unit_test(words_of_yes_and_no_are_taken),
		cmocka_unit_test(print_is_exact),
		cmocka_unit_test(print_without_memory_prints_nothing),
		cmocka_unit_test(manual_escapes_what_mdoc_would_take),
		cmocka_unit_test(environment_is_replaced),
		cmocka_unit_test(huge_values_and_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
