# SPDX-License-Identifier: MIT
"""Moves and answers in datagrams, as of a game. A move that is not answered is
sent again, the server makes each once; what players chat may be lost. Nothing
may be another one, come from nowhere, or count twice.

    game.py serve PORT                     and PORT + 1 for IPv6
    game.py call HOST PORT BROADCAST GATE  until the gate file exists

The players: one is connected, one is by IPv6 (to HOST-6), one is not connected
and looks for the server by broadcast when the address that it has is no good.
"""
import os
import select
import socket
import struct
import sys
import threading
import time
import traceback
import zlib

PLAYERS = 3
LEAST = 1000
PATIENCE = 0.1  # seconds for an answer
TRIES = 3       # before a server is looked for


def sealed(*words):
    text = b" ".join(w if isinstance(w, bytes) else b"%d" % w for w in words)
    return struct.pack("!I", zlib.crc32(text)) + text


def opened(data):
    assert zlib.crc32(data[4:]) == struct.unpack("!I", data[:4])[0]
    return data[4:].split(b" ")


def move(player, number):
    return b"move-%d-%d," % (player, number) * (1 + number % 100)


def chat(player, number):
    return b"chat-%d-%d," % (player, number) * (1 + number % 50)


class Server:
    def __init__(self):
        self.made = [0] * PLAYERS
        self.sums = [0] * PLAYERS
        self.chats = [set() for _ in range(PLAYERS)]

    def hear(self, data):
        """What is to be answered."""
        what, player, number, text = opened(data)
        player, number = int(player), int(number)
        if what == b"chat":
            assert text == chat(player, number)
            assert number not in self.chats[player], "chat came twice"
            self.chats[player].add(number)
            return None
        assert text == move(player, number)
        assert number <= self.made[player] + 1, "a move is forgotten"
        if number <= self.made[player] - 1:
            return None
        if number == self.made[player] + 1:
            self.made[player] = number
            self.sums[player] = zlib.crc32(text, self.sums[player])
        return sealed(b"made", player, number, self.sums[player])


def serve(port):
    game = Server()
    ends = [socket.socket(family, socket.SOCK_DGRAM)
            for family in (socket.AF_INET, socket.AF_INET6)]
    ends[0].bind(("0.0.0.0", port))
    ends[1].bind(("::", port + 1))
    for end in ends:
        end.setblocking(False)
    print("listening", flush=True)
    while True:
        for end in select.select(ends, [], [])[0]:
            try:
                data, place = end.recvfrom(65536)
                answer = game.hear(data)
                if answer:
                    end.sendto(answer, place)
            except BlockingIOError:
                pass


class Player:
    def __init__(self, player, family, place, broadcast=None):
        self.player = player
        self.number = self.chats = self.sum = 0
        self.sums = [0]
        self.place, self.broadcast = place, broadcast
        self.end = socket.socket(family, socket.SOCK_DGRAM)
        self.end.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.end.setblocking(False)
        if not broadcast:
            self.end.connect(place)

    def send(self, data, place):
        try:
            if self.broadcast:
                self.end.sendto(data, place)
            else:
                self.end.send(data)
        except (ConnectionRefusedError, BlockingIOError):
            pass

    def answered(self, until):
        """Is the move, till then?"""
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.end], [], [], left)[0]:
                return False
            try:
                data, place = self.end.recvfrom(65536)
            except (ConnectionRefusedError, BlockingIOError):
                continue
            what, player, number, total = opened(data)
            number = int(number)
            assert what == b"made" and int(player) == self.player
            assert int(total) == self.sums[number], "made otherwise"
            if number == self.number:
                self.place = place
                return True

    def move(self):
        self.number += 1
        text = move(self.player, self.number)
        self.sums.append(zlib.crc32(text, self.sums[-1]))
        data = sealed(b"move", self.player, self.number, text)
        tries = 0
        while True:
            self.send(data, self.place)
            if self.answered(time.monotonic() + PATIENCE):
                break
            tries += 1
            if self.broadcast and tries >= TRIES:
                self.send(data, self.broadcast)
                if self.answered(time.monotonic() + PATIENCE):
                    break
        for _ in range(self.number % 3):
            self.chats += 1
            self.send(sealed(b"chat", self.player, self.chats,
                             chat(self.player, self.chats)), self.place)


def play(player, gate):
    since = 0
    while player.number < LEAST or since < 10:
        player.move()
        since += os.path.exists(gate)


def call(host, port, broadcast, gate):
    four = socket.gethostbyname(host)
    six = socket.getaddrinfo(host + "-6", port + 1)[0][4]
    players = [Player(0, socket.AF_INET, (four, port)),
               Player(1, socket.AF_INET6, six),
               Player(2, socket.AF_INET, (four, port), (broadcast, port))]

    def guarded(player):
        try:
            play(player, gate)
        except BaseException:
            traceback.print_exc()
            print("done WRONG", flush=True)
            os._exit(1)

    threads = [threading.Thread(target=guarded, args=(p,)) for p in players]
    for thread in threads:
        thread.start()
    while min(p.number for p in players) < 300:
        time.sleep(0.01)
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    print("done ok", flush=True)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    call(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
