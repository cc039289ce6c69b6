"""Claims about the server: this machine alone, three addresses, nothing but GET."""

from __future__ import annotations

import json
import re
import shlex
import socket
import struct
import sys
from collections.abc import Iterator
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from builders import make_study
from frostline.cli.app import main
from frostline.core.errors import StudyError
from frostline.watch.server import WatchServer
from watch.ledgers import epoch, finish, serving, trained, working


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WatchServer]:
    finish(tmp_path / "study", make_study())
    with serving(tmp_path / "study") as server:
        yield server


def asked(
    server: WatchServer, path: str, *, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of an answer; the path goes out as it is."""
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", f"127.0.0.1:{server.server_port}" if host is None else host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def test_page_and_state(server: WatchServer) -> None:
    """The page is served with a policy that lets only its own scripts run; the state is JSON."""
    with urlopen(server.address) as answer:
        page = unescape(answer.read().decode())
    with urlopen(f"{server.address}state.json") as answer:
        state: Any = json.load(answer)

    assert "default-src 'none'; script-src 'sha256-" in page
    assert "connect-src 'self'" in page
    assert state["schema"] == "frostline.watch/1"
    assert state["activity"] == "finished"


def test_a_state_follows_the_ledger(tmp_path: Path) -> None:
    """An epoch that is acknowledged while the server runs is in the next answer."""
    with working(tmp_path / "study") as ledger, serving(tmp_path / "study") as server:
        trained(ledger, "full-seed-0", 0)
        assert len(json.loads(asked(server, "/state.json")[2])["points"]) == 1
        ledger.add_epoch("full-seed-0", epoch(1))
        assert len(json.loads(asked(server, "/state.json")[2])["points"]) == 2


def test_only_the_loopback_address_is_bound(server: WatchServer) -> None:
    """No other address of this machine answers."""
    assert server.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", server.server_port), timeout=2):
        pass


@pytest.mark.parametrize("path", ["/", "/state.json", "/report.html"])
def test_a_foreign_name_is_refused(server: WatchServer, tmp_path: Path, path: str) -> None:
    """A name that was bent to this address, another port, or no name at all sees nothing; localhost does."""
    (tmp_path / "study" / "report.html").write_text("a report")
    port = server.server_port

    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        f"127.0.0.1:{port}.evil",
    ):
        status, _, text = asked(server, path, host=host)
        assert (status, "refused" in text) == (403, True)
    assert asked(server, path, host=f"localhost:{port}")[0] == 200


def test_two_names_are_refused(server: WatchServer) -> None:
    """A request that claims two hosts is none of this machine's."""
    request = f"GET /state.json HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nHost: evil.example\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
        client.sendall(request.encode())
        assert b" 403 " in client.recv(200).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//secret.txt",
        "/report.html/../../secret.txt",
        "/study.toml",
        "/ledger.sqlite",
        "/weights/chosen.safetensors",
        "/report.html?../secret.txt",
        "http://127.0.0.1/secret.txt",
    ],
)
def test_nothing_else_of_the_disk_is_reached(server: WatchServer, tmp_path: Path, path: str) -> None:
    """Neither a way out of the folder nor another file in it is served."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "study" / "report.html").write_text("a report")

    status, _, text = asked(server, path)

    assert status == 404
    assert "secret" not in text


def test_a_report_that_points_elsewhere_is_not_served(server: WatchServer, tmp_path: Path) -> None:
    """A symbolic link in a study folder from elsewhere opens nothing."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "study" / "report.html").symlink_to(tmp_path / "secret.txt")

    assert asked(server, "/report.html")[0] == 404
    assert json.loads(asked(server, "/state.json")[2])["report"] is False


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_only_get_is_answered(server: WatchServer, method: str) -> None:
    """Whatever could change something is refused."""
    status, headers, _ = asked(server, "/state.json", method=method)

    assert status == (501 if method == "BREW" else 405)
    assert "Access-Control-Allow-Origin" not in headers


def test_headers_keep_other_pages_out(server: WatchServer, tmp_path: Path) -> None:
    """No answer may be framed, guessed at or read by another origin; the report runs in an origin of its own."""
    (tmp_path / "study" / "report.html").write_text("a report")
    for path in ("/", "/state.json", "/report.html", "/nothing"):
        headers = asked(server, path)[1]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers

    assert "sandbox allow-scripts" in asked(server, "/report.html")[1]["Content-Security-Policy"]


def test_the_report_is_served_when_it_is_there(server: WatchServer, tmp_path: Path) -> None:
    """Before the report is written its address has nothing; afterwards it has the file."""
    assert asked(server, "/report.html")[0] == 404
    (tmp_path / "study" / "report.html").write_text("a réport", encoding="utf-8")
    assert asked(server, "/report.html")[2] == "a réport"


def test_a_study_that_vanishes_is_a_sentence(tmp_path: Path) -> None:
    """When the ledger goes away the state says so, and the server lives on."""
    with working(tmp_path / "study") as ledger:
        trained(ledger, "full-seed-0", 1)
    with serving(tmp_path / "study") as server:
        (tmp_path / "study" / "ledger.sqlite").unlink()
        status, _, text = asked(server, "/state.json")
        assert status == 503
        assert "cannot be read" in json.loads(text)["problem"]
        assert asked(server, "/")[0] == 200


def test_who_hangs_up_is_no_fault(server: WatchServer, capfd: pytest.CaptureFixture[str]) -> None:
    """A browser that resets its connection before it read the answer leaves no traceback, and others are answered."""
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(request)

    assert asked(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_taken_port_gets_a_sentence(server: WatchServer) -> None:
    """Two servers never share a port."""
    with pytest.raises(StudyError, match=f"Port {server.server_port} .* --port"):
        WatchServer(server.watched, server.server_port)


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_no_study_exits_with_2(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there or holds no ledger: a sentence on standard error, and exit code 2."""
    monkeypatch.setattr(sys, "argv", ["frostline", "watch", str(tmp_path / folder)])

    with pytest.raises(SystemExit) as exit:
        main()

    assert exit.value.code == 2
    assert "Give the folder that --out named" in capsys.readouterr().err


def test_ctrl_c_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the address and, interrupted, ends in peace."""
    finish(tmp_path / "study", make_study())

    def interrupted(self: WatchServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WatchServer, "serve_forever", interrupted)
    monkeypatch.setattr(sys, "argv", ["frostline", "watch", str(tmp_path / "study")])

    with pytest.raises(SystemExit) as exit:
        main()

    assert exit.value.code in (0, None)
    assert "http://127.0.0.1:" in capsys.readouterr().out


def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/watching.md says to type is accepted; only --browser opens one."""
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ frostline (.+)$", page, flags=re.MULTILINE)
    finish(tmp_path / "studies" / "spam", make_study())
    opened: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(WatchServer, "serve_forever", lambda self: None)

    for command in commands:
        monkeypatch.setattr(sys, "argv", ["frostline", *shlex.split(command)])
        with pytest.raises(SystemExit) as exit:
            main()
        assert exit.value.code in (0, None)

    assert len(commands) == 2
    assert opened == ["http://127.0.0.1:8765/"]
