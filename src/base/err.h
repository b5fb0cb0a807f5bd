/* SPDX-License-Identifier: MIT */
/*
 * A sentence for the person who must act: what is wrong, where, and what is allowed.
 *
 * Functions whose failure is a person's business (configuration, start, control commands) take a
 * `struct err *` as their last argument and fill it exactly when they fail.
 */
#ifndef VOXBUS_BASE_ERR_H
#define VOXBUS_BASE_ERR_H

struct err {
	char text[512];
};

/* Writes the sentence (cut at the end of the buffer) and returns rc. e may be NULL. */
int err_set(struct err *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts a prefix and ": " in front of the sentence, and returns rc. */
int err_prefix(struct err *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
