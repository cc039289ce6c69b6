"""Building the site in a test, where no connection can be made."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]


def built(out: Path, warnings: list[str], **changes: Any) -> Path:
    """Build the site without a network; what mkdocs warns of is gathered."""

    def refuse(*_: object) -> None:
        raise AssertionError("The build asked for a network connection.")

    class Gather(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    handler = Gather(level=logging.WARNING)
    logging.getLogger("mkdocs").addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        try:
            config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out), strict=False, **changes)
            config.plugins.on_startup(command="build", dirty=False)
            build(config)
        finally:
            logging.getLogger("mkdocs").removeHandler(handler)
    return out
