/* SPDX-License-Identifier: MIT */
/* A program that cannot be preloaded.
 * BUILD: -static */
#include "story.h"

int main(void)
{
	for (;;)
		pause();
}
