# SPDX-License-Identifier: MIT
# The job script of README.md, "Batch systems", under Slurm: told that its time
# is nearly over, the job is checkpointed and queued again, and goes on in its
# next turn.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv slurmctld slurmd sbatch scontrol scancel munged /usr/bin/python3
hosts a
slurm a
[ -f "$CKPT_SOURCE/README.md" ] || skip "README.md is not here"

readme_job
cat >work <<'PROGRAM'
#!/usr/bin/python3
import os
import time

i = 0
with open("numbers", "w") as numbers:
    while not os.path.exists("gate"):
        i += 1
        print(i, file=numbers, flush=True)
        time.sleep(0.01)
print("the last one is", i)
PROGRAM
chmod +x work
chown "$STORY_USER" work

await_numbers() { # at least so many
	until [ -f numbers ] && [ "$(wc -l <numbers)" -ge "$1" ]; do :; done
}

submit job.sh
await_numbers 30
for turn in 1 2; do
	next_turn "$turn"
	await_numbers $(($(wc -l <numbers) + 30))
done
: >gate
await_job
last=$(tail -n 1 numbers)
cmp numbers <(seq "$last") || fail "not every number is there once"
expect_file out "^the last one is $last\$"
