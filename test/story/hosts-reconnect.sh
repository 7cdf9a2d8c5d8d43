# SPDX-License-Identifier: MIT
# Clients on other hosts that come anew for each request: pgbench -C with
# PostgreSQL, redis-benchmark with Redis, and one of nginx. Checkpoints meet
# connections that come and go, none of which fails, and nothing is done twice.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3 nginx redis-server redis-cli redis-benchmark
# timeout: 300
for pg in /usr/lib/postgresql/*/bin; do :; done
export PATH=$pg:$PATH
need initdb postgres pgbench psql
hosts a b c
cd "$STORY_DIR/work" || exit
export PGUSER=pg PGDATABASE=postgres LC_ALL=C TZ=UTC
check on a initdb -D data -U pg -A trust --no-sync --no-locale >initdb.log
# Its own checkpoints write files that it does not keep open; what those hold
# is not rolled back, so there is none of them here.
cat >>data/postgresql.conf <<'END'
listen_addresses = '*'
shared_buffers = 16MB
checkpoint_timeout = 1h
END
echo 'host all all 10.77.0.0/24 trust' >>data/pg_hba.conf
cat >nginx.conf <<'END'
daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log notice;
events {
	worker_connections 512;
}
http {
	access_log access.log;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen 5001;
		location / {
			return 200 "$arg_number";
		}
	}
}
END
cat >visit.py <<'END'
import os, sys, urllib.request
number = 0
while number < 100 or not os.path.exists(sys.argv[1]):
    number += 1
    with urllib.request.urlopen("http://b:5001/?number=%d" % number) as f:
        assert f.read() == b"%d" % number
    if number == 30:
        print("ready visitor", flush=True)
print("done visitor", flush=True)
END
chown "$STORY_USER:$STORY_USER" .
sql() {
	bounded "$STORY_DIR/on" a psql -h localhost -qAtX -c "$1"
}
start_coordinator_on a
launch_on a postgres -D data -k "$PWD"
server=$JOB
launch_on b redis-server --port 5000 --bind 0.0.0.0 --save "" --dir "$PWD" \
	--protected-mode no --daemonize no
launch_on b nginx -e error.log -p "$PWD" -c nginx.conf
await_line "$STORY_DIR/err" 'ready to accept connections'
await_output 'Ready to accept'
# shellcheck disable=SC2016 # the inner shell's
bounded "$STORY_DIR/on" b bash -c '
	until : <"/dev/tcp/127.0.0.1/5001"; do :; done 2>/dev/null'
check on b pgbench -h a -q -i -s 1 --foreign-keys >init.out 2>&1
launch_on c pgbench -h a -n -C -c 3 -j 2 -t 100 --rate 60 postgres
launch_on a /usr/bin/python3 visit.py "$STORY_DIR/gate"
# shellcheck disable=SC2016 # the inner shell's
launch_on c bash -c 'n=0
until [ -e "$1" ]; do
	redis-benchmark -h b -p 5000 -q -k 0 -c 5 -n 200 INCR count >bench || exit
	[ "$(redis-cli -h b -p 5000 GET count)" = $((n += 200)) ] || exit
	[ "$n" -ne 600 ] || echo "ready benchmark"
done
echo "done benchmark"' _ "$STORY_DIR/gate"
JOB=$server
await_output '^ready visitor'
await_output '^ready benchmark'
checkpoint; checkpoint
kill_all
restart_on a --hosts a,b,c
await_running
checkpoint; checkpoint
: >"$STORY_DIR/gate"
await_output '^done visitor'
await_output '^done benchmark'
await_output 'actually processed: 300/300'
await_output 'number of failed transactions: 0 '
check [ "$(sql 'SELECT count(*) FROM pgbench_history')" = 300 ]
check_logs() {
	! grep -E 'PANIC|FATAL|ERROR|\[(error|crit|alert|emerg)\]' \
		"$STORY_DIR/err" error.log
}
check check_logs
ask -k
