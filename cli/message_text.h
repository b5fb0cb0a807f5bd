/* SPDX-License-Identifier: MIT */
/* A message of a queue as a line for people. */
#ifndef VOXBUS_CLI_MESSAGE_TEXT_H
#define VOXBUS_CLI_MESSAGE_TEXT_H

#include <cJSON.h>

#include "base/buf.h"

/*
 * Appends "10:15:04.123 name=value ...", or the body, or the JSON value behind the time, and a line
 * feed; without control characters. What has another shape is shown as JSON. 0, or as buf_add.
 */
int message_text_add(const cJSON *message, struct buf *out);

#endif
