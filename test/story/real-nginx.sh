# shellcheck disable=SC2034 # lib.sh uses it
# SPDX-License-Identifier: MIT
# nginx with two workers in front of a server on a unix socket. A client of
# the job notices nothing, one from outside is served after each restart, and
# all requests are counted once. Of root its workers are www-data, and may read
# what that may.
# run-as: user root
# needs: nginx /usr/bin/python3
# timeout: 300
# None that connections of others get by chance.
port=$(/usr/bin/python3 -c 'import random, socket
while True:
    port = random.randrange(10000, 30000)
    try:
        socket.socket().bind(("127.0.0.1", port))
        break
    except OSError:
        pass
print(port)')
user=
mkdir files
echo file >files/own
echo file >files/other
if [ "$(id -u)" = 0 ]; then
	user='user www-data www-data;'
	chmod 755 "$STORY_DIR" .
	chown www-data files/own
	umask 0 # the sockets are for everybody
fi
chmod 400 files/*
cat >nginx.conf <<END
$user
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
	upstream behind {
		server unix:behind.sock;
		keepalive 4;
		keepalive_requests 1000000;
	}
	server {
		listen 127.0.0.1:$port;
		listen unix:front.sock;
		location /files {
			root .;
		}
		location / {
			proxy_pass http://behind;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
END
served() { # somebody from outside
	bounded /usr/bin/python3 -c 'import http.client, sys
front = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
front.request("GET", "/look")
answer = front.getresponse()
assert answer.status == 200, answer.status
print("look:", answer.read().decode())
for name, owner in (("own", 0), ("other", int(sys.argv[2]))):
    front.request("GET", "/files/" + name)
    answer = front.getresponse()
    answer.read()
    assert answer.status == (403 if owner else 200), (name, answer.status)
' "$port" "${#user}" >&2
}
launch /usr/bin/python3 "$CKPT_SOURCE/test/real/nginx.py" "$STORY_DIR/gate"
await_output '^ready'
check served
checkpoint
check served
for _ in 1 2; do
	checkpoint
	check served
	kill_all
	restart
	await_running
	check served
done
: >"$STORY_DIR/gate"
expect_exit 0
expect_file "$STORY_DIR/out" '^done.* ok$'
