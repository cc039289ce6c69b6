"""What a notebook shows of a plan, a summary and a result: well-formed, escaped, without script, light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from torch import nn

from builders import make_study
from frostline.core.records import StudyRecord, Verdict
from frostline.explain.summary import summary
from frostline.plan.apply import freeze
from frostline.plan.freeze_plan import FreezePlan
from frostline.result import StudyResult
from report.samples import HOSTILE, judged

Pair = tuple[StudyRecord, Verdict]
BLOCKS = ("stem", "layer.0", "layer.1", "head")


def shown(fragment: str) -> ElementTree.Element:
    """The fragment as a tree, after what every one of them must be."""
    assert "<script" not in fragment and not re.search(r"\son\w+=|https?://|url\(", re.sub(r">[^<]*<", "><", fragment))
    for style in re.findall(r"style='([^']*)'", fragment):
        # The page's own colours for text and ground, half transparent ones over them: readable on either.
        assert not re.search(r"(^|;)\s*color:|#[0-9a-f]{3}|rgb\(|white|black", style)
        assert all(float(alpha) < 1 for alpha in re.findall(r"rgba\([\d,]+,([\d.]+)\)", style))
    return ElementTree.fromstring(fragment.replace("scope=col", "scope='col'"))


def states(fragment: ElementTree.Element) -> list[tuple[str, str]]:
    """Blocks in order, with how each is marked."""
    return [((span.text or ""), span.get("title", "")) for span in fragment.iter("span") if span.get("title")]


def result_of(pair: Pair, folder: Path) -> str:
    study, verdict = pair
    return StudyResult(verdict, study, folder)._repr_html_()


def test_a_plan_is_a_strip_of_its_blocks() -> None:
    """Every block in execution order, the frozen ones marked by a word and a sign beside the colour."""
    plan = FreezePlan(blocks=BLOCKS, frozen=frozenset({"stem", "layer.1"}))
    html = shown(plan._repr_html_())

    assert html.findtext("p") == plan.sentence
    assert states(html) == [("❄ stem", "frozen"), ("layer.0", "trains"), ("❄ layer.1", "frozen"), ("head", "trains")]


def test_blocks_behind_an_early_end_are_dropped() -> None:
    """They neither train nor run."""
    plan = FreezePlan(blocks=BLOCKS, frozen=frozenset({"stem", "layer.0"}), ends_after="layer.0")

    assert [state for _, state in states(shown(plan._repr_html_()))] == ["frozen", "frozen", "dropped", "dropped"]


def test_names_of_blocks_are_escaped() -> None:
    """A block may be called anything."""
    plan = FreezePlan(blocks=(HOSTILE, "head\x1b"), frozen=frozenset({HOSTILE}))

    assert states(shown(plan._repr_html_())) == [(f"❄ {HOSTILE}", "frozen"), ("head\\x1b", "trains")]


def test_a_summary_marks_the_frozen_rows() -> None:
    """Rows of what is frozen are tinted, the others are not."""
    net = freeze(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), "0")
    rows = [list(row) for row in shown(summary(net)._repr_html_()).iter("tr")][1:]

    assert [(row[0].text, row[1].text, row[0].get("style") is not None) for row in rows] == [
        ("0", "frozen", True),
        ("1", "trainable", False),
    ]


@pytest.mark.parametrize("which", ["clean", "faulty", "several_classes"])
def test_a_result_shows_verdict_floors_plan_and_metrics(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The same words as the report."""
    study, verdict = request.getfixturevalue(which)
    html = shown(result_of((study, verdict), tmp_path))
    text = " ".join(html.itertext())

    assert html.findtext("p/span/b") == verdict.verdict
    assert all(sentence in text for sentence in (verdict.sentence, *verdict.reasons, verdict.next))
    assert [caption.text for caption in html.iter("caption")] == ["Floors: what was demanded", "Metrics"]
    frozen = [name.removeprefix("❄ ") for name, state in states(html) if state == "frozen"]
    assert frozen == list(study.candidate(study.choice.candidate).frozen)
    assert len(states(html)) == len(study.blocks)


def test_a_changed_number_changes_what_is_shown(clean: Pair, tmp_path: Path) -> None:
    """The metrics are those of the study."""
    other = judged(make_study(test={"depth-4": ((700, 20), (90, 210))}))

    for pair, recall in ((clean, "94.0 %"), (other, "70.0 %")):
        cells = [cell.text for cell in shown(result_of(pair, tmp_path)).iter("td")]
        assert cells[cells.index("Accuracy") + 3 :][:2] == ["Recall", recall]


def test_hostile_names_stay_text(hostile: Pair, tmp_path: Path) -> None:
    """Labels and sentences bring no tag of their own."""
    html = shown(result_of(hostile, tmp_path))

    assert {element.tag for element in html.iter()} == {
        "div", "p", "b", "span", "ul", "li", "table", "caption", "thead", "tbody", "tr", "th", "td"
    }  # fmt: skip
    assert HOSTILE in " ".join(html.itertext())
