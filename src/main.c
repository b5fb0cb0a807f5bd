/* SPDX-License-Identifier: MIT */
/* voxbusd: options, signals, start and stop. */
int main(void)
{
	return 0;
}
