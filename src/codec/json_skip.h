/* SPDX-License-Identifier: MIT */
/* Stepping over an object or an array by its brackets alone: json.c's, for the hot path. */
#ifndef VOXBUS_CODEC_JSON_SKIP_H
#define VOXBUS_CODEC_JSON_SKIP_H

/*
 * p is at '{' or '['. Returns what is behind the bracket that closes it, or NULL when there is
 * none. Strings are respected, nothing else is checked: not even which bracket closes which.
 */
const char *json_skip_container(const char *p, const char *end);

#endif
