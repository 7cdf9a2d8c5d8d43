# shellcheck disable=SC2034 # lib.sh uses it
# SPDX-License-Identifier: MIT
# make -j4 of a C project with many files: the program it builds runs.
# run-as: user root
# needs: gcc make
# timeout: 400
PATIENCE=150
mkdir "$STORY_DIR/work/project"
cd "$STORY_DIR/work/project" || exit 1
{
	printf 'int main(void)\n{\n\tint sum = 0;\n'
	for n in $(seq 60); do
		printf '#include <stdio.h>\n#include <stdlib.h>\n#include <math.h>\nint part_%d(void) { return %d; }\n' \
			"$n" "$n" >"part_$n.c"
		printf '\textern int part_%d(void);\n\tsum += part_%d();\n' "$n" "$n"
	done
	printf '\treturn sum != 1830;\n}\n'
} >main.c
cat >Makefile <<'END'
parts := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(parts)
	gcc -o $@ $^
%.o: %.c
	gcc -O2 -c -o $@ $<
END
launch make -j4
await_output 'gcc'
checkpoint
for _ in 1 2; do
	# Nothing runs between the image and the end: what gcc would have removed
	# meanwhile could not come back.
	check ask -kc >&2
	wait_job >/dev/null
	restart
	await_running
done
expect_exit 0
check ./program
