/* SPDX-License-Identifier: MIT */
/* Buffers with a maximum, maps, lists, secrets, identifiers, error sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/secret.h"

static void buffer_refuses_what_passes_its_maximum(void **state)
{
	auto_buf struct buf b;

	buf_init(&b, 10);
	assert_int_equal(buf_add(&b, STR("12345678")), 0);
	assert_int_equal(buf_add(&b, STR("901")), -ENOBUFS);
	assert_true(str_eq(buf_str(&b), STR("12345678")));
	buf_consume(&b, 5);
	assert_int_equal(buf_add(&b, STR("abcdefg")), 0);
	assert_true(str_eq(buf_str(&b), STR("678abcdefg")));
	assert_int_equal(buf_addc(&b, '!'), -ENOBUFS);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOBUFS);
}

static void buffer_grows_and_gives_back(void **state)
{
	auto_buf struct buf b;

	buf_init(&b, 1 << 20);
	for (int i = 0; i < 30000; i++)
		assert_int_equal(buf_addf(&b, "%d,", i % 10), 0);
	assert_int_equal(buf_len(&b), 60000);
	buf_consume(&b, 59998);
	assert_true(str_eq(buf_str(&b), STR("9,")));
	assert_int_equal(buf_add(&b, STR("x")), 0);
	assert_true(str_eq(buf_str(&b), STR("9,x")));
	for (int i = 0; i < 9000; i++)
		assert_int_equal(buf_add(&b, STR("0123456789")), 0);
	buf_consume(&b, buf_len(&b));
	assert_null(b.base);
}

struct thing {
	struct map_node node;
	struct list link;
	char name[16];
};

static void map_finds_what_is_in_it(void **state)
{
	enum { N = 1000 };
	static struct thing things[N];
	struct map m;
	size_t seen = 0;

	map_init(&m);
	assert_null(map_find(&m, STR("x")));
	for (int i = 0; i < N; i++) {
		(void)snprintf(things[i].name, sizeof(things[i].name), "k%d", i);
		assert_int_equal(map_add(&m, &things[i].node, str_from(things[i].name)), 0);
	}
	for (int i = 0; i < N; i++)
		assert_ptr_equal(map_find(&m, str_from(things[i].name)), &things[i].node);
	assert_null(map_find(&m, STR("k1000")));
	map_for_each (it, &m) {
		seen++;
		if (seen % 2)
			map_del(&m, it);
	}
	assert_int_equal(seen, N);
	assert_int_equal(m.count, N / 2);
	map_fini(&m);
}

static void list_keeps_order_and_forgives_a_second_removal(void **state)
{
	struct thing a = { .name = "a" }, b = { .name = "b" }, c = { .name = "c" };
	struct list head, other;
	char order[4] = "";
	size_t n = 0;

	list_init(&head);
	list_init(&other);
	list_add_tail(&head, &b.link);
	list_add_head(&head, &a.link);
	list_add_tail(&other, &c.link);
	list_splice_tail(&head, &other);
	assert_true(list_empty(&other));
	list_for_each_safe (it, &head) {
		order[n++] = container_of(it, struct thing, link)->name[0];
		list_del(it);
		list_del(it);
	}
	assert_string_equal(order, "abc");
	assert_true(list_empty(&head));
}

static void secret_equals_only_itself(void **state)
{
	struct secret s = { NULL };

	assert_false(secret_equals(&s, STR("")));
	assert_int_equal(secret_set(&s, STR("geheim")), 0);
	assert_true(secret_equals(&s, STR("geheim")));
	assert_false(secret_equals(&s, STR("geheiM")));
	assert_false(secret_equals(&s, STR("geheimgeheim")));
	assert_false(secret_equals(&s, STR("")));
	assert_int_equal(secret_set(&s, STR("")), 0);
	assert_true(secret_equals(&s, STR("")));
	assert_false(secret_equals(&s, STR("x")));
	secret_fini(&s);
}

static void identifiers_have_their_shapes(void **state)
{
	char a[RAND_UUID_SIZE], b[RAND_DIALOG_ID_SIZE], h[9];

	rand_uuid(a);
	rand_dialog_id(b);
	rand_hex(h, 4);
	assert_int_equal(strlen(a), 36);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_int_equal(strlen(b), 36);
	assert_true(b[8] == '-' && b[13] == '-' && b[18] == '-' && b[23] == '-');
	assert_int_equal(strspn(h, "0123456789abcdef"), 8);
	for (int i = 0; i < 1000; i++)
		assert_in_range(rand_below(7), 0, 6);
}

/* More than its pool has, in pieces that don't divide it. */
static void pooled_ids_have_their_shape_and_never_repeat(void **state)
{
	char ids[1000][27];

	for (size_t i = 0; i < 1000; i++) {
		rand_id_hex(ids[i], 13);
		assert_int_equal(strspn(ids[i], "0123456789abcdef"), 26);
		assert_int_equal(strlen(ids[i]), 26);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
}

static void sentence_is_cut_and_prefixed(void **state)
{
	char big[1000];
	struct err e;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(err_set(&e, -EINVAL, "%s", big), -EINVAL);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_int_equal(err_prefix(&e, -EINVAL, "place"), -EINVAL);
	assert_int_equal(strncmp(e.text, "place: xxx", 10), 0);
	assert_int_equal(err_set(NULL, -EIO, "nobody listens"), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffer_refuses_what_passes_its_maximum),
		cmocka_unit_test(buffer_grows_and_gives_back),
		cmocka_unit_test(map_finds_what_is_in_it),
		cmocka_unit_test(list_keeps_order_and_forgives_a_second_removal),
		cmocka_unit_test(secret_equals_only_itself),
		cmocka_unit_test(identifiers_have_their_shapes),
		cmocka_unit_test(pooled_ids_have_their_shape_and_never_repeat),
		cmocka_unit_test(sentence_is_cut_and_prefixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
