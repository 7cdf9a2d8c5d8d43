# SPDX-License-Identifier: MIT
# run-as: root
# needs: setpriv
# Only root gives processes their users back, and only those that the manifest
# names; a program that was executed by another user is not saved.
chmod 755 "$STORY_DIR" .
refuse() { # pattern, then a command
	local pattern=$1

	shift
	check_fails bounded "$@"
	expect_said "$pattern"
}
launch become-user; await ready
checkpoint; kill_all

cp -r "$CKPTDIR" copy
mkdir -m 700 run-61001
chown -R 61001 copy run-61001
refuse 'only root can restart' env XDG_RUNTIME_DIR="$STORY_DIR/run-61001" \
	setpriv --reuid 61001 --regid 61001 --clear-groups \
	ckpt_restart --new-coordinator -p 0 copy

forge() { # sed's expression
	rm -rf forged
	cp -r "$CKPTDIR" forged
	sed -i "$1" forged/*/gen-*/manifest.json
	check_fails cmp -s forged/*/gen-*/manifest.json \
		"$CKPTDIR"/*/gen-*/manifest.json
}
forge s/61001/61005/g
refuse 'does not agree with the manifest' \
	ckpt_restart --new-coordinator -p 0 forged
forge 's/"ids"/"none"/g'
refuse 'ran as uid 61001' ckpt_restart --new-coordinator -p 0 forged
restart; resume; await ready
kill_all

launch sh -c 'setpriv --reuid 61001 --regid 61001 --clear-groups \
	sh -c "echo up; tail -f /dev/null"'
await_output '^up'
checkpoint_fails
expect_said 'become another user, with uid 61001 .*executed a program'
expect_nothing_partial
kill_all
