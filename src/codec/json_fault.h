/* SPDX-License-Identifier: MIT */
/* Where a text stops being JSON, and what should stand there: for files that people write. */
#ifndef VOXBUS_CODEC_JSON_FAULT_H
#define VOXBUS_CODEC_JSON_FAULT_H

#include "base/str.h"

/*
 * For a text that json_parse refuses: where (up to the text's end), and what must be there, as a
 * sentence's end: "a comma or }". NULL: it is JSON.
 */
const char *json_fault(struct str text, const char **ret_at);

#endif
