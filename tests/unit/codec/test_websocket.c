/* SPDX-License-Identifier: MIT */
/* The handshake's arithmetic (with the RFC's own example) and its refusals. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "codec/websocket.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 section 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct line {
	const char *name, *value;
};

static void add_all(struct websocket_head *head, const struct line *lines)
{
	*head = (struct websocket_head){ 0 };
	for (; lines->name; lines++)
		websocket_head_add(head, str_from(lines->name), str_from(lines->value));
}

static void the_key_of_the_rfc_gives_its_answer(void **state)
{
	char accept[WEBSOCKET_ACCEPT_SIZE], key[WEBSOCKET_KEY_SIZE];

	assert_int_equal(websocket_accept(STR(KEY), accept), 0);
	assert_string_equal(accept, ACCEPT);
	assert_int_equal(websocket_accept(STR("short"), accept), -EBADMSG);
	websocket_key((const unsigned char *)"the sample nonce", key);
	assert_string_equal(key, KEY);
}

#define GOOD                                                                                   \
	{ "Upgrade", "websocket" }, { "Connection", "Upgrade" }, { "Sec-WebSocket-Key", KEY }, \
	{                                                                                      \
		"Sec-WebSocket-Version", "13"                                                  \
	}

static void requests_are_checked(void **state)
{
	static const struct {
		const char *what, *method;
		int minor, rc;
		struct line lines[6];
	} cases[] = {
		{ "good", "GET", 1, 0, { GOOD } },
		{ "any case, lists",
		  "GET",
		  1,
		  0,
		  { { "upgrade", "h2c, WebSocket" },
		    { "CONNECTION", "keep-alive" },
		    { "connection", "foo, upgrade" },
		    { "sec-websocket-key", " " KEY " " },
		    { "sec-websocket-version", "13" } } },
		{ "POST", "POST", 1, -EBADMSG, { GOOD } },
		{ "HTTP/1.0", "GET", 0, -EBADMSG, { GOOD } },
		{ "key twice", "GET", 1, -EBADMSG, { GOOD, { "Sec-WebSocket-Key", KEY } } },
		{ "version 8",
		  "GET",
		  1,
		  -EPROTONOSUPPORT,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Key", KEY },
		    { "Sec-WebSocket-Version", "8" } } },
		{ "no version",
		  "GET",
		  1,
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Key", KEY } } },
		{ "no upgrade",
		  "GET",
		  1,
		  -EBADMSG,
		  { { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Key", KEY },
		    { "Sec-WebSocket-Version", "13" } } },
		{ "no connection",
		  "GET",
		  1,
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Sec-WebSocket-Key", KEY },
		    { "Sec-WebSocket-Version", "13" } } },
		{ "another upgrade",
		  "GET",
		  1,
		  -EBADMSG,
		  { { "Upgrade", "websocket2" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Key", KEY },
		    { "Sec-WebSocket-Version", "13" } } },
		{ "no key",
		  "GET",
		  1,
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Version", "13" } } },
		{ "short key",
		  "GET",
		  1,
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Key", "dGhlIHNhbXBsZQ==" },
		    { "Sec-WebSocket-Version", "13" } } },
		{ "no base64",
		  "GET",
		  1,
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Key", "dGhlIHNhb!BsZSBub25jZQ==" },
		    { "Sec-WebSocket-Version", "13" } } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char accept[WEBSOCKET_ACCEPT_SIZE] = "";
		struct websocket_head head;
		int rc;

		add_all(&head, cases[i].lines);
		rc = websocket_check_request(&head, str_from(cases[i].method), cases[i].minor,
					     accept);
		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].what, rc);
		if (rc == 0)
			assert_string_equal(accept, ACCEPT);
	}
}

static void answers_are_checked(void **state)
{
	static const struct {
		const char *what, *protocol;
		int rc;
		struct line lines[6];
	} cases[] = {
		{ "good",
		  "",
		  0,
		  { { "Upgrade", "WebSocket" },
		    { "Connection", "upgrade" },
		    { "Sec-WebSocket-Accept", ACCEPT } } },
		{ "protocol",
		  "ari",
		  0,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Accept", ACCEPT },
		    { "Sec-WebSocket-Protocol", "ari" } } },
		{ "protocol missing",
		  "ari",
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Accept", ACCEPT } } },
		{ "protocol not asked for",
		  "",
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Accept", ACCEPT },
		    { "Sec-WebSocket-Protocol", "ari" } } },
		{ "extension",
		  "",
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Accept", ACCEPT },
		    { "Sec-WebSocket-Extensions", "permessage-deflate" } } },
		{ "another key's answer",
		  "",
		  -EBADMSG,
		  { { "Upgrade", "websocket" },
		    { "Connection", "Upgrade" },
		    { "Sec-WebSocket-Accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=" } } },
		{ "no answer",
		  "",
		  -EBADMSG,
		  { { "Upgrade", "websocket" }, { "Connection", "Upgrade" } } },
		{ "no upgrade", "", -EBADMSG, { { "Sec-WebSocket-Accept", ACCEPT } } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct websocket_head head;
		int rc;

		add_all(&head, cases[i].lines);
		rc = websocket_check_answer(&head, STR(ACCEPT), str_from(cases[i].protocol));
		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].what, rc);
	}
}

static void close_codes_are_known(void **state)
{
	static const int good[] = { 1000, 1003, 1007, 1011, 1014, 3000, 4999 };
	static const int bad[] = { 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535 };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(websocket_code_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(websocket_code_is_valid(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_of_the_rfc_gives_its_answer),
		cmocka_unit_test(requests_are_checked),
		cmocka_unit_test(answers_are_checked),
		cmocka_unit_test(close_codes_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
