/* SPDX-License-Identifier: MIT */
/* Random bytes from the kernel, and the identifiers made of them. */
#ifndef VOXBUS_BASE_RAND_H
#define VOXBUS_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

enum {
	RAND_DIALOG_ID_SIZE = 37, /* 36 characters and a NUL */
	RAND_UUID_SIZE = 37,
};

/* Fills n bytes; never fails (a kernel without getrandom aborts at start). */
void rand_bytes(void *p, size_t n);
/* 0 <= result < below; below is at least 1. Not for secrets. */
uint64_t rand_below(uint64_t below);
/* 2 * n lower-case hex digits of n random bytes, and a NUL; out has 2 * n + 1 bytes. */
void rand_hex(char *out, size_t n);
/*
 * The same for names that are no secrets: the kernel is asked for many at a time. Not in a process that
 * forks and goes on in both: both would draw the same names.
 */
void rand_id_hex(char *out, size_t n);
/* 16 random bytes as 8-4-4-4-12 lower-case hex, no version bits: the shape of a dialog id. */
void rand_dialog_id(char out[RAND_DIALOG_ID_SIZE]);
/* A version 4 UUID (RFC 9562 section 5.4), lower case. */
void rand_uuid(char out[RAND_UUID_SIZE]);

#endif
