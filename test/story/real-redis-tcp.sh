# shellcheck disable=SC2034 # lib.sh uses it
# SPDX-License-Identifier: MIT
# Redis over TCP with two clients that write through pipelines: no acknowledged
# write is lost, and the clients notice nothing.
# run-as: user root
# needs: redis-server /usr/bin/python3
# timeout: 300
cat >"$STORY_DIR/work/job.sh" <<'END'
#!/bin/bash
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
redis-server --port "$port" --bind 127.0.0.1 --save "" --dir . \
	--daemonize no >redis.log 2>&1 &
server=$!
until grep -q "Ready to accept" redis.log; do :; done
/usr/bin/python3 "$2" 127.0.0.1 "$port" one "$1" >/dev/null &
first=$!
/usr/bin/python3 "$2" 127.0.0.1 "$port" two "$1" && wait "$first"
status=$?
kill "$server"
wait "$server"
exit "$status"
END
play bash "$STORY_DIR/work/job.sh" GATE "$CKPT_SOURCE/test/real/redis-client.py"
