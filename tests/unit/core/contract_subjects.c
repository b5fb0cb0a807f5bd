/* SPDX-License-Identifier: MIT */
/* The contract of the op `subjects`: what an engine says of the objects that a command touches. */
#include "contract.h"

enum { FEW = 12 };

static struct msg *asked_about(const char *method, const char *url, const char *body)
{
	struct msg init = { .kind = MSG_COMMAND,
			    .type = str_from(method),
			    .target = str_from(url),
			    .payload = blob_create(str_from(body)) };
	struct msg *m = msg_create(&init);

	(void)blob_unref(init.payload);
	assert_non_null(m);
	return m;
}

/* How many objects it says that the command touches; never more than there is room for. */
static int subjects(struct contract *c, const struct msg *m, struct object_ref *ret, size_t room)
{
	int n;

	c->inside = true;
	n = c->row->ops->subjects(c->self, m, ret, room);
	c->inside = false;
	assert_true(n <= (int)room);
	for (int i = 0; i < n; i++)
		assert_true(ret[i].id.p && ret[i].id.n && ret[i].kind <= OBJECT_RECORDING);
	return n;
}

static bool share(const struct object_ref *a, int n, const struct object_ref *b, int m)
{
	for (int i = 0; i < n; i++)
		for (int k = 0; k < m; k++)
			if (a[i].kind == b[k].kind && str_eq(a[i].id, b[k].id))
				return true;
	return false;
}

void names_what_a_command_touches(const struct contract_row *row)
{
	static const char *const odd[] = { "",
					   "/",
					   "//",
					   "channels",
					   "/channels/",
					   "/?",
					   "/%",
					   "/channels/%00",
					   "/a/b/c/d/e/f/g",
					   "/channels/c1?channel=,,," };
	struct object_ref first[FEW], second[FEW];
	struct contract *c = contract_create(row);

	/* A bus has nothing to say; an engine that has none runs commands one by one. */
	assert_true(!row->ops->subjects || row->ops->roles & PORT_ENGINE);
	if (row->ops->subjects) {
		auto_msg struct msg *answer = asked_about("POST", "/channels/c1/answer", "{}");
		auto_msg struct msg *hangup = asked_about("DELETE", "/channels/c1", "");
		auto_msg struct msg *other = asked_about("DELETE", "/channels/c2", "");
		int n = subjects(c, answer, first, FEW), m;
		char id[8];

		assert_true(n > 0 && first[0].id.n < sizeof(id));
		memcpy(id, first[0].id.p, first[0].id.n); /* it is good until the next call */
		first[0].id.p = id;
		m = subjects(c, hangup, second, FEW);
		assert_true(share(first, 1, second, m));
		m = subjects(c, other, second, FEW);
		assert_true(m > 0 && !share(first, 1, second, m));
		assert_true(subjects(c, answer, first, 0) < 1);
		for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
			auto_msg struct msg *one = asked_about("POST", odd[i], "{\"channel\":[");

			(void)subjects(c, one, first, FEW);
		}
	}
	contract_destroy(c);
}
