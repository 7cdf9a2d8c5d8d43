# SPDX-License-Identifier: MIT
# nginx with two workers on one host, a client with connections that are kept
# alive on another: it notices nothing of two restarts, one on swapped hosts.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv nginx /usr/bin/python3
# timeout: 300
hosts a b
cat >"$STORY_DIR/nginx.conf" <<'END'
daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log notice;
events {
	worker_connections 64;
}
http {
	access_log access.log;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	keepalive_requests 1000000;
	keepalive_time 10h;
	server {
		listen 5000;
		location / {
			return 200 "$arg_number of $connection_requests\n";
		}
	}
}
END
cat >"$STORY_DIR/client.py" <<'END'
import http.client, os, sys
fronts = [http.client.HTTPConnection("a", 5000) for _ in range(5)]
number = 0
while number < 500 or not os.path.exists(sys.argv[1]):
    number += 1
    for front in fronts:
        front.auto_open = number == 1
        front.request("GET", "/?number=%d" % number)
        answer = front.getresponse()
        assert answer.read() == b"%d of %d\n" % (number, number)
    if number == 100:
        print("ready", flush=True)
print("done, all on 5 connections ok", flush=True)
END
start_coordinator_on a
launch_on a nginx -e error.log -p "$STORY_DIR/work" -c "$STORY_DIR/nginx.conf"
bounded "$STORY_DIR/on" a bash -c '
	until : </dev/tcp/127.0.0.1/5000; do :; done 2>/dev/null'
launch_on b /usr/bin/python3 "$STORY_DIR/client.py" "$STORY_DIR/gate"
await_output '^ready'
checkpoint
for where in 'a --hosts a,b' 'b --map a=b --map b=a'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$STORY_DIR/gate"
await_output '^done, all on 5 connections ok$'
ask -k
