# SPDX-License-Identifier: MIT
# Sessions with PostgreSQL from another host: psql with a transaction that is
# never done, another that waits for its lock, one in the midst of COPY both
# ways, one that listens, a prepared statement, a cursor; and a standby that
# follows on a third. Restarted on the same hosts, in a ring, on one, on three.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
# timeout: 300
for pg in /usr/lib/postgresql/*/bin; do :; done
export PATH=$pg:$PATH
need initdb postgres psql pg_basebackup pg_dump
hosts a b c
cd "$STORY_DIR/work" || exit
export PGUSER=pg PGDATABASE=postgres LC_ALL=C TZ=UTC
check on a initdb -D data -U pg -A trust --no-sync --no-locale >initdb.log
# Its own checkpoints write files that it does not keep open; what those hold
# is not rolled back, so there is none of them here.
cat >>data/postgresql.conf <<'END_CONF'
listen_addresses = '*'
shared_buffers = 16MB
checkpoint_timeout = 1h
max_wal_size = 10GB
wal_keep_size = 1GB
END_CONF
cat >>data/pg_hba.conf <<'END_CONF'
host all all 10.77.0.0/24 trust
host replication all 10.77.0.0/24 trust
END_CONF
declare -A SAY
# psql on b, its words given and its answers taken one by one.
session() { # name
	local fd

	mkfifo "$1"
	exec {fd}<>"$1"
	SAY[$1]=$fd
	: >"$1.out"
	chown "$STORY_USER:$STORY_USER" "$1" "$1.out"
	launch_on b bash -c '
		exec psql -h a -XqAt -v ON_ERROR_STOP=1 -f "$1" >"$1.out" 2>&1
	' _ "$1"
}
tell() { # name, words
	echo "$2" >&"${SAY[$1]}"
}
# It answers with that line: the last of its output so far.
hears() { # name, line
	await_line "$1.out" "^$2\$"
}
start_coordinator_on a
launch_on a postgres -D data -k "$PWD"
server=$JOB
await_line "$STORY_DIR/err" 'ready to accept connections'
check on c pg_basebackup -h a -D standby -c fast --no-sync -R -X stream
rm -f standby/postgresql.auto.conf
cat >>standby/postgresql.conf <<'END_CONF'
port = 5433
primary_conninfo = 'host=a user=pg'
hot_standby_feedback = on
END_CONF
launch_on c postgres -D standby -k "$PWD"
await_line "$STORY_DIR/err" 'started streaming WAL'
for name in first second third; do
	session "$name"
	tell "$name" "SELECT 'here';"
	hears "$name" here
done
tell first "CREATE TABLE t (n int PRIMARY KEY, text text);
INSERT INTO t SELECT n, repeat('x', n % 500) FROM generate_series(1, 2000) n;
BEGIN; UPDATE t SET text = 'changed' WHERE n = 7;
PREPARE p AS SELECT count(*) FROM t WHERE text = \$1;
CREATE TEMPORARY TABLE own AS SELECT 'of temporary' AS text;
DECLARE c CURSOR FOR SELECT n FROM t ORDER BY n;
FETCH c; SELECT 'begun';"
hears first begun
tell third "LISTEN news; CREATE TABLE u (n int); COPY u FROM STDIN;
1
2"
tell second "SELECT pg_advisory_lock(1); SELECT 'locked';
UPDATE t SET text = text || '-twice' WHERE n = 7; SELECT 'mine now';"
hears second locked
JOB=$server
checkpoint
number=10
for where in 'a --hosts a,b,c' 'b --map a=b --map b=c --map c=a' 'c --hosts c' \
	'a --hosts a,b,c'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
	tell first "FETCH c; EXECUTE p('changed'); SELECT 'after $number';
INSERT INTO t VALUES (10000 + $number, 'within');"
	tell third "$number"
	hears first "after $number"
	number=$((number + 1))
done
check_fails grep -q 'mine now' second.out
tell first "SELECT text FROM own; NOTIFY news, 'of first'; COMMIT;
SELECT 'committed';"
hears first committed
hears second 'mine now'
tell third "\\.
SELECT 'copied', sum(n) FROM u; SELECT 'notified';"
hears third 'copied|49'
hears third 'Asynchronous notification "news" with payload "of first" .*'
tell second "SELECT 'now ' || text FROM t WHERE n = 7;"
hears second 'now changed-twice'
for name in first second third; do
	tell "$name" '\q'
done
# Of those that were on one host, the first has stayed there.
sql() { # host, port, words
	bounded "$STORY_DIR/on" b psql -h "$1" -p "$2" -XqAt -c "$3"
}
lsn=$(sql c 5432 'SELECT pg_current_wal_lsn()')
deadline=$((SECONDS + PATIENCE))
until [ "$(sql a 5433 "SELECT pg_last_wal_replay_lsn() >= '$lsn'")" = t ]; do
	[ "$SECONDS" -lt "$deadline" ] || fail "the standby does not follow"
done
sum='SELECT count(*), md5(string_agg(t::text, $$ $$ ORDER BY n)) FROM t'
[ "$(sql c 5432 "$sum")" = "$(sql a 5433 "$sum")" ] ||
	fail "the standby has other data"
check [ "$(sql a 5433 'SELECT received_tli FROM pg_stat_wal_receiver')" = 1 ]
check bounded "$STORY_DIR/on" b pg_dump -h c -f dump
check [ "$(grep -c '	within$' dump)" -eq 4 ]
check_log() {
	! grep -E 'PANIC|FATAL|corrupt|invalid page|terminating|could not' "$@"
}
check check_log "$STORY_DIR/err" "$STORY_DIR/restart.err"
ask -k
