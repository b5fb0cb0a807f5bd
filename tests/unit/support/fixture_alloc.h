/* SPDX-License-Identifier: MIT */
/*
 * What a test's own code allocates never fails: each file of tests/unit sees this first. The replay of
 * oom.h is about the daemon's code.
 */
#ifndef VOXBUS_TESTS_FIXTURE_ALLOC_H
#define VOXBUS_TESTS_FIXTURE_ALLOC_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

void *fixture_malloc(size_t n);
void *fixture_calloc(size_t n, size_t size);
void *fixture_realloc(void *p, size_t n);
char *fixture_strndup(const char *s, size_t n);
FILE *fixture_fopen(const char *path, const char *mode);
FILE *fixture_memstream(char **text, size_t *n);
ssize_t fixture_getline(char **line, size_t *size, FILE *f);
DIR *fixture_opendir(const char *path);
int fixture_setenv(const char *name, const char *value);
char *fixture_str_dup(struct str s);
/* Between these two nothing fails on this thread: for fixtures that call the daemon's own code. */
void oom_pause(void);
void oom_resume(void);

#ifndef VOXBUS_OOM_ITSELF
#define malloc(n)                 fixture_malloc(n)
#define calloc(n, size)           fixture_calloc(n, size)
#define realloc(p, n)             fixture_realloc(p, n)
#define strndup(s, n)             fixture_strndup(s, n)
#define fopen(path, mode)         fixture_fopen(path, mode)
#define open_memstream(text, n)   fixture_memstream(text, n)
#define getline(line, size, file) fixture_getline(line, size, file)
#define opendir(path)             fixture_opendir(path)
#define setenv(name, value, over) fixture_setenv(name, value)
#define str_dup(s)                fixture_str_dup(s)
#endif

#endif
