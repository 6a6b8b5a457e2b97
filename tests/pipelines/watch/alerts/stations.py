"""Real servers that messages are sent to: webhooks of several tempers, and a mail server."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Station:
    """A webhook on this machine.

    Attributes:
        temper: "answers", "hangs" (never says a word), "drips" (a byte of its head now and then), or a status.
        got: bodies of requests, as they came.
    """

    def __init__(self, temper: str = "answers") -> None:
        self.temper, self.got = temper, list[dict[str, Any]]()
        self.over = threading.Event()
        station = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                station.got.append(json.loads(body))
                if station.temper == "hangs":
                    station.over.wait(30)
                elif station.temper == "drips":
                    self._drip()
                else:
                    self.send_response(200 if station.temper == "answers" else int(station.temper))
                    self.end_headers()

            def _drip(self) -> None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                try:
                    while not station.over.wait(0.2):
                        self.wfile.write(b"z")
                        self.wfile.flush()
                except OSError:
                    return

            def log_message(self, *_: object) -> None:
                """Be silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """For Apprise, with a password."""
        return f"json://robot:S3cretWord@127.0.0.1:{self._server.server_address[1]}/hook/T0kenOfOurs"

    @contextmanager
    def open(self) -> Iterator[Station]:
        """Serve."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Mail(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                self.server.got.append(b"".join(lines))
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                return


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP (RFC 5321) as a letter needs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.got = list[bytes]()

    @property
    def address(self) -> str:
        """For Apprise."""
        return f"mailto://127.0.0.1:{self.server_address[1]}?from=leadwise@example.com&to=a@example.com,b@example.com"

    @contextmanager
    def open(self) -> Iterator[MailServer]:
        """Serve."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


def eventually(true: Any, seconds: float = 10.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
