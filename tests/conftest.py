"""Property tests assert what is true, not how fast a busy machine gets there; no test writes to the user's state."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("exploring", deadline=None)
# Continuous integration repeats the same cases: a new one that fails is found at a desk, where it can be mended.
settings.register_profile("repeating", deadline=None, derandomize=True)
settings.load_profile("repeating" if os.environ.get("CI") else "exploring")


@pytest.fixture(scope="session", autouse=True)
def state_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What fixtures of a whole module run counts its readings of test labels here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FROSTLINE_STATE", str(tmp_path_factory.mktemp("session-state")))
        yield


@pytest.fixture(autouse=True)
def state_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings of test labels are counted across studies: each test begins with none."""
    monkeypatch.setenv("FROSTLINE_STATE", str(tmp_path_factory.mktemp("state")))
