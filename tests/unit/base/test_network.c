/* SPDX-License-Identifier: MIT */
/* Which address belongs to which network. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "base/network.h"

static const struct {
	const char *network, *in, *out; /* in NULL: no network */
} cases[] = {
	{ "127.0.0.1", "127.0.0.1", "127.0.0.2" },
	{ "10.0.0.0/8", "10.255.0.1", "11.0.0.1" },
	{ "192.168.4.0/22", "192.168.7.255", "192.168.8.0" },
	{ "0.0.0.0/0", "8.8.8.8", "::1" },
	{ "::1", "::1", "127.0.0.1" },
	{ "fd00::/8", "fdff::1", "fe80::1" },
	{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
	{ "unix", "unix", "" },
	{ "10.0.0.0/33", NULL, NULL },
	{ "10.1.0.0/8", NULL, NULL },
	{ "10.0.0.0/", NULL, NULL },
	{ "10.0.0.0/x", NULL, NULL },
	{ "10.0.0", NULL, NULL },
	{ "::/129", NULL, NULL },
	{ "unix/1", NULL, NULL },
	{ "localhost", NULL, NULL },
	{ "", NULL, NULL },
	{ "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111", NULL, NULL },
};

static void addresses_belong_to_networks(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct network network;
		int rc = network_parse(str_from(cases[i].network), &network);

		print_message("%s\n", cases[i].network);
		assert_int_equal(rc, cases[i].in ? 0 : -EINVAL);
		if (rc < 0)
			continue;
		assert_true(network_has(&network, str_from(cases[i].in)));
		assert_false(network_has(&network, str_from(cases[i].out)));
		assert_false(network_has(&network, str_from("nothing")));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(addresses_belong_to_networks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
