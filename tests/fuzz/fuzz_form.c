/* SPDX-License-Identifier: MIT */
/*
 * Forms, percent-encoding and Base64: whatever comes is refused or decoded within its bounds;
 * looking up finds what walking found, and Base64 that was taken means what it says.
 */
#include <assert.h>
#include <stdlib.h>

#include "codec/base64.h"
#include "codec/form.h"

static void try_form(struct str in)
{
	char *out = malloc(in.n + 1);
	struct str rest = in, name, found;
	struct form_pair pair;

	while (form_next(&rest, &pair)) {
		size_t n = form_decode(out, pair.name);
		char *again = malloc(in.n + 1);

		assert(n <= pair.name.n);
		name = str_make(out, n);
		assert(form_name_is(&pair, name));
		assert(form_find(in, name, again, in.n + 1, &found));
		assert(found.n <= in.n);
		free(again);
	}
	free(out);
}

static void try_escapes(struct str in)
{
	char *out = malloc(in.n + 1);
	long n = url_decode(out, in);

	assert(n <= (long)in.n);
	free(out);
}

static void try_base64(struct str in)
{
	char *out = malloc(in.n / 4 * 3 + 3), *back;
	struct buf b auto_buf;
	long n;

	buf_init(&b, 1 << 16);
	n = base64_decode(out, in);
	if (n >= 0) {
		assert(base64_add(&b, str_make(out, (size_t)n)) == 0);
		assert(str_starts(buf_str(&b), in)); /* but for padding that was left out */
	}
	buf_clear(&b);
	assert(base64_add(&b, in) == 0);
	back = malloc(buf_len(&b) / 4 * 3 + 3);
	n = base64_decode(back, buf_str(&b));
	assert(n >= 0 && str_eq(str_make(back, (size_t)n), in));
	free(back);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;

	if (size > 4096)
		return 0;
	copy = malloc(size + !size);
	memcpy(copy, data, size);
	try_form(str_make(copy, size));
	try_escapes(str_make(copy, size));
	try_base64(str_make(copy, size));
	free(copy);
	return 0;
}
