"""`python load.py PORT CONNECTIONS close|keep`: requests until the input ends, then what came of them as JSON. The first answer
is told by a line.

A request fails where the connection breaks or the status is not 200. Like a browser, it sends a request again on a new
connection where a kept one was closed before any answer came.
"""

from __future__ import annotations

import asyncio
import json
import sys


class Load:
    def __init__(self, port: int, *, close: bool) -> None:
        self.port, self.close = port, close
        self.ended = False
        self.done = 0
        self.failed: dict[str, int] = {}

    def fail(self, why: str) -> None:
        self.failed[why] = self.failed.get(why, 0) + 1

    async def client(self) -> None:
        while not self.ended:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.fail(type(error).__name__)
                await asyncio.sleep(0.01)
                continue
            await self.requests(reader, writer)
            writer.close()

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = False
        request = (
            f"GET / HTTP/1.1\r\nHost: x\r\n{'Connection: close' if self.close else 'Accept: */*'}\r\n\r\n".encode()
        )
        while not self.ended:
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                status = head.split(b" ", 2)[1].decode()
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError, ValueError, IndexError) as error:
                if not kept:
                    self.fail(type(error).__name__)
                return
            if status == "200":
                self.done += 1
                if self.done == 1:
                    print("begun", flush=True)
            else:
                self.fail(status)
            if self.close or b"onnection: close" in head:
                return
            kept = True

    async def run(self, connections: int) -> None:
        clients = [asyncio.create_task(self.client()) for _ in range(connections)]
        await asyncio.to_thread(sys.stdin.read)
        self.ended = True
        await asyncio.wait(clients, timeout=10)


if __name__ == "__main__":
    load = Load(int(sys.argv[1]), close=sys.argv[3] == "close")
    asyncio.run(load.run(int(sys.argv[2])))
    print(json.dumps({"done": load.done, "failed": load.failed}))
