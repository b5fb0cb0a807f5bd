/* SPDX-License-Identifier: MIT */
/* The Command envelope: what any client of a bus may send us. */
#include <assert.h>

#include "envelope/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envelope_command command;
	struct err e = { "" };

	int rc = envelope_command_parse(str_make((const char *)data, size), &command, &e);
	if (rc < 0) {
		assert(e.text[0]);
		return 0;
	}
	assert(command.dummy || (command.method.n && command.url.p));
	envelope_command_fini(&command);
	return 0;
}
