"""One clean study and its verdict, a faulty one, and one with hostile names and findings."""

from __future__ import annotations

import pytest

from builders import make_head_rates, make_replay, make_study
from frostline.core.records import StudyRecord, Verdict
from report.samples import HOSTILE, judged, renamed


@pytest.fixture(scope="session")
def clean() -> tuple[StudyRecord, Verdict]:
    return judged(make_study())


@pytest.fixture(scope="session")
def faulty() -> tuple[StudyRecord, Verdict]:
    """A run failed, the freeze was broken, the test split overlaps and was opened twice."""
    return judged(make_study(failed=["depth-2"], changed=["embeddings.weight"], overlap=12, openings=2))


@pytest.fixture(scope="session")
def replayed() -> tuple[StudyRecord, Verdict]:
    """All plans but the shallowest replay their frozen part; the head's learning rate was tried."""
    replay = make_replay(off={"depth-1": "reading its frozen part takes 3 s a pass, computing it 2 s"})
    return judged(make_study(replay=replay, head_rates=make_head_rates()))


@pytest.fixture(scope="session")
def several_classes() -> tuple[StudyRecord, Verdict]:
    return judged(make_study(classes=4))


@pytest.fixture(scope="session")
def hostile() -> tuple[StudyRecord, Verdict]:
    study, verdict = judged(renamed(make_study(), spam=HOSTILE, messages=HOSTILE, MiniLM=HOSTILE))
    finding = verdict.checks[0].model_copy(update={"sentence": HOSTILE, "next": HOSTILE, "name": HOSTILE})
    return study, verdict.model_copy(update={"findings": (finding,), "reasons": (HOSTILE,)})
