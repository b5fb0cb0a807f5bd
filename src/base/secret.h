/* SPDX-License-Identifier: MIT */
/*
 * Passwords and tokens. They have a type of their own so that printing one takes an effort:
 * nothing formats a `struct secret`, and where a person expects a value SECRET_SHOWN stands.
 */
#ifndef VOXBUS_BASE_SECRET_H
#define VOXBUS_BASE_SECRET_H

#include <stdbool.h>

#include "base/str.h"

#define SECRET_SHOWN "***"

struct secret {
	char *value; /* malloc'ed, NUL-terminated; NULL when not set */
};

/* Takes a copy: 0 or -ENOMEM. A former value is wiped. */
int secret_set(struct secret *s, struct str value);
/* Wipes and frees. */
void secret_fini(struct secret *s);
static inline struct str secret_str(const struct secret *s)
{
	return str_from(s->value);
}
/* In time that depends on the length of `given` alone. An unset secret equals nothing. */
bool secret_equals(const struct secret *s, struct str given);

#endif
