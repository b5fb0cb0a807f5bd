/* SPDX-License-Identifier: MIT */
/*
 * A form's fields, decoded into one piece of memory and sorted by name and place.
 *
 * The order is bytewise, since clients look for the first upper-case "CA" with grep: it must be
 * the CallSid's, and not that of a caller who lives in California.
 */
#include "buses/longpoll/fields.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/form.h"

/* The form of a message or a call: qsort's own work, and its memory, would be the larger part. */
enum { FEW = 32 };

void fields_fini(struct fields *fields)
{
	free(fields->items);
	free(fields->memory);
	*fields = (struct fields){ 0 };
}

static int field_cmp(const void *a, const void *b)
{
	const struct field *fa = a, *fb = b;
	int order = str_cmp(fa->name, fb->name);

	if (order)
		return order;
	return fa->place < fb->place ? -1 : fa->place > fb->place;
}

/* A name's first eight bytes as a number, which is in their order; zeros behind a shorter one. */
static uint64_t beginning(struct str name)
{
	unsigned char bytes[8] = { 0 };

	memcpy(bytes, name.p, name.n < sizeof(bytes) ? name.n : sizeof(bytes));
	uint64_t word = 0;
	for (size_t i = 0; i < sizeof(bytes); i++)
		word = word << 8 | bytes[i];
	return word;
}

/* Most names differ in their beginnings: only the numbers are compared then. */
static void insertion_sort(struct field *items, size_t n)
{
	uint64_t first[FEW];

	for (size_t i = 0; i < n; i++) {
		struct field field = items[i];
		uint64_t own = beginning(field.name);
		size_t at = i;

		while (at && (first[at - 1] > own ||
			      (first[at - 1] == own && field_cmp(&items[at - 1], &field) > 0))) {
			items[at] = items[at - 1];
			first[at] = first[at - 1];
			at--;
		}
		items[at] = field;
		first[at] = own;
	}
}

void fields_sort(struct fields *fields)
{
	if (fields->n <= FEW)
		insertion_sort(fields->items, fields->n);
	else
		qsort(fields->items, fields->n, sizeof(*fields->items), field_cmp);
}

/* As many as there can be, and one more than may be. */
static size_t count_pairs(struct str form)
{
	size_t n = 1;

	for (struct str rest = form; rest.n && n <= FIELDS_MAX; n++)
		(void)str_cut(&rest, '&');
	return n;
}

int fields_init(struct fields *ret, struct str form, struct str without)
{
	struct str rest = form;
	struct form_pair pair;
	size_t n = 0;

	*ret = (struct fields){ 0 };
	if (!form.n)
		return 0;
	ret->memory = malloc(form.n);
	ret->items = malloc(count_pairs(form) * sizeof(*ret->items));
	if (!ret->memory || !ret->items)
		return fields_fini(ret), -ENOMEM;
	for (char *out = ret->memory; form_next_decoded(&rest, &out, &pair);) {
		if (++n > FIELDS_MAX)
			return fields_fini(ret), -E2BIG;
		if (without.n && str_eq(pair.name, without))
			continue;
		ret->items[ret->n] = (struct field){ pair.name, pair.value, ret->n };
		ret->n++;
	}
	fields_sort(ret);
	return 0;
}

struct str fields_find(const struct fields *fields, struct str name)
{
	for (size_t i = 0; i < fields->n; i++)
		if (str_eq(fields->items[i].name, name))
			return fields->items[i].value;
	return str_make(NULL, 0);
}

size_t fields_run(const struct fields *fields, size_t i)
{
	size_t n = 1;

	while (i + n < fields->n && str_eq(fields->items[i + n].name, fields->items[i].name))
		n++;
	return n;
}

void fields_put_firsts(struct json_out *w, const struct fields *fields)
{
	json_out(w, STR("{"));
	for (size_t i = 0; i < fields->n; i += fields_run(fields, i)) {
		json_out(w, str_make(",", i ? 1 : 0));
		if (w->rc == 0)
			w->rc = json_add_member(w->buf, fields->items[i].name,
						fields->items[i].value);
	}
	json_out(w, STR("}"));
}

void fields_put_repeated(struct json_out *w, const struct fields *fields)
{
	bool any = false;

	for (size_t i = 0, n; i < fields->n; i += n) {
		n = fields_run(fields, i);
		if (n == 1)
			continue;
		json_out_string(w, any ? STR(",") : STR(",\"FormValues\":{"),
				fields->items[i].name);
		for (size_t j = 0; j < n; j++)
			json_out_string(w, j ? STR(",") : STR(":["), fields->items[i + j].value);
		json_out(w, STR("]"));
		any = true;
	}
	if (any)
		json_out(w, STR("}"));
}
