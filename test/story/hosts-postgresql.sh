# SPDX-License-Identifier: MIT
# PostgreSQL on one host, pgbench over TCP from another. Killed while busy, the
# server is restarted on a third host: no transaction is lost or done twice,
# the sums of all balances agree and pg_amcheck finds nothing.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
# timeout: 300
for pg in /usr/lib/postgresql/*/bin; do :; done
export PATH=$pg:$PATH
need initdb postgres pgbench pg_amcheck pg_dump psql
hosts a b c
export PGUSER=pg PGDATABASE=postgres LC_ALL=C TZ=UTC
where=a
sql() {
	bounded "$STORY_DIR/on" "$where" psql -h localhost -qAtX -c "$1"
}
busy() { # more transactions come to be
	local before now deadline=$((SECONDS + PATIENCE))

	before=$(sql 'SELECT count(*) FROM pgbench_history')
	until now=$(sql 'SELECT count(*) FROM pgbench_history') &&
		[ "$now" -gt $((before + 50)) ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "pgbench does nothing"
	done
}

check on a initdb -D "$STORY_DIR/work/data" -U pg -A trust --no-sync \
	--no-locale >"$STORY_DIR/initdb.log"
# Its own checkpoints write files that it does not keep open; what those hold
# is not rolled back, so there is none of them here.
cat >>"$STORY_DIR/work/data/postgresql.conf" <<'END_CONF'
listen_addresses = '*'
shared_buffers = 16MB
checkpoint_timeout = 1h
END_CONF
echo 'host all all 10.77.0.0/24 trust' >>"$STORY_DIR/work/data/pg_hba.conf"
start_coordinator_on a
launch_on a postgres -D "$STORY_DIR/work/data" -k "$STORY_DIR/work"
server=$JOB
await_line "$STORY_DIR/err" 'ready to accept connections'
check on b pgbench -h a -q -i -s 1 --foreign-keys >"$STORY_DIR/init.out" 2>&1
launch_on b pgbench -h a -n -c 3 -j 2 -t 1500 --rate 1500 postgres
JOB=$server
busy
checkpoint
busy
checkpoint
busy
kill_all
restart_on c --map a=c --map b=b
where=c
await_running
busy
checkpoint; kill_all
restart_on a --hosts a,b
where=a
await_running
await_output 'actually processed: 4500/4500'
await_output 'number of failed transactions: 0 '
[ "$(sql 'SELECT count(*) FROM pgbench_history')" = 4500 ] ||
	fail "transactions are lost, or done twice"
[ "$(sql 'SELECT count(DISTINCT sum) FROM (
	SELECT sum(abalance) FROM pgbench_accounts
	UNION ALL SELECT sum(bbalance) FROM pgbench_branches
	UNION ALL SELECT sum(tbalance) FROM pgbench_tellers
	UNION ALL SELECT sum(delta) FROM pgbench_history) AS sums')" = 1 ] ||
	fail "the sums of balances do not agree"
check bounded "$STORY_DIR/on" a pg_amcheck -h localhost --install-missing \
	--heapallindexed -d postgres
check bounded "$STORY_DIR/on" b pg_dump -h a -f "$STORY_DIR/work/dump"
check grep -q '^-- PostgreSQL database dump complete' "$STORY_DIR/work/dump"
check_log() {
	! grep -E 'PANIC|FATAL|ERROR|corrupt|invalid page|could not' "$@"
}
check check_log "$STORY_DIR/err"
ask -k
