/* SPDX-License-Identifier: MIT */
/* Code that knows nothing of memory that is out; without fixture_alloc.h. */
#include "oom_victim.h"

#include <errno.h>
#include <stdlib.h>

void *careless_alloc(size_t n)
{
	return malloc(n);
}

int careless_pair(void *ret[2])
{
	void *first = malloc(100), *second = malloc(100);

	if (!first || !second)
		return -ENOMEM;
	ret[0] = first;
	ret[1] = second;
	return 0;
}
