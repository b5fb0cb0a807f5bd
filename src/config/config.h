/* SPDX-License-Identifier: MIT */
/*
 * YAML text to a struct, and back, as the tables of schema.h say.
 *
 * ${NAME} and ${NAME:-default} in values (not in keys) are replaced from the environment, $${
 * stands for ${ itself; what comes out is a value and is never read as YAML. Refused: anchors,
 * aliases, tags, a second document, over 1 MiB, over 16 levels, bad UTF-8, NUL bytes.
 *
 * Each error is one line: `voxbus.yaml:14: buses[0] "main": heartbeat is 0, must be 1 to 600
 * seconds`. Codes: -EINVAL for what the text says, -EBADMSG where it is no YAML, -EFBIG for its
 * size, -ENOMEM, and from conf_load what opening and reading gave.
 */
#ifndef VOXBUS_CONFIG_CONFIG_H
#define VOXBUS_CONFIG_CONFIG_H

#include <stdio.h>

#include "config/schema.h"

enum { CONF_TEXT_MAX = 1 << 20, CONF_DEPTH_MAX = 16 };

/*
 * filename is for messages only. variants may be NULL when the table has no variant list, and must
 * outlive the result. *ret is a struct of `table`, to be freed by conf_destroy.
 */
int conf_parse(const struct conf_table *table, const struct conf_variant *variants, struct str text,
	       const char *filename, void **ret, struct err *e);
int conf_load(const struct conf_table *table, const struct conf_variant *variants,
	      const char *filename, void **ret, struct err *e);
/* Frees everything in it; secrets are wiped. Takes NULL, returns NULL. */
void *conf_destroy(const struct conf_table *table, void *conf);
/*
 * The effective configuration as YAML, defaults filled in, secrets and passwords in URLs as ***.
 * Apart from those it loads again to the same. 0, -EIO when `out` failed, or -ENOMEM: then nothing
 * was written.
 */
int conf_print(const struct conf_table *table, const void *conf, FILE *out);
/* The keys as an mdoc(7) list: type, default, range, doc. 0, or -EIO when `out` failed. */
int conf_doc(const struct conf_table *table, const struct conf_variant *variants, FILE *out);

#endif
