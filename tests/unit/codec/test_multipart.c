/* SPDX-License-Identifier: MIT */
/* Multipart bodies: what is in them, and what is none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "codec/multipart.h"

#define TYPE       "multipart/form-data; boundary=b"
#define PART(name) "--b\r\nContent-Disposition: form-data; name=" name "\r\n"

static const struct {
	const char *what, *type, *body;
	const char *expected; /* name[@filename][#type]=body| ..., or the beginning of a refusal */
} cases[] = {
	{ "two fields", TYPE, PART("\"a\"") "\r\n1\r\n" PART("c") "\r\n2 3\r\n--b--\r\n",
	  "a=1|c=2 3|" },
	{ "a file", TYPE,
	  PART("f; filename=\"x.txt\"") "Content-Type: text/plain\r\n\r\nhello\r\n\r\n--b--",
	  "f@x.txt#text/plain=hello\r\n|" },
	{ "nothing in it", TYPE, PART("a") "\r\n\r\n--b--", "a=|" },
	{ "nothing at all in it", TYPE, PART("a") "\r\n--b--", "a=|" },
	{ "a file without a name", TYPE, PART("f; filename=\"\"") "\r\n\r\n--b--", "f@=|" },
	{ "no part", TYPE, "--b--", "" },
	{ "a preamble and an epilogue", TYPE, "x\r\n" PART("a") "\r\n1\r\n--b--\r\nrest", "a=1|" },
	{ "a quoted boundary", "multipart/form-data; charset=x; Boundary=\"b\"",
	  PART("a") "\r\n1\r\n--b--", "a=1|" },
	{ "a longer boundary is content", TYPE, PART("a") "\r\n1\r\n--bb\r\n2\r\n--b--",
	  "a=1\r\n--bb\r\n2|" },
	{ "spaces behind a boundary", TYPE,
	  "--b \t\r\nContent-Disposition: form-data; name=a\r\n"
	  "\r\n1\r\n--b--",
	  "a=1|" },
	{ "half a line end is content", TYPE, PART("a") "\r\n1\n--b--\r\n--b--", "a=1\n--b--|" },
	{ "names in any case, spaces anywhere", TYPE,
	  "--b\r\ncontent-disposition:FORM-DATA ; NAME = \"a\" ;filename=b c\r\n\r\n1\r\n--b--",
	  "a@b c=1|" },
	{ "escapes", TYPE, PART("\"a\\\"%22\\\\;\"; filename=\"C:\\x;y%0D%0a\"") "\r\n1\r\n--b--",
	  "a\"\"\\;@C:\\x;y\r%0a=1|" },
	{ "other headers", TYPE,
	  PART("a") "X-A: 1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n1\r\n--b--", "a=1|" },
	{ "no boundary", "multipart/form-data", "--b--", "!multipart needs a boundary" },
	{ "an empty boundary", "multipart/form-data; boundary=", "--",
	  "!multipart needs a boundary" },
	{ "a boundary that is none", "multipart/form-data; boundary=\"a b\"", "--a b--",
	  "!multipart needs a boundary" },
	{ "an open quote", "multipart/form-data; boundary=\"b", "--b--",
	  "!multipart needs a boundary" },
	{ "another boundary", TYPE, "--c\r\n\r\n--c--", "!the body has no line with" },
	{ "line feeds alone", TYPE, "--b\nContent-Disposition: form-data; name=a\n\n1\n--b--",
	  "!the body has no line with" },
	{ "no body", TYPE, "", "!the body has no line with" },
	{ "cut in the content", TYPE, PART("a") "\r\n1\r\n--b\r", "!the body ends before" },
	{ "cut in the header", TYPE, PART("a"), "!a part ends in its header" },
	{ "no name", TYPE, "--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--",
	  "!a part has no name" },
	{ "no disposition", TYPE, "--b\r\n\r\n1\r\n--b--", "!a part has no name" },
	{ "another disposition", TYPE,
	  "--b\r\nContent-Disposition: attachment; name=a\r\n\r\n--b--",
	  "!a part's Content-Disposition" },
	{ "a folded line", TYPE, PART("a;\r\n filename=b") "\r\n--b--",
	  "!a part has a header line" },
	{ "no colon", TYPE, PART("a") "x\r\n\r\n--b--", "!a part has a header line" },
	{ "an encoding", TYPE, PART("a") "Content-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--b--",
	  "!a part has a Content-Transfer-Encoding" },
	{ "the second is no part", TYPE, PART("a") "\r\n1\r\n--b\r\n",
	  "!a part ends in its header" },
};

static void add_name(struct buf *b, const char *before, struct str name)
{
	char text[256];

	assert_int_equal(buf_add(b, str_from(before)), 0);
	assert_int_equal(buf_add(b, str_make(text, multipart_unescape(text, name))), 0);
}

/* All parts as in `expected`, NUL-terminated. */
static int describe(struct buf *b, struct str type, struct str body)
{
	struct multipart m;
	struct multipart_part part;
	int rc = multipart_begin(&m, type, body);

	buf_clear(b);
	while (rc == 0 && (rc = multipart_next(&m, &part)) > 0) {
		add_name(b, "", part.name);
		if (part.filename.p)
			add_name(b, "@", part.filename);
		if (part.content_type.n)
			add_name(b, "#", part.content_type);
		assert_int_equal(buf_addf(b, "=%.*s|", STR_ARG(part.body)), 0);
		rc = 0;
	}
	if (rc < 0) {
		assert_int_equal(multipart_next(&m, &part), -EBADMSG);
		buf_clear(b);
		assert_int_equal(buf_addf(b, "!%s", m.why), 0);
	}
	assert_int_equal(buf_addc(b, '\0'), 0);
	return rc;
}

static void parts_are_found(void **state)
{
	struct buf b;

	buf_init(&b, 65536);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str body = str_from(cases[i].body);

		print_message("%s\n", cases[i].what);
		(void)describe(&b, str_from(cases[i].type), body);
		if (cases[i].expected[0] == '!')
			assert_true(str_starts(buf_str(&b), str_from(cases[i].expected)));
		else
			assert_string_equal(buf_str(&b).p, cases[i].expected);
		/* Cut anywhere it is whole or refused, in memory of its own. */
		for (; body.n; body.n--) {
			char *copy = malloc(body.n);

			memcpy(copy, body.p, body.n);
			(void)describe(&b, str_from(cases[i].type), str_make(copy, body.n));
			free(copy);
		}
	}
	buf_fini(&b);
}

static void limits_are_kept(void **state)
{
	char boundary[128], body[20000];
	struct multipart m;
	struct multipart_part part;

	for (int n = 69; n < 73; n++) {
		(void)snprintf(boundary, sizeof(boundary), "multipart/form-data; boundary=%0*d", n,
			       0);
		(void)snprintf(body, sizeof(body), "--%0*d--", n, 0);
		assert_int_equal(multipart_begin(&m, str_from(boundary), str_from(body)),
				 n <= 70 ? 0 : -EBADMSG);
	}
	for (int n = 8100; n < 8300; n += 100) {
		(void)snprintf(body, sizeof(body), PART("a") "X: %0*d\r\n\r\n1\r\n--b--", n, 0);
		assert_int_equal(multipart_begin(&m, STR(TYPE), str_from(body)), 0);
		assert_int_equal(multipart_next(&m, &part), n < 8130 ? 1 : -EBADMSG);
	}
	assert_string_equal(m.why, "a part's header is longer than 8 KiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_found),
		cmocka_unit_test(limits_are_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
