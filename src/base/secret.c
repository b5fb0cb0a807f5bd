/* SPDX-License-Identifier: MIT */
/* Copying, wiping and comparing secrets without telling by time where they differ. */
#include "base/secret.h"

#include <errno.h>
#include <stdlib.h>

void secret_fini(struct secret *s)
{
	if (s->value)
		explicit_bzero(s->value, strlen(s->value));
	free(s->value);
	s->value = NULL;
}

int secret_set(struct secret *s, struct str value)
{
	char *copy = str_dup(value);

	if (!copy)
		return -ENOMEM;
	secret_fini(s);
	s->value = copy;
	return 0;
}

bool secret_equals(const struct secret *s, struct str given)
{
	struct str want = secret_str(s);
	unsigned differ = want.n != given.n || !want.p;

	for (size_t i = 0; i < given.n; i++)
		differ |= (unsigned char)given.p[i] ^
			  (unsigned char)(want.n ? want.p[i % want.n] : 0);
	return differ == 0;
}
