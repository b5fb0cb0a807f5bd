/* SPDX-License-Identifier: MIT */
/* The message object, byte for byte. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "buses/longpoll/document.h"
#include "codec/json.h"

#define FORM       "application/x-www-form-urlencoded"
#define MULTIPART  "multipart/form-data; boundary=b"
#define PART(name) "--b\r\nContent-Disposition: form-data; name=" name "\r\n"
#define CREATED    "\"Created\":\"2026-11-21T00:03:13.114436515Z\""
#define HEAD(sid, url)                                                               \
	"{\"Hostname\":\"vb.example.com\",\"AccountSid\":\"" sid "\",\"Url\":\"" url \
	"\",\"FormParams\":"
#define TAIL ",\"Id\":\"0f\"}"

static const struct {
	const char *what, *target, *type, *body, *expected;
} cases[] = {
	{ "a text message, sorted, as the network posts it", "/AC1/SMS", FORM,
	  "To=%2B15551234567&From=%2B15557654321&Body=Hello+%26+bye%21&AccountSid=AC1&"
	  "SmsSid=SM1",
	  HEAD("AC1", "/AC1/SMS") "{\"AccountSid\":\"AC1\",\"Body\":\"Hello & bye!\","
				  "\"From\":\"+15557654321\",\"SmsSid\":\"SM1\","
				  "\"To\":\"+15551234567\"}," CREATED TAIL },
	{ "the CallSid is the first CA, wherever the caller lives", "/AC1/call.xml", FORM,
	  "CallerState=CA&FromState=CALIFORNIA&Called=1&CallStatus=ringing&CallSid=CA42&"
	  "ApiVersion="
	  "2",
	  HEAD("", "/AC1/call.xml") "{\"ApiVersion\":\"2\",\"CallSid\":\"CA42\","
				    "\"CallStatus\":\"ringing\",\"Called\":\"1\","
				    "\"CallerState\":\"CA\",\"FromState\":\"CALIFORNIA\"}"
				    "," CREATED TAIL },
	{ "repeated names", "/AC1/q", FORM, "b=2&a=1&b=1&b=2&c",
	  HEAD("", "/AC1/q") "{\"a\":\"1\",\"b\":\"2\",\"c\":\"\"}," CREATED
			     ",\"FormValues\":{\"b\":[\"2\",\"1\",\"2\"]}" TAIL },
	{ "two repeated names", "/AC1/q", FORM, "b=1&a=1&a=2&b=2",
	  HEAD("", "/AC1/q") "{\"a\":\"1\",\"b\":\"1\"}," CREATED
			     ",\"FormValues\":{\"a\":[\"1\",\"2\"],\"b\":[\"1\",\"2\"]}" TAIL },
	{ "what needs no escape has none, and bytes that are no UTF-8 are marked", "/AC1/q", FORM,
	  "a=%3C%2F%C3%A4%22%0A%FF",
	  HEAD("", "/AC1/q") "{\"a\":\"</\xc3\xa4\\\"\\n\xef\xbf\xbd\"}," CREATED TAIL },
	{ "a query is kept, its session is not", "/AC1/q?b=%20x&session=s3cret&a=1&b=2", FORM,
	  "x=1",
	  HEAD("", "/AC1/q?b=%20x&a=1&b=2") "{\"x\":\"1\"}," CREATED
					    ",\"QueryParams\":{\"a\":\"1\",\"b\":\" "
					    "x\"}" TAIL },
	{ "a session in disguise", "/AC1/q?s%65ssion=s3cret&session", FORM, "",
	  HEAD("", "/AC1/q") "{}," CREATED TAIL },
	{ "nothing", "/AC1/q", NULL, "", HEAD("", "/AC1/q") "{}," CREATED TAIL },
	{ "JSON, compact, numbers as they are", "/AC1/q", "application/json; charset=utf-8",
	  " {\"a\" : [1.0e5,\t12345678901234567890 ],\r\n\"b c\":\"x \\\" y\"}",
	  HEAD("", "/AC1/q") "{}," CREATED ",\"ContentType\":\"application/json; charset=utf-8\","
			     "\"Json\":{\"a\":[1.0e5,12345678901234567890],\"b c\":\"x \\\" "
			     "y\"}" TAIL },
	{ "JSON of a kind", "/AC1/q", "application/vnd.x+json", "[]",
	  HEAD("", "/AC1/q") "{}," CREATED
			     ",\"ContentType\":\"application/vnd.x+json\",\"Json\":[]" TAIL },
	{ "what is no JSON", "/AC1/q", "application/json", "{'a':1}",
	  HEAD("", "/AC1/q") "{}," CREATED ",\"ContentType\":\"application/"
			     "json\",\"Body\":\"{'a':1}\"" TAIL },
	{ "XML, with its bare &", "/AC1/q", "text/xml", "<R a=\"x&y\"/>\n",
	  HEAD("", "/AC1/q") "{}," CREATED ",\"ContentType\":\"text/xml\",\"Body\":\"<R "
			     "a=\\\"x&y\\\"/>\\n\"" TAIL },
	{ "XML that curl calls a form", "/AC1/q", FORM, " \n<Response/>",
	  HEAD("", "/AC1/q") "{}," CREATED ",\"ContentType\":\"application/"
			     "xml\",\"Body\":\" \\n<Response/>\"" TAIL },
	{ "text without a type", "/AC1/q", NULL, "hi",
	  HEAD("", "/AC1/q") "{}," CREATED ",\"ContentType\":\"\",\"Body\":\"hi\"" TAIL },
	{ "a multipart form", "/AC1/q", MULTIPART,
	  PART("b") "\r\n2\r\n" PART("CallSid") "\r\nCA1\r\n" PART("b") "\r\n\xff\r\n" PART(
		  "f; filename=\"a%22.png\"") "Content-Type: "
					      "image/png\r\n\r\n\x89PNG\r\n" PART("g; "
										  "filename"
										  "=x") "\r"
											"\n"
											"\r"
											"\n"
											"--"
											"b-"
											"-",
	  HEAD("", "/AC1/q") "{\"CallSid\":\"CA1\",\"b\":\"2\"}," CREATED
			     ",\"FormValues\":{\"b\":[\"2\",\"\xef\xbf\xbd\"]},\"Files\":["
			     "{\"Name\":\"f\",\"Filename\":\"a\\\".png\",\"ContentType\":"
			     "\"image/png\",\"Base64\":\"iVBORw==\"},{\"Name\":\"g\","
			     "\"Filename\":\"x\",\"ContentType\":\"\",\"Base64\":\"\"}]" TAIL },
	{ "bytes", "/AC1/q", "image/png", "\x89PNG",
	  HEAD("", "/AC1/q") "{}," CREATED ",\"ContentType\":\"image/"
			     "png\",\"BodyBase64\":\"iVBORw==\"" TAIL },
};

static int write_document(struct buf *b, const struct posted *posted)
{
	struct document d;
	struct err e;
	int rc = document_read(posted, &d, &e);

	if (rc < 0)
		return rc;
	rc = document_write(b, &d, STR("0f"), 1795219393114436515ull);
	document_fini(&d);
	return rc;
}

static void documents_have_these_bytes(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct posted d = { .host = STR("vb.example.com:8090"),
				    .target = str_from(cases[i].target),
				    .content_type = str_from(cases[i].type),
				    .body = str_from(cases[i].body) };
		struct json json;
		struct buf b;

		print_message("%s\n", cases[i].what);
		buf_init(&b, 65536);
		assert_int_equal(write_document(&b, &d), 0);
		assert_int_equal(json_parse(buf_str(&b), &json), 0);
		assert_int_equal(buf_addc(&b, '\0'), 0);
		assert_string_equal(buf_str(&b).p, cases[i].expected);
		buf_clear(&b);
		/* Cut anywhere it is still a document, if it is not multipart. */
		for (; d.body.n; d.body.n--) {
			buf_clear(&b);
			int rc = write_document(&b, &d);
			if (rc == -EBADMSG && str_eq(d.content_type, STR(MULTIPART)))
				continue;
			assert_int_equal(rc, 0);
			assert_int_equal(json_parse(buf_str(&b), &json), 0);
		}
		buf_fini(&b);
	}
}

static void a_host_loses_its_port(void **state)
{
	static const char *const hosts[][2] = {
		{ "a:1", "a" },       { "a", "a" }, { "[::1]:80", "[::1]" },
		{ "[::1]", "[::1]" }, { "[", "[" }, { "", "" }
	};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct posted d = { .host = str_from(hosts[i][0]), .target = STR("/") };
		struct json json;
		struct buf b;

		buf_init(&b, 4096);
		assert_int_equal(write_document(&b, &d), 0);
		assert_int_equal(json_parse(buf_str(&b), &json), 0);
		assert_true(json_is(json_get(json, STR("Hostname")), str_from(hosts[i][1])));
		buf_fini(&b);
	}
}

/* Few are sorted otherwise than many. */
static void fields_are_sorted_by_name_and_place_however_many(void **state)
{
	for (size_t n = 1; n <= 100; n++) {
		struct fields fields;
		struct buf form;
		uint64_t value;

		buf_init(&form, 4096);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf_addf(&form, "&n%zu=%zu", i * 7 % 13, i), 0);
		assert_int_equal(fields_init(&fields, buf_str(&form), STR("")), 0);
		assert_int_equal(fields.n, n);
		for (size_t i = 1; i < n; i++) {
			const struct field *a = &fields.items[i - 1], *b = &fields.items[i];
			int order = str_cmp(a->name, b->name);

			assert_true(order < 0 || (order == 0 && a->place < b->place));
			assert_int_equal(str_u64(b->value, &value), 0);
			assert_int_equal(value, b->place);
		}
		fields_fini(&fields);
		buf_fini(&form);
	}
}

static void a_form_has_a_maximum(void **state)
{
	struct posted d = { .target = STR("/"), .content_type = STR(FORM) };
	struct buf body, b;

	buf_init(&body, 65536);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 10001; i++)
		assert_int_equal(buf_add(&body, STR("a&")), 0);
	d.body = buf_str(&body);
	assert_int_equal(write_document(&b, &d), -E2BIG);
	d.body.n -= 2;
	assert_int_equal(write_document(&b, &d), 0);
	buf_fini(&b);
	buf_fini(&body);
}

static void what_does_not_fit_is_refused(void **state)
{
	struct posted d = { .target = STR("/?a=1"), .content_type = STR(FORM), .body = STR("a=1") };
	struct buf b;

	for (size_t max = 0; max < 100; max++) {
		buf_init(&b, max);
		assert_int_equal(write_document(&b, &d), -ENOBUFS);
		buf_fini(&b);
	}
}

static void what_was_posted_can_be_asked_for(void **state)
{
	static const struct {
		const char *what, *target, *type, *body;
		bool by_get;
		const char *expected; /* NULL: none */
	} cases_of_params[] = {
		{ "a form", "/q?CallSid=no", FORM, "a=1&CallSid=CA%31&CallSid=2", false, "CA1" },
		{ "a form without it", "/q?CallSid=no", FORM, "a=1", false, NULL },
		{ "a GET", "/q?a=1&CallSid=CA1", NULL, "", true, "CA1" },
		{ "JSON", "/q", "application/json", " {\"a\":{\"CallSid\":1},\"CallSid\":\"CA1\"}",
		  false, "CA1" },
		{ "JSON, a number", "/q", "application/json", "{\"CallSid\":1}", false, NULL },
		{ "JSON, escaped", "/q", "application/json", "{\"CallSid\":\"\\u0041\"}", false,
		  NULL },
		{ "a JSON list", "/q", "application/json", "[\"CallSid\"]", false, NULL },
		{ "no JSON", "/q", "application/json", "{\"CallSid\":\"CA1\"", false, NULL },
		{ "text", "/q", "text/plain", "CallSid=CA1", false, NULL },
	};

	for (size_t i = 0; i < sizeof(cases_of_params) / sizeof(cases_of_params[0]); i++) {
		const struct posted posted = { .target = str_from(cases_of_params[i].target),
					       .content_type = str_from(cases_of_params[i].type),
					       .body = str_from(cases_of_params[i].body),
					       .query_is_form = cases_of_params[i].by_get };
		struct document d;
		struct err e;

		print_message("%s\n", cases_of_params[i].what);
		assert_int_equal(document_read(&posted, &d, &e), 0);
		struct str value = document_param(&d, STR("CallSid"));
		assert_int_equal(value.p == NULL, cases_of_params[i].expected == NULL);
		assert_true(str_eq(value, str_from(cases_of_params[i].expected)));
		document_fini(&d);
	}
}

static void a_get_has_its_query_as_form(void **state)
{
	const struct posted posted = { .host = STR("vb.example.com"),
				       .target = STR("/AC1/SMS?b=2&session=x&a=1&a=3"),
				       .query_is_form = true };
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(write_document(&b, &posted), 0);
	assert_int_equal(buf_addc(&b, '\0'), 0);
	assert_string_equal(
		buf_str(&b).p,
		HEAD("", "/AC1/SMS?b=2&a=1&a=3") "{\"a\":\"1\",\"b\":\"2\"}," CREATED
						 ",\"FormValues\":{\"a\":[\"1\",\"3\"]}" TAIL);
	buf_fini(&b);
}

static void a_packed_body_is_unpacked(void **state)
{
	/* printf 'b=1&a=2' | gzip -n */
	static const char gz[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\xb2\x35\x54\x4b\xb4"
				 "\x35\x02\x00\x3c\x4f\x93\xcb\x07\x00\x00\x00";
	static const struct {
		const char *what, *encoding;
		size_t max;
		int rc;
		const char *why;
	} packed[] = {
		{ "gzip", "gzip", 7, 0, NULL },
		{ "as it was once called", " X-GZIP", 100, 0, NULL },
		{ "too large", "gzip", 6, -E2BIG, "the body has more than 6 bytes when" },
		{ "twice", "gzip, gzip", 100, -EOPNOTSUPP, "Content-Encoding may be gzip" },
		{ "another", "br", 100, -EOPNOTSUPP, "Content-Encoding may be gzip" },
	};
	struct posted posted = { .host = STR("vb.example.com"),
				 .target = STR("/AC1/q"),
				 .content_type = STR(FORM),
				 .body = str_make(gz, sizeof(gz) - 1) };

	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
		struct document d;
		struct err e;

		print_message("%s\n", packed[i].what);
		posted.encoding = str_from(packed[i].encoding);
		posted.body_max = packed[i].max;
		assert_int_equal(document_read(&posted, &d, &e), packed[i].rc);
		if (packed[i].why) {
			assert_true(str_starts(str_from(e.text), str_from(packed[i].why)));
			continue;
		}
		assert_true(str_eq(document_param(&d, STR("a")), STR("2")));
		document_fini(&d);
	}
	posted.encoding = STR("gzip");
	posted.body.n--;
	struct buf b;
	buf_init(&b, 4096);
	assert_int_equal(write_document(&b, &posted), -EBADMSG);
	posted.encoding = STR("identity");
	assert_int_equal(write_document(&b, &posted), 0);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_have_these_bytes),
		cmocka_unit_test(a_host_loses_its_port),
		cmocka_unit_test(fields_are_sorted_by_name_and_place_however_many),
		cmocka_unit_test(a_form_has_a_maximum),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(what_was_posted_can_be_asked_for),
		cmocka_unit_test(a_get_has_its_query_as_form),
		cmocka_unit_test(a_packed_body_is_unpacked),
	};
	(void)setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
