/* SPDX-License-Identifier: MIT */
/*
 * Answers of HTTP servers as a benchmark's client needs them: where one ends, and which messages are
 * in it. A message is known by its stamp, a form field of that name with the 16 digits of a
 * moment in microseconds, whether it comes as a form or as JSON, alone or with others.
 */
#ifndef VOXBUS_BENCH_ANSWER_H
#define VOXBUS_BENCH_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#define ANSWER_STAMP "Stamp"

struct answer {
	int status;
	char modified[40], tag[32]; /* Last-Modified and Etag as they came; empty: none */
	unsigned messages;
	void (*on_message)(void *arg, uint64_t stamp_us); /* may be NULL */
	void *arg;
};

/*
 * The length of the answer at the beginning of the text, of a fixed length or in chunks, each message
 * of it told in order; 0: it is not whole yet, and nothing was told. Malformed: ends the program.
 */
size_t answer_take(struct answer *answer, const char *text, size_t n);

#endif
