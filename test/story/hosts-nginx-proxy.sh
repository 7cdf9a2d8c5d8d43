# SPDX-License-Identifier: MIT
# nginx on one host hands requests on to nginx on another, with connections that
# both keep; the client on a third has plain ones and one of TLS, a download and
# an upload that are half done. Restarted on the same hosts, in a ring, on one
# and on three, all of them go on.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv nginx /usr/bin/python3 openssl
# timeout: 300
hosts a b c
cd "$STORY_DIR/work" || exit
check openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	-subj /CN=a -addext subjectAltName=DNS:a -keyout key -out cert 2>openssl.log
configure() { # name; its servers on stdin
	mkdir "$1" "$1/files"
	cat >"$1/conf" - <<-'END'
		daemon off;
		worker_processes 2;
		pid pid;
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
			keepalive_timeout 10h;
			sendfile on;
			client_max_body_size 0;
			proxy_read_timeout 1h;
			proxy_send_timeout 1h;
			send_timeout 1h;
			client_body_timeout 1h;
			include servers;
		}
	END
	cat >"$1/servers"
}
configure front <<'END'
upstream back {
	server b:5001;
	keepalive 8;
	keepalive_requests 1000000;
	keepalive_time 10h;
	keepalive_timeout 10h;
}
server {
	listen 5000;
	listen 5443 ssl;
	ssl_certificate ../cert;
	ssl_certificate_key ../key;
	location / {
		proxy_pass http://back;
		proxy_http_version 1.1;
		proxy_set_header Connection "";
		# What goes wrong is seen, and what flows is not put aside.
		proxy_next_upstream off;
		proxy_max_temp_file_size 0;
		proxy_request_buffering off;
	}
}
END
configure back <<'END'
server {
	listen 5001;
	location = /number {
		return 200 "$arg_number";
	}
	location / {
		root files;
		dav_methods PUT;
	}
}
END
# Compression or a cache would not get far with it.
head -c 20000000 /dev/urandom >back/files/big
head -c 300000 back/files/big >back/files/small
cat >client.py <<'END'
import http.client, os, ssl, sys
big, small = (open("back/files/" + n, "rb").read() for n in ("big", "small"))
tls = ssl.create_default_context(cafile="cert")
plain = [http.client.HTTPConnection("a", 5000) for _ in range(5)]
fronts = plain[:3] + [http.client.HTTPSConnection("a", 5443, context=tls)]
def round(number):
    for front in fronts:
        front.request("GET", "/number?number=%d" % number)
        assert front.getresponse().read() == b"%d" % number
        front.request("GET", "/small")
        answer = front.getresponse()
        assert answer.status == 200 and answer.read() == small
        front.auto_open = False
down, up = plain[3:]
down.request("GET", "/big")
coming = down.getresponse()
had = coming.read(1000000)
up.putrequest("PUT", "/up")
up.putheader("Content-Length", len(big))
up.endheaders()
up.send(big[:7000000])
number = 0
while number < 50 or not os.path.exists(sys.argv[1]):
    number += 1
    round(number)
    if number == 20:
        print("ready", flush=True)
    if number % 10 == 0:
        had += coming.read(1000)
assert len(had) < len(big) / 2
assert had + coming.read() == big
up.send(big[7000000:])
answer = up.getresponse()
assert answer.status == 201 and answer.read() == b""
round(number)
print("done ok", flush=True)
END
chown -R "$STORY_USER:$STORY_USER" .
check_logs() {
	! grep -m1 -E '\[(warn|error|crit|alert|emerg)\]' {front,back}/error.log
}
start_coordinator_on a
launch_on a nginx -e error.log -p "$PWD/front" -c conf
launch_on b nginx -e error.log -p "$PWD/back" -c conf
for at in a:5000 b:5001; do
	# shellcheck disable=SC2016 # the inner shell's
	bounded "$STORY_DIR/on" "${at%:*}" bash -c '
		until : <"/dev/tcp/127.0.0.1/$1"; do :; done 2>/dev/null' _ \
		"${at#*:}"
done
launch_on c /usr/bin/python3 client.py "$STORY_DIR/gate"
await_output '^ready'
checkpoint
for where in 'a --hosts a,b,c' 'b --map a=b --map b=c --map c=a' 'c --hosts c' \
	'a --hosts a,b,c'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
	check check_logs
done
: >"$STORY_DIR/gate"
await_output '^done ok$'
check cmp back/files/big back/files/up
check check_logs
ask -k
