/* SPDX-License-Identifier: MIT */
/* ckpt_remote: see remote.h. Nobody calls it by hand. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "remote/remote.h"
#include "util/die.h"

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "--as"))
		call_run(argv[2], argc - 3, argv + 3);
	if (argc == 2 && !strcmp(argv[1], "--serve"))
		serve();
	if (argc == 2 && !strcmp(argv[1], "--run"))
		run();
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("ckpt_remote " PACKAGE_VERSION);
		return 0;
	}
	die("this is called by the library and by ssh; see ckpt(7), REMOTE "
	    "START");
}
