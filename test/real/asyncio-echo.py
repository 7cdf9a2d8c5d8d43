# SPDX-License-Identifier: MIT
"""A server and a client process with 200 connections; all of them talk all
the time, in pieces of any size, until the gate file exists. Then both sides
compare checksums of what went over each.

    asyncio-echo.py GATE                both, here
    asyncio-echo.py serve PORT          one of them
    asyncio-echo.py call HOST PORT GATE
"""
import asyncio
import os
import random
import sys
import zlib

COUNT = 200


async def serve(reader, writer):
    checksum = 0
    while True:
        data = await reader.read(1 + random.randrange(9000))
        if not data:
            break
        checksum = zlib.crc32(data, checksum)
        writer.write(data)
        await writer.drain()
    writer.write(b"%08x" % checksum)
    await writer.drain()
    writer.close()


async def server(pipe):
    while True:  # none that connections of others get by chance
        port = random.randrange(10000, 30000)
        try:
            listening = await asyncio.start_server(serve, "127.0.0.1", port)
            break
        except OSError:
            pass
    os.write(pipe, b"%d\n" % port)
    async with listening:
        await listening.serve_forever()


async def talk(host, port, gate, state):
    reader, writer = await asyncio.open_connection(host, port)
    sent = got = 0
    state["open"] += 1

    async def send():
        nonlocal sent
        rounds = 0
        while rounds < 5 or not os.path.exists(gate):
            data = random.randbytes(1 + random.randrange(20000))
            sent = zlib.crc32(data, sent)
            writer.write(data)
            await writer.drain()
            rounds += 1
            state["rounds"] += 1
            if state["open"] == COUNT and not state["ready"]:
                state["ready"] = True
                print("ready", flush=True)
            await asyncio.sleep(random.random() * 0.2)
        writer.write_eof()

    async def receive():
        nonlocal got
        tail = b""
        while True:
            data = await reader.read(65536)
            if not data:
                return tail
            data = tail + data
            tail = data[-8:]
            got = zlib.crc32(data[:-8], got)

    _, tail = await asyncio.gather(send(), receive())
    assert sent == got == int(tail, 16)
    writer.close()


async def client(host, port, gate):
    state = {"open": 0, "ready": False, "rounds": 0}
    await asyncio.gather(*[talk(host, port, gate, state)
                           for _ in range(COUNT)])
    print("done %d connections, rounds: %s ok"
          % (COUNT, state["rounds"] > 0), flush=True)


async def serve_there(port):
    listening = await asyncio.start_server(serve, "0.0.0.0", port)
    print("listening", flush=True)
    async with listening:
        await listening.serve_forever()


def main():
    if sys.argv[1] == "serve":
        asyncio.run(serve_there(int(sys.argv[2])))
        return
    if sys.argv[1] == "call":
        asyncio.run(client(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
        return
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(server(here))
    port = int(os.read(there, 20))
    try:
        asyncio.run(client("127.0.0.1", port, sys.argv[1]))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


main()
