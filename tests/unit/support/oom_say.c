/* SPDX-License-Identifier: MIT */
/*
 * What was found, for people: who wanted the memory, where the program died, who allocated what is lost. The
 * sanitizer knows the names of functions and lines; without it addr2line is asked.
 */
#include "oom_internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_LINES = 45, FRAMES = 14, NAME = 512 };

void __sanitizer_symbolize_pc(void *pc, const char *format, char *out, size_t n)
	__attribute__((weak));

static bool has(const char *line, size_t n, const char *what)
{
	return memmem(line, n, what, strlen(what)) != NULL;
}

/* Without the frames of this folder. */
void oom_print_output(const char *text)
{
	for (int i = 0; i < OUTPUT_LINES && *text;) {
		size_t n = strcspn(text, "\n");

		if (!has(text, n, "support/oom_run.c") && !has(text, n, "libc_start")) {
			printf("    | %.*s\n", (int)n, text);
			i++;
		}
		text += n + (text[n] == '\n');
	}
}

/* "function file:line". */
static void ask_addr2line(const char *pc, char *out, size_t n)
{
	char command[NAME];
	Dl_info info;
	FILE *f;

	if (!dladdr(pc, &info) || !info.dli_fname)
		return;
	(void)snprintf(command, sizeof(command), "addr2line -f -e '%s' %#zx 2>/dev/null",
		       strchr(info.dli_fname, '/') ? info.dli_fname : "/proc/self/exe",
		       (size_t)(pc - (char *)info.dli_fbase));
	f = popen(command, "r");
	if (!f)
		return;
	out[fread(out, 1, n - 1, f)] = '\0';
	(void)pclose(f);
	for (char *p = out; *p; p++)
		if (*p == '\n')
			*p = p[1] ? ' ' : '\0';
}

/* A return address names the line after the call. */
static void name_frame(const void *pc, char *out, size_t n)
{
	out[0] = '\0';
	if (__sanitizer_symbolize_pc)
		__sanitizer_symbolize_pc((char *)pc - 1, "%f %s:%l", out, n);
	else
		ask_addr2line((const char *)pc - 1, out, n);
	if (!out[0])
		(void)snprintf(out, n, "%p", pc);
}

/* The file's last two names are enough. */
static const char *short_file(const char *name)
{
	const char *file = strrchr(name, '/');

	while (file && file > name && file[-1] != '/' && file[-1] != ' ')
		file--;
	if (file)
		return file;
	file = strchr(name, ' ');
	return file ? file + 1 : "";
}

/* "< conn_create net/conn.c:12", and below it who called that. */
static void print_stack(const char *mark, void *const *stack, int depth)
{
	char name[NAME];

	for (int i = 0; i < depth && i < FRAMES; i++) {
		name_frame(stack[i], name, sizeof(name));
		if (strncmp(name, "main ", 5) == 0 || strncmp(name, "child ", 6) == 0)
			break;
		printf("    %s %.*s %s\n", i ? " " : mark, (int)strcspn(name, " "), name,
		       short_file(name));
	}
}

void oom_print_page(const struct oom_page *page)
{
	enum { OURS = 3, SIGNAL = 2 }; /* the wrapper's frames; the handler's, and the kernel's */
	char name[NAME];

	if (page->depth > OURS)
		print_stack("<", page->stack + OURS, page->depth - OURS);
	if (page->crash_depth > SIGNAL)
		print_stack("!", page->crash + SIGNAL, page->crash_depth - SIGNAL);
	for (int i = 0; i < page->n_lost && i < OOM_LOST; i++) {
		name_frame(page->lost[i].caller, name, sizeof(name));
		printf("    lost: %zu bytes of %.*s %s\n", page->lost[i].size,
		       (int)strcspn(name, " "), name, short_file(name));
	}
	if (page->n_lost > OOM_LOST)
		printf("    lost: %d more\n", page->n_lost - OOM_LOST);
}
