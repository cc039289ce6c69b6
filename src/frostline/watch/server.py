"""A small server that shows one study to this machine alone: three fixed addresses, nothing but GET.

No address is ever turned into a path, so there is nothing to climb out of. A page of another origin can neither read
an answer (no cross-origin header is sent) nor reach the server under a name of its own (the Host header is checked).
"""

from __future__ import annotations

import json
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from frostline.core.errors import FrostlineError, StudyError
from frostline.core.records import Verdict
from frostline.core.settings import read_settings
from frostline.judge.asked import judge_as_asked
from frostline.report.html import render_page
from frostline.report.parts import Json
from frostline.watch.reading import Activities, Seen, last_written_s, look, require_study
from frostline.watch.view import state_of

HOME = "127.0.0.1"
SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "templates/watch.js")


class Watched:
    """One study folder as it is now.

    Args:
        path: Of the folder.

    Raises:
        StudyError: It holds no study that has begun.
    """

    def __init__(self, path: Path) -> None:
        self.folder = require_study(path)
        self._settings = read_settings(self.folder.settings)
        self._activities = Activities(self.folder)
        self._finished: tuple[Seen, Verdict] | None = None
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self.folder.path.resolve().name

    @property
    def report(self) -> Path:
        return self.folder.path / "report.html"

    def state(self) -> dict[str, Json]:
        """What the page shows.

        Raises:
            StudyError: The study is gone, or cannot be read.
        """
        now = time.time()
        with self._lock:
            seen, verdict = self._look()
            activity = self._activities.of(seen)
        last_s = last_written_s(self.folder)
        until_s = now if activity == "running" else last_s
        began_s = min(self.folder.settings.stat().st_mtime, until_s)
        return state_of(
            self.name,
            self._settings,
            seen,
            activity,
            elapsed_s=until_s - began_s if seen.record is None else seen.record.cost.seconds_s,
            idle_s=max(0.0, now - last_s),
            verdict=verdict,
            report=seen.record is not None and _is_own_file(self.report),
        )

    def _look(self) -> tuple[Seen, Verdict | None]:
        # A finished study does not change any more, and reading and judging it takes a while.
        if self._finished is None:
            seen = look(self.folder)
            if seen.record is None:
                return seen, None
            self._finished = seen, judge_as_asked(seen.record, self._settings)
        return self._finished


def _is_own_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


class WatchServer(ThreadingHTTPServer):
    """Serves one study on the loopback address.

    Args:
        watched: The study.
        port: 0 takes any that is free.

    Raises:
        StudyError: The port is taken.
    """

    daemon_threads = True
    # A port that another program listens on is never shared.
    allow_reuse_address = False

    def __init__(self, watched: Watched, port: int = 0) -> None:
        self.watched = watched
        self.page = render_page("watch.html", SCRIPTS, asks_back=True, name=watched.name).encode()
        try:
            super().__init__((HOME, port), _Handler)
        except OSError as error:
            raise StudyError(
                f"Port {port} of {HOME} cannot be used ({error.strerror}). Give another one with --port, or 0 for any."
            ) from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up in the middle of an answer is no fault."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOME}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer
    server_version = "frostline"
    sys_version = ""
    timeout = 30
    """Seconds that a connection may stay silent."""

    # The page brings its own policy; the report's page runs in an origin of its own and may ask for nothing.
    _POLICIES: ClassVar[dict[str, str]] = {
        "/": "frame-ancestors 'none'",
        "/report.html": "sandbox allow-scripts; connect-src 'none'; frame-ancestors 'none'",
    }

    def do_GET(self) -> None:
        """Answer one of three addresses, to this machine alone."""
        if not self._is_asked_by_this_machine():
            self._refuse(HTTPStatus.FORBIDDEN, "Ask for 127.0.0.1 or localhost; other names are refused.")
            return
        answer = {"/": self._page, "/state.json": self._state, "/report.html": self._report}.get(self.path)
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is /, /state.json and, when the study is finished, /report.html.")
        else:
            answer()

    def do_POST(self) -> None:
        """Nothing can be changed from here."""
        self.close_connection = True
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered: a study is watched, never changed, here.")

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_POST

    def _is_asked_by_this_machine(self) -> bool:
        port = self.server.server_port
        return self.headers.get_all("Host") in ([f"{HOME}:{port}"], [f"localhost:{port}"])

    def _page(self) -> None:
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)

    def _state(self) -> None:
        try:
            content: dict[str, Json] = self.server.watched.state()
            status = HTTPStatus.OK
        except FrostlineError as error:
            content, status = {"problem": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE
        except OSError as error:
            content, status = {"problem": f"The study folder cannot be read: {error}."}, HTTPStatus.SERVICE_UNAVAILABLE
        self._send(status, "application/json", json.dumps(content, allow_nan=False).encode())

    def _report(self) -> None:
        report = self.server.watched.report
        if not _is_own_file(report):
            self._refuse(HTTPStatus.NOT_FOUND, "There is no report yet: the study writes it when it is finished.")
            return
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", report.read_bytes())

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, "text/plain; charset=utf-8", sentence.encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        headers = {
            **({"Allow": "GET"} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}),
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": self._POLICIES.get(
                getattr(self, "path", ""), "default-src 'none'; frame-ancestors 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Also what the standard library refuses by itself, such as a torn request, is answered in plain text."""
        self.close_connection = True
        try:
            status = HTTPStatus(code)
        except ValueError:
            status = HTTPStatus.BAD_REQUEST
        self._refuse(status, message or status.phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a request every two seconds is no news."""
