# SPDX-License-Identifier: MIT
# psql as people use it: on a terminal, here one of expect, with PostgreSQL on
# another host. Within its transaction it is restarted on the same hosts, on
# swapped ones, on one and on two: lines, history and prompt are what they were.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv expect
for pg in /usr/lib/postgresql/*/bin; do :; done
export PATH=$pg:$PATH
need initdb postgres psql
hosts a b
cd "$STORY_DIR/work" || exit
export PGUSER=pg PGDATABASE=postgres LC_ALL=C TZ=UTC TERM=vt100 PAGER=cat
check on a initdb -D data -U pg -A trust --no-sync --no-locale >initdb.log
cat >>data/postgresql.conf <<'END'
listen_addresses = '*'
shared_buffers = 16MB
checkpoint_timeout = 1h
END
echo 'host all all 10.77.0.0/24 trust' >>data/pg_hba.conf
# The story makes the files go1, go2 ...; the session tells where it is.
cat >session <<'END'
set timeout 60
fconfigure stdout -buffering line
log_user 0
proc must {pattern} {
	expect {
		-re $pattern {}
		timeout { puts "no $pattern"; exit 1 }
		eof { puts "end instead of $pattern"; exit 1 }
	}
}
spawn psql -h a -X
must {postgres=# $}
send "CREATE TABLE t (n int);\r"
must {CREATE TABLE\r\npostgres=# $}
send "BEGIN;\r"
must {postgres=\*# $}
for {set n 1} {$n < 6} {incr n} {
	send "INSERT INTO t VALUES ($n);\r"
	must {INSERT 0 1\r\npostgres=\*# $}
	# Begun, and ended after the restart.
	send "SELECT 'sum', sum(n)\r"
	must {postgres-\*# $}
	send "FROM t"
	must {FROM t$}
	puts "at $n"
	while {![file exists go$n]} {}
	send ";\r"
	must "sum +. +[expr {$n * ($n + 1) / 2}]\r"
	must {postgres=\*# $}
}
# The line before.
send "\033\[A"
must {FROM t;$}
send "\r"
must {sum +. +15\r}
must {postgres=\*# $}
send "COMMIT;\r"
must {COMMIT\r\npostgres=# $}
send "\\q\r"
expect eof
catch wait result
puts "done [lindex $result 3]"
END
echo "set enable-bracketed-paste off" >inputrc
export INPUTRC=$PWD/inputrc
chown "$STORY_USER:$STORY_USER" .
start_coordinator_on a
launch_on a postgres -D data -k "$PWD"
server=$JOB
await_line "$STORY_DIR/err" 'ready to accept connections'
launch_on b expect session
JOB=$server
await_output '^at 1'
checkpoint
: >go1
number=2
for where in 'a --hosts a,b' 'b --map a=b --map b=a' 'b --hosts b' \
	'a --hosts a,b'; do
	await_output "^at $number"
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
	: >"go$number"
	number=$((number + 1))
done
await_output '^done 0'
ask -k
