/* SPDX-License-Identifier: MIT */
/* The public half of an nkey: what a server knows a user by. */
#ifndef VOXBUS_BUSES_NATS_NATS_NKEY_H
#define VOXBUS_BUSES_NATS_NATS_NKEY_H

#include <stddef.h>

enum { NATS_NKEY_SIZE = 57 }; /* 56 characters of Base32 and a NUL */

/*
 * Of the user seed (SU...) in that file; white space and other lines around it are passed over. 0, or
 * -EINVAL and a sentence of at most n bytes in reason. Reads the file, so not on the loop.
 */
int nats_nkey_public(const char *file, char ret[NATS_NKEY_SIZE], char *reason, size_t n);

#endif
