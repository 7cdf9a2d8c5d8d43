# shellcheck disable=SC2034 # lib.sh uses them
# SPDX-License-Identifier: MIT
# sqlite3 in the middle of a transaction on a file: locks and journal are
# there after the restart, and the transaction commits.
# run-as: user root
# needs: sqlite3
# timeout: 300
mkfifo "$STORY_DIR/sql"
STDIN=$STORY_DIR/sql
exec {SQL}<>"$STORY_DIR/sql"
launch sqlite3 "$STORY_DIR/work/data.db"
cat >&"$SQL" <<'END'
PRAGMA cache_size = 20;
CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
INSERT INTO account SELECT i, i * 3, hex(randomblob(40)) FROM n;
COMMIT;
BEGIN;
UPDATE account SET balance = balance + 1;
SELECT 'half way';
END
await_output 'half way'
checkpoint
echo "SELECT 'going on';" >&"$SQL"
await_output 'going on'
checkpoint
for cycle in 1 2; do
	kill_all
	restart
	await_running
	echo "UPDATE account SET balance = balance + 1; SELECT 'cycle $cycle';" >&"$SQL"
	await_output "cycle $cycle"
	check_fails bounded sqlite3 "$STORY_DIR/work/data.db" 'BEGIN IMMEDIATE'
	expect_said 'locked'
	checkpoint
done
cat >&"$SQL" <<'END'
COMMIT;
PRAGMA integrity_check;
SELECT 'sum ' || sum(balance) || ' of ' || count(*) FROM account;
.quit
END
expect_exit 0
expect_file "$STORY_DIR/out" '^ok$'
expect_file "$STORY_DIR/out" '^sum 3750225000 of 50000$'
