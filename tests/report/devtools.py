"""A browser that can be asked: Chromium's own protocol over two pipes, without a library or a port.

Source: Chromium, `--remote-debugging-pipe`: commands on descriptor 3, answers on 4, each JSON ended by a zero byte.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TALLEST = 4_000
"""CSS pixels of height that are photographed at once; browsers have a limit near four times that."""


class Tab:
    """One page of a headless browser.

    Args:
        writing: Descriptor for commands.
        reading: Descriptor for answers and events.
    """

    def __init__(self, writing: int, reading: int) -> None:
        self._writing, self._reading = writing, reading
        self._rest, self._number, self._session = b"", 0, ""
        self.complaints: list[str] = []
        """What the console, the policy or an uncaught error said."""
        self.requests: list[str] = []
        """Addresses that were asked for, pages themselves among them."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        # A page in the background is told of no focus.
        self.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        # Bars of the desktop take room that no phone and no paper has.
        self.ask("Emulation.setScrollbarsHidden", hidden=True)
        # Ahead of the page's own, so that `print_at` can keep it from them.
        deaf = "addEventListener('resize', (event) => { if (window.onPaper) event.stopImmediatePropagation(); })"
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=deaf)
        self._width = 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(
        self,
        place: Path | str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
    ) -> None:
        """Show a file or an address in a window of so many CSS pixels."""
        # Whatever is open would else be told that its window changes.
        self._load("about:blank")
        self._resize(width, height)
        self.ask("Emulation.setEmulatedMedia", media="screen", features=[_scheme(dark)])
        self._load(place if isinstance(place, str) else place.as_uri())

    def print_at(self, width: int) -> None:
        """Lay what is open out on paper so many CSS pixels wide. As in print, the page is told nothing of it."""
        self.run("window.onPaper = true")
        self.ask("Emulation.setEmulatedMedia", media="print", features=[_scheme(False)])
        self._resize(width, 1000)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until an expression is true in the page, for at most a quarter of a minute."""
        deadline = time.monotonic() + 15
        while not self.run(script):
            assert time.monotonic() < deadline, f"Never true: {script}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press and release one key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def point(self, x: float, y: float) -> None:
        """Move the pointer there, in CSS pixels of the window."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def photograph(self) -> Iterator[tuple[int, bytes]]:
        """The page from top to bottom, in pieces: where each begins, in CSS pixels, and a PNG of it."""
        height = self.run("document.documentElement.scrollHeight")
        # A window as high as the page: to look beyond it the browser would shrink it to a pixel, and tell the page so.
        self._resize(self._width, height)
        for top in range(0, height, TALLEST):
            clip = {"x": 0, "y": top, "width": self._width, "height": min(TALLEST, height - top), "scale": 1}
            yield top, b64decode(self.ask("Page.captureScreenshot", clip=clip)["data"])

    def _load(self, address: str) -> None:
        self.ask("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def _resize(self, width: int, height: int) -> None:
        self._width = width
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._reading, 1 << 16)
            assert piece, "The browser is gone."
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if message.get("method") in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}:
            self.complaints.append(json.dumps(message["params"]))
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        return message


def _scheme(dark: bool) -> dict[str, str]:
    return {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}


@contextmanager
def tab(folder: Path, flags: tuple[str, ...]) -> Iterator[Tab]:
    """A page of a browser of its own, whose profile lies in a folder."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "These tests need Chromium on the PATH."
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    # The shell puts the two ends where the browser expects them.
    script = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
    command = [browser, *flags, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}", "about:blank"]
    process = subprocess.Popen(
        ["/bin/bash", "-c", script, "bash", *command],
        pass_fds=(commands_out, answers_in),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_out)
    os.close(answers_in)
    try:
        yield Tab(commands_in, answers_out)
    finally:
        with suppress(OSError):  # a browser that is gone has closed its end
            os.close(commands_in)
        os.close(answers_out)
        process.terminate()
        process.wait(timeout=30)
