# shellcheck disable=SC2034 # lib.sh uses it
# SPDX-License-Identifier: MIT
# PostgreSQL with a cluster of its own, and pgbench over its unix socket,
# launched into the same computation. Checkpointed while busy and twice
# restarted, the sums of all balances agree and pg_amcheck finds nothing.
# timeout: 300
for pg in /usr/lib/postgresql/*/bin; do :; done
PATH=$pg:$PATH
need initdb postgres pgbench pg_amcheck psql unshare
export PGHOST=$STORY_DIR/work PGUSER=pg PGDATABASE=postgres LC_ALL=C TZ=UTC
sql() { bounded psql -qAtX -c "$1"; }
busy() { # more transactions come to be
	local before now deadline=$((SECONDS + PATIENCE))

	before=$(sql 'SELECT count(*) FROM pgbench_history')
	until now=$(sql 'SELECT count(*) FROM pgbench_history') &&
		[ "$now" -gt $((before + 50)) ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "pgbench does nothing"
	done
}

# initdb wants to know our name, which whoever runs stories may not have.
echo "pg:x:$(id -u):$(id -g)::$PWD:/bin/sh" >passwd
check unshare --map-root-user --mount bash -c 'mount --bind passwd /etc/passwd
	exec unshare --map-user="$1" initdb -D data -U pg -A trust --no-sync --no-locale' _ "$(id -u)" >initdb.log
# Its own checkpoints write files that it does not keep open; what those hold
# is not rolled back, so there is none of them here.
cat >>data/postgresql.conf <<'END_CONF'
listen_addresses = ''
shared_buffers = 16MB
checkpoint_timeout = 1h
END_CONF
launch postgres -D data -k "$PGHOST"
server=$JOB
await_line "$STORY_DIR/err" 'ready to accept connections'
sed -n '7s/.* /made -m /p' data/postmaster.pid >>"$STORY_DIR/out"
check pgbench -q -i -s 1 --foreign-keys >init.out 2>&1
# Who began first is waited for: the server.
launch pgbench -n -c 3 -j 2 -t 1500 --rate 1500 postgres
JOB=$server
busy
checkpoint
busy
for _ in 1 2; do
	checkpoint
	busy
	kill_all
	restart
	await_running
	busy
done
await_output 'actually processed: 4500/4500'
[ "$(sql 'SELECT count(*) FROM pgbench_history')" = 4500 ] ||
	fail "transactions are lost, or done twice"
[ "$(sql 'SELECT count(DISTINCT sum) FROM (
	SELECT sum(abalance) FROM pgbench_accounts
	UNION ALL SELECT sum(bbalance) FROM pgbench_branches
	UNION ALL SELECT sum(tbalance) FROM pgbench_tellers
	UNION ALL SELECT sum(delta) FROM pgbench_history) AS sums')" = 1 ] ||
	fail "the sums of balances do not agree"
check bounded pg_amcheck --install-missing --heapallindexed -d postgres
kill -INT "$JOB"
expect_exit 0
check_log() { ! grep -E 'PANIC|FATAL|corrupt|invalid page' "$@"; }
check check_log "$STORY_DIR/err" "$STORY_DIR/restart.err"
