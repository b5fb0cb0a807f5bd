/* SPDX-License-Identifier: MIT */
/*
 * Globs. On a mismatch it goes back to the last star only, so that its time is bounded by the
 * product of the lengths, whatever somebody asks for.
 */
#include "api/glob.h"

bool glob_match(struct str glob, struct str text)
{
	size_t g = 0, t = 0, star = glob.n, mark = 0;

	while (t < text.n) {
		if (g < glob.n && glob.p[g] == '*') {
			star = g++;
			mark = t;
		} else if (g < glob.n && (glob.p[g] == '?' || glob.p[g] == text.p[t])) {
			g++;
			t++;
		} else if (star < glob.n) {
			g = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (g < glob.n && glob.p[g] == '*')
		g++;
	return g == glob.n;
}
