# SPDX-License-Identifier: MIT
# Connections to somebody outside: left alone by a checkpoint; after a restart
# each is named, and behaves as reset by its peer, or as ended by it.
# run-as: user root
# needs: /usr/bin/python3
mkfifo "$STORY_DIR/ports"
cat >"$STORY_DIR/work/echo.py" <<'END'
import selectors, socket, sys
stream, datagrams = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
for s in stream, datagrams:
    s.bind(("127.0.0.1", 0))
stream.listen()
with open(sys.argv[1], "w") as ports:
    print(stream.getsockname()[1], datagrams.getsockname()[1], file=ports)
ready = selectors.DefaultSelector()
ready.register(stream, selectors.EVENT_READ)
ready.register(datagrams, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        s = key.fileobj
        if s is stream:
            ready.register(s.accept()[0], selectors.EVENT_READ)
        elif s is datagrams:
            s.sendto(*s.recvfrom(100))
        else:
            try:
                data = s.recv(100)
                s.sendall(data)
                if data == b"end":
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                data = b""
            if not data:
                ready.unregister(s)
                s.close()
END
/usr/bin/python3 "$STORY_DIR/work/echo.py" "$STORY_DIR/ports" &
outside=$!
read -r tcp udp <"$STORY_DIR/ports"
launch inet-outside "$tcp" "$udp"; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
check [ "$(grep -c "connection to 127.0.0.1:$tcp is lost" "$STORY_DIR/restart.err")" -eq 2 ]
expect_file "$STORY_DIR/restart.err" \
	"connection to 127.0.0.1:$tcp, which has sent its end, is lost"
kill "$outside"
