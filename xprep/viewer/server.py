"""The server of one page, on this machine only: the page, the client's files, and the stores that do not exist."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock
from typing import Any, Final
from urllib.parse import urlsplit

from xprep.engine.running.regions import UnwantedError
from xprep.redaction import redact_text
from xprep.viewer.access import Access
from xprep.viewer.client_files import client_file
from xprep.viewer.virtual_store import VirtualStore

HOST: Final = "127.0.0.1"
PAGE_NAME: Final = "view"  # the client takes the rest of its server's paths from its own, .../v/NAME/
ALIVE_SECONDS: Final = 2.0  # after which somebody looks whether the page is still there
IDLE_SECONDS: Final = 60.0  # that a connection is kept without a request
ERRORS: Final = 20  # texts that the page is told of, the last ones
PAGE: Final = Path(__file__).parent.parent / "data" / "viewer.html"
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip

Answer = tuple[str, bytes]


class Failures:
    """What could not be shown, for the page: each text once, with how often it happened."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._lock = Lock()

    def add(self, text: str) -> None:
        """Add a failure, as the last one."""
        with self._lock:
            self._texts[text] = self._texts.pop(text, 0) + 1
            while len(self._texts) > ERRORS:
                del self._texts[next(iter(self._texts))]

    def listed(self) -> list[dict[str, Any]]:
        """Return all, the last one first."""
        with self._lock:
            return [{"text": text, "times": times} for text, times in reversed(self._texts.items())]


class PageServer(ThreadingHTTPServer):
    """Serves one page.

    Parameters
    ----------
    port : int
        0 takes a free one.
    access : Access
        Who may ask.
    client : Path
        Where the files of the client lie.
    stores : sequence of VirtualStore
        The images.
    about : mapping
        What the page is made of, as JSON: ``state``, ``extent``, ``remarks``.

    Raises
    ------
    OSError
        The port is in use, or not allowed.
    """

    daemon_threads = True
    block_on_close = False
    # A port that was left a moment ago is free; on Windows the same option would share one that somebody listens on.
    allow_reuse_address = os.name != "nt"

    def __init__(
        self, port: int, access: Access, client: Path, stores: Sequence[VirtualStore], about: Mapping[str, Any]
    ) -> None:
        self.access, self.client, self.stores, self.about = access, client, stores, about
        self.failures, self.ended = Failures(), Event()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OSError(f"port {port} cannot be used ({reason}): give another, or 0 for a free one.") from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser breaks connections off when it likes."""


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "xprep", ""
    timeout = IDLE_SECONDS
    server: PageServer

    def log_message(self, *_: Any) -> None:
        """Say nothing: addresses hold the token."""

    def do_GET(self) -> None:
        """Answer."""
        path = self.server.access.path_below(urlsplit(self.path).path)
        if refusal := self.server.access.refusal({name.title(): value for name, value in self.headers.items()}):
            self._say(HTTPStatus.FORBIDDEN, refusal)
        elif path is None:
            self._say(HTTPStatus.FORBIDDEN, "wrong token: take the whole address that xprep printed")
        elif path == f"events/{PAGE_NAME}" and self.command == "GET":
            self._keep_open()
        else:
            self._answer(path)

    do_HEAD = do_GET

    def _answer(self, path: str) -> None:
        try:
            kind, body = self._find(path)
        except KeyError:
            self._say(HTTPStatus.NOT_FOUND, "there is nothing of this name")
        except UnwantedError:
            self.close_connection = True
        except Exception as error:  # noqa: BLE001  (whatever a store or a graph raises is told on the page)
            text = redact_text(f"{self._where(path)}: {type(error).__name__}: {error}")
            self.server.failures.add(text)
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, text)
        else:
            self._send(HTTPStatus.OK, kind, body, "max-age=3600" if path.startswith("v/") else "no-store")

    def _find(self, path: str) -> Answer:
        first, _, rest = path.partition("/")
        found: Mapping[str, Callable[[str], Answer]] = {
            "": lambda _: ("text/html; charset=utf-8", PAGE.read_bytes()),
            "page.json": lambda _: _json(self.server.about),
            "status.json": lambda _: _json({"errors": self.server.failures.listed()}),
            "v": self._client,
            "images": self._image,
        }
        if first not in found or (rest and first not in ("v", "images")):
            raise KeyError(path)
        return found[first](rest)

    def _client(self, path: str) -> Answer:
        page, slash, name = path.partition("/")
        if page != PAGE_NAME or not slash:
            raise KeyError(path)
        return client_file(self.server.client, name)

    def _image(self, path: str) -> Answer:
        store, key = self._store(path)
        if key.rpartition("/")[2] == "zarr.json":
            return "application/json", store.metadata(key)
        return "application/octet-stream", store.chunk(key, self._is_waited_for)

    def _store(self, path: str) -> tuple[VirtualStore, str]:
        number, _, key = path.partition("/")
        stores = self.server.stores
        if not number.isascii() or not number.isdigit() or len(number) > len(str(len(stores))) or int(number) >= len(stores):
            raise KeyError(path)
        return stores[int(number)], key

    def _where(self, path: str) -> str:
        try:
            store, key = self._store(path.removeprefix("images/"))
            return store.where(key)
        except KeyError:
            return path

    def _keep_open(self) -> None:
        """Hold the connection by which the client knows that somebody is there; there is nothing to tell it."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        for name, value in {"Content-Type": "text/event-stream", "Cache-Control": "no-store", **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            while self._is_waited_for():
                self.wfile.write(b":\n\n")
                self.server.ended.wait(ALIVE_SECONDS)

    def _is_waited_for(self) -> bool:
        """Whether the other end has not gone: it sends nothing while it waits, and an end of data when it closes."""
        if self.server.ended.is_set():
            return False
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return not readable or bool(self.connection.recv(1, socket.MSG_PEEK))
        except ValueError:  # a number of a socket that select does not know: then nobody looks
            return True
        except OSError:
            return False

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{text}\n".encode(), "no-store")

    def _send(self, status: HTTPStatus, kind: str, body: bytes, caching: str) -> None:
        self.send_response(status)
        sent = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": caching, **HEADERS}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _json(document: Any) -> Answer:
    return "application/json", json.dumps(document, ensure_ascii=False).encode()
