/* SPDX-License-Identifier: MIT */
/* The doctor's findings as text, and the texts that it reads. */
#ifndef VOXBUS_CLI_DOCTOR_TEXT_H
#define VOXBUS_CLI_DOCTOR_TEXT_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * findings: a list of {"id","level","what","fix"}. Appends a line a finding ("ok", "WARN", "FAIL"),
 * a "fix:" line under those that have one, and a line of counts. Returns how many have failed.
 */
unsigned doctor_text(const cJSON *findings, bool colour, struct buf *out);
/*
 * The next address of http.listen in what `voxbusd --print` wrote; *rest begins as the whole text.
 */
bool doctor_next_listen(struct str *rest, struct str *ret);

#endif
