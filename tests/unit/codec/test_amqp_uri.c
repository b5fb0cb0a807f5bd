/* SPDX-License-Identifier: MIT */
/* URIs of brokers (with the examples of RabbitMQ's appendix), and how a client logs in. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "amqp_bytes.h"
#include "codec/amqp_login.h"
#include "codec/amqp_table.h"
#include "codec/amqp_uri.h"

static void uris_are_read(void **state)
{
	static const struct {
		const char *uri;
		bool tls;
		const char *user, *password, *host;
		int port;
		const char *vhost;
	} cases[] = {
		{ "amqp://user:pass@host:10000/vhost", false, "user", "pass", "host", 10000,
		  "vhost" },
		{ "amqp://user%61:%61pass@ho%61st:10000/v%2fhost", false, "usera", "apass", "hoast",
		  10000, "v/host" },
		{ "amqp://", false, "guest", "guest", "localhost", 5672, "/" },
		{ "amqps://", true, "guest", "guest", "localhost", 5671, "/" },
		{ "AMQP://host", false, "guest", "guest", "host", 5672, "/" },
		{ "amqp://:@/", false, "", "", "localhost", 5672, "/" },
		{ "amqp://user@", false, "user", "guest", "localhost", 5672, "/" },
		{ "amqp://user:pass@", false, "user", "pass", "localhost", 5672, "/" },
		{ "amqp://:10000", false, "guest", "guest", "localhost", 10000, "/" },
		{ "amqp:///vhost", false, "guest", "guest", "localhost", 5672, "vhost" },
		{ "amqp://host/", false, "guest", "guest", "host", 5672, "/" },
		{ "amqp://host/%2f", false, "guest", "guest", "host", 5672, "/" },
		{ "amqp://[::1]", false, "guest", "guest", "::1", 5672, "/" },
		{ "amqps://u:p@[2001:db8::2]:5673/v", true, "u", "p", "2001:db8::2", 5673, "v" },
		{ "amqp://guest:guest@127.0.0.1:5672/", false, "guest", "guest", "127.0.0.1", 5672,
		  "/" },
		{ "amqp://u:p%40%3A%2F%3F%23@h", false, "u", "p@:/?#", "h", 5672, "/" },
		{ "amqp://u:p:q@h", false, "u", "p:q", "h", 5672, "/" },
		{ "amqp://u:+@h/+", false, "u", "+", "h", 5672, "+" },
		{ "amqp://h?heartbeat=10", false, "guest", "guest", "h", 5672, "/" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct amqp_uri u;
		struct err e;
		int rc = amqp_uri_parse(str_from(cases[i].uri), &u, &e);

		if (rc == -ENOMEM)
			return;
		if (rc < 0)
			fail_msg("%s: %s", cases[i].uri, e.text);
		assert_int_equal(u.tls, cases[i].tls);
		assert_string_equal(u.user, cases[i].user);
		assert_string_equal(u.password.value, cases[i].password);
		assert_string_equal(u.host, cases[i].host);
		assert_int_equal(u.port, cases[i].port);
		assert_string_equal(u.vhost, cases[i].vhost);
		amqp_uri_fini(&u);
	}
}

static void parameters_are_read(void **state)
{
	struct amqp_uri u;
	struct err e;

	if (amqp_uri_parse(STR("amqp://h/v?heartbeat=10&connection_timeout=5000&channel_max=7"
			       "&auth_mechanism=EXTERNAL"),
			   &u, &e) == -ENOMEM)
		return;
	assert_int_equal(u.heartbeat_s, 10);
	assert_int_equal(u.connection_timeout_ms, 5000);
	assert_int_equal(u.channel_max, 7);
	assert_true(u.external);
	amqp_uri_fini(&u);
	if (amqp_uri_parse(STR("amqp://h/v?auth_mechanism=plain"), &u, &e) == -ENOMEM)
		return;
	assert_int_equal(u.heartbeat_s, -1);
	assert_int_equal(u.connection_timeout_ms, -1);
	assert_int_equal(u.channel_max, -1);
	assert_false(u.external);
	amqp_uri_fini(&u);
}

static void broken_uris_are_told_without_the_password(void **state)
{
	static const struct {
		const char *uri, *says;
	} cases[] = {
		{ "", "must begin with amqp:// or amqps://" },
		{ "http://u:s3cret@h", "must begin with amqp:// or amqps://" },
		{ "u:s3cret@h", "must begin with" },
		{ "amqp://u:s3@cret@h", "each of @ / ? # [ ] must be written as %40 %2F" },
		{ "amqp://u:s3/cret@h", "each of @ / ?" },
		{ "amqp://u:s3?cret@h", "each of @ / ?" },
		{ "amqp://u:s3#cret@h", "each of @ / ?" },
		{ "amqp://u:s3c%ret@h", "a % in the password must be followed by two hex digits" },
		{ "amqp://u:s3cret%00@h", "the password holds a NUL byte" },
		{ "amqp://u%4:s3cret@h", "a % in the user" },
		{ "amqp://u:s3cret", "the port is no number from 1 to 65535" },
		{ "amqp://u:1s3/cret", "the port is no number" },
		{ "amqp://u:1?s3cret", "parameter 1 is unknown" },
		{ "amqp://u:1#s3cret", "a # must be written as %23" },
		{ "amqp://u:s3cret@h:0", "the port is no number" },
		{ "amqp://u:s3cret@h:65536", "the port is no number" },
		{ "amqp://u:s3cret@h:", "the port is no number" },
		{ "amqp://::1", "an IPv6 address needs brackets" },
		{ "amqp://u:s3cret@[::1", "the host lacks its ]" },
		{ "amqp://u:s3cret@[1.2.3.4]", "the host in brackets is no IPv6 address" },
		{ "amqp://[::1]5672", "behind the ] of the host" },
		{ "amqp://[::1]:", "the port is no number" },
		{ "amqp://u:s3cret@h h", "the host is neither a name nor an address" },
		{ "amqp://h%0a", "the host is neither" },
		{ "amqp://h/a/b", "a / in the virtual host must be written as %2F" },
		{ "amqp://h/%zz", "a % in the virtual host" },
		{ "amqp://h?heartbeat=x", "heartbeat is \"x\", must be a number from 0 to 65535" },
		{ "amqp://h?heartbeat=65536", "must be a number from 0 to 65535" },
		{ "amqp://h?connection_timeout=0", "must be a number from 1 to 600000" },
		{ "amqp://h?auth_mechanism=amqplain", "must be plain or external" },
		{ "amqp://h?heartbeat=1&verify=none",
		  "parameter 2 is unknown; there are heartbeat" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct amqp_uri u;
		struct err e = { "" };
		int rc = amqp_uri_parse(str_from(cases[i].uri), &u, &e);

		if (rc == -ENOMEM)
			return;
		assert_int_equal(rc, -EINVAL);
		if (!strstr(e.text, cases[i].says) || strstr(e.text, "s3") ||
		    strstr(e.text, "cret"))
			fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].uri, e.text, cases[i].says);
		assert_null(u.password.value);
	}
}

static void parts_have_a_length(void **state)
{
	static char uri[1024];
	struct amqp_uri u;
	struct err e;

	for (size_t n = 255; n <= 900; n += n == 255 ? 1 : 644) {
		int rc;

		memcpy(uri, "amqp://h/", 9);
		memset(uri + 9, 'v', n);
		rc = amqp_uri_parse(str_make(uri, 9 + n), &u, &e);
		if (rc == -ENOMEM)
			return;
		assert_int_equal(rc, n == 255 ? 0 : -EINVAL);
		if (rc < 0)
			assert_string_equal(e.text, "the virtual host is over 255 bytes long");
		else
			amqp_uri_fini(&u);
	}
}

static void the_response_of_plain_is_rfc_4616s(void **state)
{
	struct secret password = { 0 };
	struct buf b auto_buf = { 0 };

	buf_init(&b, 100);
	oom_pause();
	assert_int_equal(secret_set(&password, STR("tanstaaftanstaaf")), 0);
	assert_int_equal(amqp_plain_response(&b, STR("tim"), &password), 0);
	assert_true(str_eq(buf_str(&b), STR("\0tim\0tanstaaftanstaaf")));
	assert_int_equal(amqp_plain_response(&b, STR("t\0m"), &password), -EINVAL);
	assert_int_equal(buf_len(&b), 21);
	secret_fini(&password);
	oom_resume();
}

static void mechanisms_are_found_in_the_brokers_list(void **state)
{
	assert_true(amqp_offers(STR("PLAIN AMQPLAIN"), STR("PLAIN")));
	assert_true(amqp_offers(STR("AMQPLAIN PLAIN"), STR("PLAIN")));
	assert_false(amqp_offers(STR("AMQPLAIN"), STR("PLAIN")));
	assert_false(amqp_offers(STR(""), STR("EXTERNAL")));
}

static void capabilities_are_told_to_the_broker(void **state)
{
	static const char *const names[] = {
		"publisher_confirms",         "basic.nack",
		"consumer_cancel_notify",     "connection.blocked",
		"exchange_exchange_bindings", "authentication_failure_close"
	};
	struct buf b auto_buf = { 0 };
	struct amqp_value v;
	struct amqp_fault f;

	buf_init(&b, 1024);
	if (amqp_client_properties(&b, STR("voxbus"), STR("1"), STR("main")) == -ENOMEM) {
		assert_int_equal(buf_len(&b), 0);
		return;
	}
	assert_int_equal(amqp_table_check(buf_str(&b), &f), 0);
	assert_true(amqp_table_find(buf_str(&b), STR("connection_name"), &v));
	assert_true(str_eq(v.str, STR("main")));
	assert_true(amqp_table_find(buf_str(&b), STR("capabilities"), &v) && v.type == 'F');
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_true(amqp_table_says(v.str, str_from(names[i])));
}

static void tune_agrees_on_the_lower_and_zero_is_no_limit(void **state)
{
	static const struct {
		struct amqp_tune ours, theirs, agreed;
	} cases[] = {
		{ { 0, 131072, 0 }, { 2047, 131072, 60 }, { 2047, 131072, 60 } },
		{ { 10, 8192, 30 }, { 0, 0, 0 }, { 10, 8192, 30 } },
		{ { 10, 8192, 30 }, { 5, 4096, 10 }, { 5, 4096, 10 } },
		{ { 10, 8192, 30 }, { 65535, 4294967295, 65535 }, { 10, 8192, 30 } },
	};
	struct amqp_tune low = { 0, 4095, 0 }, agreed;
	struct amqp_fault f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(amqp_tune_agree(&cases[i].ours, &cases[i].theirs, &agreed, &f), 0);
		assert_int_equal(agreed.channel_max, cases[i].agreed.channel_max);
		assert_int_equal(agreed.frame_max, cases[i].agreed.frame_max);
		assert_int_equal(agreed.heartbeat, cases[i].agreed.heartbeat);
	}
	assert_int_equal(amqp_tune_agree(&cases[0].ours, &low, &agreed, &f), -EBADMSG);
	assert_string_equal(f.text,
			    "connection.tune: frame_max is 4095, must be 0 or at least 4096");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uris_are_read),
		cmocka_unit_test(parameters_are_read),
		cmocka_unit_test(broken_uris_are_told_without_the_password),
		cmocka_unit_test(parts_have_a_length),
		cmocka_unit_test(the_response_of_plain_is_rfc_4616s),
		cmocka_unit_test(mechanisms_are_found_in_the_brokers_list),
		cmocka_unit_test(capabilities_are_told_to_the_broker),
		cmocka_unit_test(tune_agrees_on_the_lower_and_zero_is_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
