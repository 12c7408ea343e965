"""A proxy between a client and an object server that does to requests what networks and servers do."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

ANSWERS = {
    "503": (503, "SlowDown"),
    "500": (500, "InternalError"),
    "404": (404, "NoSuchKey"),
    "403": (403, "AccessDenied"),
    "skew": (403, "RequestTimeTooSkewed"),
}
LOST = b'HTTP/1.1 200 OK\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\nContent-Length: 0\r\n\r\n'


@dataclass
class Rule:
    """A fault on requests whose ``METHOD /path`` matches.

    ``fault`` is an answer (a key of `ANSWERS`), ``reset`` (before it is forwarded), ``reset_after`` (after), ``reset_mid`` and
    ``truncate`` (half of the answer), ``lie`` (half of it, and said to be all), ``flip`` (one bit of the answer), ``drop_put``
    (answered and not forwarded), ``hold`` (until the rules are others), ``latency:SECONDS`` or ``hang:SECONDS`` (and
    then reset).
    """

    match: str
    fault: str
    p: float = 1.0
    times: int | None = None
    skip: int = 0
    seen: int = 0
    done: int = field(default=0)


class FaultProxy:
    """Listens on a port of its own and forwards whole messages to ``upstream``; a context manager."""

    def __init__(self, upstream: int, seed: int = 0) -> None:
        self.upstream, self.rules, self.injected, self.log = upstream, list[Rule](), Counter[str](), list[str]()
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self.port = 0

    def __enter__(self) -> FaultProxy:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(300)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(self, *rules: Rule) -> None:
        with self._lock:
            self.rules = list(rules)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def begin() -> None:
            self._server = server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=2**20)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.run_until_complete(begin())
        self._loop.run_forever()
        # Connections that are open still are closed here, and not whenever their remains are collected.
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._server.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    def _pick(self, key: str) -> str:
        with self._lock:
            self.log.append(key)
            for rule in self.rules:
                if not re.search(rule.match, key):
                    continue
                rule.seen += 1
                left = rule.times is None or rule.done < rule.times
                if rule.seen > rule.skip and left and self._random.random() < rule.p:
                    rule.done += 1
                    self.injected[rule.fault.partition(":")[0]] += 1
                    return rule.fault
        return ""

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up = None
        try:
            up_reader, up = await asyncio.open_connection("127.0.0.1", self.upstream, limit=2**20)
            while await self._exchange(reader, writer, up_reader, up):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):  # cancelled: the proxy ends while it hangs
            pass
        finally:
            for one in filter(None, (writer, up)):
                with suppress(OSError, RuntimeError):
                    one.close()

    async def _exchange(self, reader: Any, writer: Any, up_reader: Any, up: Any) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        if b"\r\nexpect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
        body = await _body(head, reader)
        fault = self._pick(f"{method} {path}")
        kind, _, seconds = fault.partition(":")
        while kind == "hold" and any(rule.fault == "hold" for rule in self.rules):
            await asyncio.sleep(0.02)
        if kind in ("latency", "hang"):
            await asyncio.sleep(float(seconds))
        if kind in ("reset", "hang"):
            return _reset(writer)
        if kind == "drop_put" or kind in ANSWERS:
            writer.write(LOST if kind == "drop_put" else _answer(kind, method == "HEAD"))
            await writer.drain()
            return True
        up.write(re.sub(rb"\r\n[Ee]xpect: 100-continue", b"", head) + body)
        await up.drain()
        answer, content = await _answered(up_reader, method == "HEAD")
        if kind == "reset_after":
            return _reset(writer)
        return await _send(writer, kind if content else "", answer, content)


async def _body(head: bytes, reader: Any, is_answer: bool = False) -> bytes:
    low = head.lower()
    length = re.search(rb"\r\ncontent-length:\s*(\d+)", low)
    if b"\r\ntransfer-encoding: chunked" in low:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            body += line + await reader.readexactly(size + 2)
            if size == 0:
                return body
    if length:
        return bytes(await reader.readexactly(int(length[1])))
    return bytes(await reader.read()) if is_answer else b""


async def _answered(reader: Any, head_only: bool) -> tuple[bytes, bytes]:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status != 100:
            break
    empty = head_only or status in (204, 304)
    return head, b"" if empty else await _body(head, reader, is_answer=True)


async def _send(writer: Any, kind: str, head: bytes, content: bytes) -> bool:
    half = len(content) // 2
    if kind == "flip":
        content = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
    elif kind == "lie":
        head = re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % half, head)
        content = content[:half]
    elif kind in ("truncate", "reset_mid"):
        writer.write(head + content[:half])
        await writer.drain()
        await asyncio.sleep(0.02)
        return _reset(writer) if kind == "reset_mid" else False
    writer.write(head + content)
    await writer.drain()
    return True


def _answer(kind: str, head_only: bool) -> bytes:
    status, code = ANSWERS[kind]
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code} (injected)</Message></Error>'
    content = b"" if head_only else text.encode()
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def _reset(writer: Any) -> bool:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


@contextmanager
def impatient(part: str, less: float, client: Any = None) -> Iterator[None]:
    """Let requests for keys with ``part`` in them wait for so many seconds ``less`` than the deadline, here and on workers.

    The deadline can then be one that every other request keeps, however slow the machine is.
    """

    def begin() -> None:  # in here, so that they go to workers by value
        from xprep.io.arrays import reads
        from xprep.io.commit.bucket import copying
        from xprep.io.store import keys

        for module in (reads, copying, keys):
            patient: Any = module.in_time
            module.in_time = lambda doing, key, seconds, patient=patient: patient(  # type: ignore[attr-defined]
                doing, key, seconds - less if part in key else seconds
            )
            module.in_time.patient = patient  # type: ignore[attr-defined]

    def end() -> None:
        from xprep.io.arrays import reads
        from xprep.io.commit.bucket import copying
        from xprep.io.store import keys

        for module in (reads, copying, keys):
            module.in_time = module.in_time.patient  # type: ignore[attr-defined]

    def everywhere(do: Any) -> None:
        do()
        if client is not None:
            client.run(do)

    everywhere(begin)
    try:
        yield
    finally:
        everywhere(end)
