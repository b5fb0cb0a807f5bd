/* SPDX-License-Identifier: MIT */
/* What all benchmark programs share: how they fail, and how many times become two or three figures. */
#ifndef VOXBUS_BENCH_BENCH_H
#define VOXBUS_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* A line with errno's words, and the end of the program. */
_Noreturn void die(const char *what);
void spread_sort(uint64_t *us, size_t n);
/* Of sorted figures the one below which that percentage lies; 0 when there are none. */
uint64_t spread_at(const uint64_t *us, size_t n, unsigned percent);
/* As many descriptors as this process may have. */
void raise_files(void);
/* A blocking connection to that port of 127.0.0.1, without Nagle's delay. */
int dial(int port);
/* A port of 127.0.0.1 that nobody listens on now. */
int free_port(void);

#endif
