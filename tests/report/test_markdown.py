"""The summary for a CI job: what a Markdown reader makes of it, whatever the labels, however large the study."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from builders import make_study
from frostline.core.errors import StudyError, plain
from frostline.core.records import Estimate, StudyRecord, Verdict
from frostline.judge.check import check
from frostline.report.markdown import LIMIT_BYTES, append_summary, as_table, code, escaped, job_summary
from frostline.report.parts import Row, Table
from report.samples import HOSTILE, judged, renamed

Pair = tuple[StudyRecord, Verdict]
# As GitHub does: tables, and HTML that is let through unless it was escaped.
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
LABELS = st.text(st.sampled_from(list("ab1.|<>&*_`#[]()!~\\$-+=\n\r\t\x1b \u202eé")), min_size=1, max_size=12)


class Cells(HTMLParser):
    """Texts of the cells and items of a page, and the tags around them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag in ("td", "li", "p"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data


@given(label=LABELS)
@example(label="a|b")
@example(label="\\|")
@example(label="<b>a</b>")
def test_a_label_in_a_cell_is_read_back_as_it_is(label: str) -> None:
    """Whatever it holds, a label stays in its cell, adds no column, no tag and no emphasis."""
    table = Table(caption="c", columns=("a", "b"), align="lr", rows=(Row((label, "end")),))
    page = Cells(READER.render(as_table(table)))

    assert page.tags == ["p", "strong", "table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert [text.strip() for text in page.texts[-2:]] == [plain(label).strip(), "end"]


@given(label=LABELS)
@example(label="# a")
@example(label="- a")
@example(label="+")
@example(label="10. a")
@example(label="1) a")
@example(label="---")
@example(label="~~~")
@example(label="    a")
@example(label="<!-- a")
@example(label="> a")
@example(label="[a]: b")
def test_a_label_that_begins_a_paragraph_or_an_item_is_read_back_as_it_is(label: str) -> None:
    """It makes no heading, no list and no rule of the line that it begins."""
    for markdown, tags in ((escaped(label), ["p"]), (f"- {escaped(label)}", ["ul", "li"])):
        page = Cells(READER.render(markdown))
        if plain(label).strip():
            assert page.tags == tags
            assert page.texts[-1].strip() == plain(label).strip()


@pytest.mark.parametrize("address", ["https://example.org/x", "see www.example.org", "WWW.example.org"])
def test_no_address_becomes_a_link(address: str) -> None:
    """What GitHub takes for the beginning of an address is not there, but reads as it was."""
    assert not re.search(r"://|www\.", escaped(address), flags=re.IGNORECASE)
    assert Cells(READER.render(escaped(address))).texts == [f"{address}\n"]


def test_a_command_stays_in_its_block() -> None:
    """Backticks in a command do not end the block that it stands in."""
    command = "frostline search --positive '```' && echo <b>"
    (fence,) = (token for token in READER.parse(code(command)) if token.type == "fence")

    assert fence.content == command + "\n"


def test_the_verdict_comes_first_and_the_command_last(faulty: Pair) -> None:
    """A reader who stops after the first line knows the answer; who reads to the end knows what to run."""
    study, verdict = faulty
    summary = job_summary(study, verdict)

    assert summary.startswith(f"## {verdict.verdict}: spam\n")
    assert summary.rstrip().endswith(f"{verdict.command}\n```") and verdict.command
    titles = re.findall(r"^### (.+)$", summary, flags=re.MULTILINE)
    assert titles == ["Floors", "Metrics on the test split", "Confusion matrix", "Findings"]
    assert all(finding.code in summary for finding in verdict.findings)
    assert "Rows are the true class, columns the answered class" in summary


def test_counts_stand_where_the_orientation_says(clean: Pair) -> None:
    """Rows are true: 282 spam found, 18 missed, 10 false alarms."""
    page = Cells(READER.render(job_summary(*clean)))
    cells = [text.strip() for text in page.texts]
    row = cells.index("truly spam")

    assert cells[row : row + 4] == ["truly spam", "282 (94.0 %) found", "18 (6.0 %) missed", "300"]
    assert cells[row + 4 : row + 6] == ["truly ham", "10 (1.4 %) false alarms"]


def test_hostile_names_bring_no_tag(hostile: Pair) -> None:
    """No script and no image that the labels and findings ask for; their text is there to read."""
    page = Cells(READER.render(job_summary(*hostile)))

    assert not {"script", "img"} & set(page.tags)
    assert any(HOSTILE in text for text in page.texts)


def test_a_label_with_a_pipe_and_a_newline_leaves_the_tables_whole() -> None:
    """Every row of every table has as many cells as its heading."""
    study, verdict = judged(renamed(make_study(), ham="ha|m\nx"))
    rendered = READER.render(job_summary(study, verdict))

    tables = re.findall(r"<table>.*?</table>", rendered, flags=re.DOTALL)
    assert len(tables) == 3
    for table in tables:
        heads, *rows = re.findall(r"<tr>.*?</tr>", table, flags=re.DOTALL)
        assert {row.count("<td") for row in rows} == {heads.count("<th")}


def test_many_classes_give_their_common_mistakes() -> None:
    """Thirty classes: no matrix, but the pair that is confused most often stands first."""
    labels = [f"class-{n}" for n in range(30)]
    true = [label for label in labels for _ in range(10)]
    answered = list(true)
    answered[0:5] = ["class-7"] * 5
    answered[10] = "class-3"
    study, _ = judged(make_study())
    summary = job_summary(study, check(true, answered))
    cells = [text.split("\n")[0] for text in Cells(READER.render(summary)).texts]

    assert cells[cells.index("class-7") - 1 :][:6] == ["class-0", "class-7", "5", "class-1", "class-3", "1"]


def test_it_fits_whatever_the_study(clean: Pair) -> None:
    """Thousands of metrics, findings and reasons with endless sentences: under the limit, verdict and command kept."""
    study, verdict = clean
    endless = "<|*" * 100_000
    finding = verdict.checks[0].model_copy(update={"sentence": endless, "next": endless, "outcome": "issue"})
    huge = verdict.model_copy(
        update={
            "sentence": endless,
            "next": endless,
            "reasons": (endless,) * 5000,
            "floors": tuple(floor.model_copy(update={"sentence": endless}) for floor in verdict.floors * 3000),
            "metrics": {f"{endless[:50_000]}{n}": Estimate(value=0.5) for n in range(300)},
            "findings": (finding,) * 5000,
            "command": "frostline search again.toml",
        }
    )
    summary = job_summary(study, huge)

    assert len(summary.encode()) <= LIMIT_BYTES
    assert summary.startswith("## READY: spam\n") and summary.rstrip().endswith("frostline search again.toml\n```")


def test_a_part_without_room_is_named(clean: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is dropped in silence."""
    monkeypatch.setattr("frostline.report.markdown.LIMIT_BYTES", 3000)
    summary = job_summary(*clean)

    assert len(summary.encode()) <= 3000
    assert "Too long for this page, and in the report: Metrics on the test split." in summary
    assert "### Confusion matrix" in summary


def test_what_others_wrote_is_kept(clean: Pair, tmp_path: Path) -> None:
    """The file of a CI step is appended to."""
    file = tmp_path / "summary.md"
    file.write_text("# Tests\n\n", encoding="utf-8")
    append_summary(file, *clean)

    assert file.read_text(encoding="utf-8") == "# Tests\n\n" + job_summary(*clean)


def test_a_file_that_cannot_be_written_is_a_sentence(clean: Pair, tmp_path: Path) -> None:
    """With the place and what to give instead."""
    with pytest.raises(StudyError, match=r"no-such-folder.*Give --summary a file in an existing folder"):
        append_summary(tmp_path / "no-such-folder" / "summary.md", *clean)
