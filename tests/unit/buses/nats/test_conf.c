/* SPDX-License-Identifier: MIT */
/* Servers' URLs, and public keys out of seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "buses/nats/nats_conf.h"
#include "buses/nats/nats_nkey.h"

static void urls_are_read_and_nonsense_is_refused(void **state)
{
	static const struct {
		const char *what, *url, *host_port, *user, *password;
		bool tls, has_password;
	} cases[] = {
		{ "plain", "nats://127.0.0.1:4222", "127.0.0.1:4222", "", "", false, false },
		{ "no port", "nats://example.com", "example.com", "", "", false, false },
		{ "a slash", "nats://example.com:1/", "example.com:1", "", "", false, false },
		{ "TLS", "tls://example.com:1", "example.com:1", "", "", true, false },
		{ "IPv6", "nats://[::1]:4222", "[::1]:4222", "", "", false, false },
		{ "IPv6 without a port", "nats://[::1]", "[::1]", "", "", false, false },
		{ "user", "nats://u:p@h:1", "h:1", "u", "p", false, true },
		{ "empty password", "nats://u:@h:1", "h:1", "u", "", false, true },
		{ "token", "nats://t0ken@h:1", "h:1", "t0ken", "", false, false },
		{ "another scheme", "http://h:1", NULL, NULL, NULL, false, false },
		{ "none", "h:1", NULL, NULL, NULL, false, false },
		{ "no host", "nats://", NULL, NULL, NULL, false, false },
		{ "no user", "nats://@h", NULL, NULL, NULL, false, false },
		{ "a path", "nats://h:1/x", NULL, NULL, NULL, false, false },
		{ "a port that is none", "nats://h:x", NULL, NULL, NULL, false, false },
		{ "two servers", "nats://h:1,nats://i:2", NULL, NULL, NULL, false, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct nats_url url;
		int rc = nats_url_parse(str_from(cases[i].url), &url);

		print_message("%s\n", cases[i].what);
		assert_int_equal(rc, cases[i].host_port ? 0 : -EINVAL);
		if (rc < 0)
			continue;
		assert_true(str_eq(url.host_port, str_from(cases[i].host_port)));
		assert_true(str_eq(url.user, str_from(cases[i].user)));
		assert_true(str_eq(url.password, str_from(cases[i].password)));
		assert_int_equal(url.tls, cases[i].tls);
		assert_int_equal(url.has_password, cases[i].has_password);
	}
}

static int public_of(const char *text, char ret[NATS_NKEY_SIZE], char *reason, size_t n)
{
	char path[] = "/tmp/voxbus-nkey-XXXXXX";
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	rc = nats_nkey_public(path, ret, reason, n);
	(void)unlink(path);
	return rc;
}

/* The pair is of the NATS documentation on nkeys. */
static void public_key_follows_from_the_seed(void **state)
{
	static const char seed[] = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
	static const char public_key[] = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
	char got[NATS_NKEY_SIZE], text[256], reason[128] = "";
	const char *const around[] = { "%s", "%s\n", "# a comment\n  %s\r\n# SU\n" };

	for (size_t i = 0; i < sizeof(around) / sizeof(*around); i++) {
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(text, sizeof(text), around[i], seed);
		assert_int_equal(public_of(text, got, reason, sizeof(reason)), 0);
		assert_string_equal(got, public_key);
	}
}

static void file_without_a_seed_is_named(void **state)
{
	static const char *const texts[] = {
		"",
		"SU\n",
		"SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VX\n", /* its checksum */
		"SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3V1\n", /* not Base32 */
		"UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4\n",   /* the public one */
	};
	char got[NATS_NKEY_SIZE], reason[128];

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(public_of(texts[i], got, reason, sizeof(reason)), -EINVAL);
		assert_non_null(strstr(reason, "holds no seed"));
	}
	assert_int_equal(nats_nkey_public("/nonexistent/x", got, reason, sizeof(reason)), -EINVAL);
	assert_non_null(strstr(reason, "/nonexistent/x can't be read"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_read_and_nonsense_is_refused),
		cmocka_unit_test(public_key_follows_from_the_seed),
		cmocka_unit_test(file_without_a_seed_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
