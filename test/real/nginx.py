# SPDX-License-Identifier: MIT
"""nginx, the server behind it and a client in front, in one computation.

The client has one connection to front.sock as long as it lives; the server
behind counts what it is asked. Works until the gate file exists.
"""
import http.client
import http.server
import os
import signal
import socket
import socketserver
import subprocess
import sys

gate = sys.argv[1]


class Behind(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self):
        if self.path == "/count":
            Behind.count += 1
        body = b"%d" % Behind.count
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class Front(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("front.sock")


server = Server("behind.sock", Behind)
behind = os.fork()
if behind == 0:
    server.serve_forever()
server.server_close()
nginx = subprocess.Popen(["nginx", "-p", ".", "-e", "error.log",
                          "-c", "nginx.conf"])
while not os.path.exists("front.sock"):
    assert nginx.poll() is None
front = Front("front")
front.connect()
count = 0
while count < 300 or not os.path.exists(gate):
    count += 1
    front.request("GET", "/count")
    answer = front.getresponse()
    assert answer.status == 200, answer.status
    text = answer.read()
    assert text == b"%d" % count, (text, count)
    if count == 100:
        print("ready", flush=True)
front.close()
nginx.send_signal(signal.SIGQUIT)
assert nginx.wait() == 0
os.kill(behind, signal.SIGTERM)
os.waitpid(behind, 0)
print("done %d requests ok" % count, flush=True)
