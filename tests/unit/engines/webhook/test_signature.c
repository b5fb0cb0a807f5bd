/* SPDX-License-Identifier: MIT */
/* Signatures: the published vectors, and what must not pass for one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "codec/form.h"
#include "engines/webhook/signature.h"

#define COMPANY "https://mycompany.com/myapp.php?foo=1&bar=2"
#define CALL                                                             \
	"To=%2B18005551212&From=%2B14158675309&Digits=1234&Caller=%2B14" \
	"158675309&CallSid=CA1234567890ABCDE"
#define SHA  "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
#define JSON "{\"property\": \"value\", \"boolean\": true}"

static const struct {
	const char *what, *url, *form, *body, *signature;
	int rc;
} cases[] = {
	{ "a form", COMPANY, CALL, NULL, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", 0 },
	{ "signed with the default port", COMPANY, CALL, NULL, "kvajT1Ptam85bY51eRf/AJRuM3w=", 0 },
	{ "signed without the port that is there",
	  "https://mycompany.com:443/myapp.php?foo=1&bar=2", CALL, NULL,
	  "RSOYDt4T1cUTdK1PDd93/VVr8B8=", 0 },
	{ "any port that is there", "https://mycompany.com:8443/myapp.php?foo=1&bar=2", CALL, NULL,
	  "RSOYDt4T1cUTdK1PDd93/VVr8B8=", 0 },
	{ "port 80 of http", "http://a.test/x", "k=1", NULL, "AnG92fF66DIL6ELcPxF4tY7ms/k=", 0 },
	{ "its own port", "http://a.test:8090/x", "k=1", NULL, "0qgyq+7IQiQ1cuNYT/FCF06Cs0M=", 0 },
	{ "an IPv6 address", "http://[::1]/x", NULL, NULL, "tF63e1RqHhTPNXdGw9kr8NkTwe0=", 0 },
	{ "an IPv6 address without its port", "http://[::1]:80/x", NULL, NULL,
	  "tF63e1RqHhTPNXdGw9kr8NkTwe0=", 0 },
	{ "no path", "https://a.test", NULL, NULL, "FdL0H1fHxan4Mt29DFByWLNcGEU=", 0 },
	{ "values of one name each once, sorted", "https://a.test/x", "b=&a=2&a=1&a=2", NULL,
	  "SOHzlMJYsPRXVDhiytsYmDEH57k=", 0 },
	{ "a body's hash", COMPANY SHA, NULL, JSON, "a9nBmqA0ju/hNViExpshrM61xv4=", 0 },
	{ "another body's hash", COMPANY SHA, NULL, JSON " ",
	  "a9nBmqA0ju/hNViExpshrM61xv4=", -EBADMSG },
	{ "no body's hash", COMPANY SHA, NULL, "", "a9nBmqA0ju/hNViExpshrM61xv4=", -EBADMSG },
	{ "another URL", COMPANY "&", CALL, NULL, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", -EACCES },
	{ "http instead of https", "http://mycompany.com/myapp.php?foo=1&bar=2", CALL, NULL,
	  "RSOYDt4T1cUTdK1PDd93/VVr8B8=", -EACCES },
	{ "a parameter more", COMPANY, CALL "&x=1", NULL, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", -EACCES },
	{ "a parameter changed", COMPANY, CALL "1", NULL, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", -EACCES },
	{ "case", COMPANY, CALL, NULL, "rSOYDt4T1cUTdK1PDd93/VVr8B8=", -EACCES },
	{ "nothing", COMPANY, CALL, NULL, "", -EACCES },
	{ "cut", COMPANY, CALL, NULL, "RSOYDt4T1cUTdK1PDd93/VVr8B8", -EACCES },
};

/* Decodes the form into memory of `out`. */
static size_t params_of(const char *form, struct signature_param *params, char *out)
{
	struct str rest = str_from(form);
	struct form_pair pair;
	size_t n = 0;

	while (form_next(&rest, &pair)) {
		params[n].name = str_make(out, form_decode(out, pair.name));
		out += params[n].name.n;
		params[n].value = str_make(out, form_decode(out, pair.value));
		out += params[n++].value.n;
	}
	return n;
}

static void signatures_are_checked(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct signature_param params[16];
		char memory[1024];
		const struct signature_input in = {
			.url = str_from(cases[i].url),
			.params = params,
			.n_params = params_of(cases[i].form, params, memory),
			.body = str_from(cases[i].body),
			.is_form = cases[i].form,
		};
		struct str signature = str_from(cases[i].signature);

		print_message("%s\n", cases[i].what);
		assert_int_equal(signature_check(STR("12345"), signature, &in), cases[i].rc);
		assert_int_equal(signature_check(STR("12346"), signature, &in), -EACCES);
		assert_int_equal(signature_check(STR(""), signature, &in), -EACCES);
	}
}

static void a_url_has_a_maximum(void **state)
{
	static char url[SIGNATURE_URL_MAX];
	struct signature_input in = { .url = str_make(url, sizeof(url)) };

	memset(url, 'a', sizeof(url));
	assert_int_equal(signature_check(STR("1"), STR("x"), &in), -EINVAL);
	in.url.n -= 5;
	assert_int_equal(signature_check(STR("1"), STR("x"), &in), -EACCES);
}

#define S1 "RSOYDt4T1cUTdK1PDd93/VVr8B8="
#define S2 "a9nBmqA0ju/hNViExpshrM61xv4="

static void the_header_is_chosen(void **state)
{
	static const struct {
		const char *what;
		struct http_header headers[3];
		const char *expected;
	} choices[] = {
		{ "none", { { STR_INIT("Host"), STR_INIT(S1) } }, NULL },
		{ "known", { { STR_INIT("x-zang-signature"), STR_INIT(" " S1) } }, S1 },
		{ "a known one that is wrong",
		  { { STR_INIT("X-Twilio-Signature"), STR_INIT("x") } },
		  "x" },
		{ "the first of those known",
		  { { STR_INIT("X-SignalWire-Signature"), STR_INIT(S1) },
		    { STR_INIT("X-Twilio-Signature"), STR_INIT(S2) } },
		  S2 },
		{ "known before unknown",
		  { { STR_INIT("X-Acme-Signature"), STR_INIT(S1) },
		    { STR_INIT("X-Zang-Signature"), STR_INIT(S2) } },
		  S2 },
		{ "any other with the right length",
		  { { STR_INIT("X-A-Signature"), STR_INIT("x") },
		    { STR_INIT("X-B-Signature-Old"), STR_INIT(S1) },
		    { STR_INIT("X-Acme-Cloud-Signature"), STR_INIT(S2) } },
		  S2 },
		{ "28 bytes that are no base64",
		  { { STR_INIT("X-A-Signature"), STR_INIT("!SOYDt4T1cUTdK1PDd93/VVr8B8=") } },
		  NULL },
	};

	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		struct str found = signature_of(choices[i].headers, 3);

		print_message("%s\n", choices[i].what);
		assert_int_equal(found.p == NULL, choices[i].expected == NULL);
		assert_true(str_eq(found, str_from(choices[i].expected)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_checked),
		cmocka_unit_test(a_url_has_a_maximum),
		cmocka_unit_test(the_header_is_chosen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
