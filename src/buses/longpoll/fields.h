/* SPDX-License-Identifier: MIT */
/*
 * Named values, as forms and queries have them, sorted by name and place: the first value of each
 * name, and all values of repeated ones, come out of one walk.
 */
#ifndef VOXBUS_LONGPOLL_FIELDS_H
#define VOXBUS_LONGPOLL_FIELDS_H

#include "base/str.h"
#include "codec/json_out.h"

enum { FIELDS_MAX = 10000 };

struct field {
	struct str name, value;
	size_t place;
};

struct fields {
	struct field *items;
	char *memory; /* of decoded names and values */
	size_t n;
};

/* Decodes and sorts a form; fields named `without` are left out. 0, -E2BIG, -ENOMEM. */
int fields_init(struct fields *ret, struct str form, struct str without);
/* By name and place, after the items were filled in. */
void fields_sort(struct fields *fields);
/* Also of zeroed memory. */
void fields_fini(struct fields *fields);
/* The first value of that name, or p = NULL. */
struct str fields_find(const struct fields *fields, struct str name);
/* How many fields from i on have its name; they follow each other in the order of the form. */
size_t fields_run(const struct fields *fields, size_t i);
/* {"name":"first value",...} */
void fields_put_firsts(struct json_out *w, const struct fields *fields);
/* ,"FormValues":{"name":["a","b"],...}: repeated names only, and nothing if there is none. */
void fields_put_repeated(struct json_out *w, const struct fields *fields);

#endif
