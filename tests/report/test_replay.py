"""What was replayed and why not, the store, and the head's learning rate: on the page, in a terminal, in the JSON."""

from __future__ import annotations

import html
import io
import json
import re

import pytest
from rich.console import Console

from builders import make_head_rates, make_replay, make_study
from frostline.core.records import HeadRate, ReplaySummary, StudyRecord, Verdict
from frostline.report.document import report_document
from frostline.report.html import render_html
from frostline.report.parts import Table
from frostline.report.replay_view import replay_sentence, replay_table, store_table
from frostline.report.sections import head_rates_table
from frostline.report.text import print_study
from report.samples import HOSTILE, judged

Pair = tuple[StudyRecord, Verdict]

ALL = tuple(f"depth-{depth}" for depth in range(1, 8))
SLOW = "reading its frozen part takes 3 s a pass, computing it 2 s"


def printed(study: StudyRecord, verdict: Verdict) -> str:
    """What a pipe gets, line breaks taken out."""
    console = Console(file=io.StringIO(), width=80)
    print_study(study, verdict, console)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def read(page: str) -> str:
    """What a page says, its markup taken out."""
    body = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def cells(table: Table | None) -> dict[str, tuple[str, ...]]:
    assert table is not None
    return {row.cells[0]: row.cells[1:] for row in table.rows}


def with_replay(replay: ReplaySummary | None) -> Pair:
    return judged(make_study(replay=replay))


# ---------------------------------------------------------------- by candidate


def test_a_row_for_each_plan_with_what_it_spared() -> None:
    """Examples, work, and the seconds of computing and reading; a plan that is off has none of them."""
    rows = cells(replay_table(make_study(replay=make_replay(off={"depth-1": SLOW}))))

    assert list(rows) == list(ALL)
    assert rows["depth-1"] == ("off", "", "", "", "")
    # 1.125 of 4.5 GFLOP.
    assert rows["depth-4"] == ("98.7 %", "25.0 %", "12.50 s", "0.75 s", "0.66 s")


def test_every_reason_stands_below_the_table() -> None:
    """One sentence for each plan that is off; what is computed each time is said once for all plans."""
    again = ("'encoder.layer.2' is rounded otherwise in batches of another size",)
    replay = make_replay(off={"depth-1": SLOW, "depth-2": "the model is compiled"}, computed_again=again)
    table = replay_table(make_study(replay=replay))
    assert table is not None

    assert f"depth-1: replay is off because {SLOW}." in table.note
    assert "depth-2: replay is off because the model is compiled." in table.note
    assert table.note.count("Computed each time: 'encoder.layer.2' is rounded otherwise") == 1
    assert "depth-3: replay is off" not in table.note
    clean = replay_table(make_study(replay=make_replay()))
    assert clean is not None and "off because" not in clean.note and "Computed each time" not in clean.note


def test_what_was_not_measured_is_not_a_number() -> None:
    """A run without examples has an undefined share, and seconds that nobody took stay empty."""
    replay = make_replay()
    first = replay.runs[0].model_copy(update={"replayed_share": None, "measured_read_s": None})
    rows = cells(replay_table(make_study(replay=replay.model_copy(update={"runs": (first, *replay.runs[1:])}))))

    assert rows["depth-1"] == ("undefined", "25.0 %", "12.50 s", "0.75 s", "")


def test_the_store_shows_what_was_predicted_and_what_came() -> None:
    """Place, both sizes, refused rows, precision and every note."""
    exact = cells(store_table(make_study(replay=make_replay(refused_rows=1234))))
    half = cells(store_table(make_study(replay=make_replay(half_error=0.000_412, notes=["one", "another"]))))
    table = store_table(make_study(replay=make_replay(notes=["one", "another"])))
    memory = make_replay().model_copy(update={"place": "memory"})

    assert exact["Kept"] == ("on disk, in the study's folder activations",)
    assert exact["Size predicted"] == ("31.0 MB",) and exact["Size measured"] == ("30.5 MB",)
    assert exact["Rows not kept, for the budget"] == ("1,234",)
    assert exact["Precision"] == ("exact",)
    assert half["Precision"] == ("float16, by choice: off by at most 0.00041 of a row's largest value",)
    assert table is not None
    assert [row.cells for row in table.rows if row.mark == "unsure"] == [("Note", "one"), ("Note", "another")]
    assert cells(store_table(make_study(replay=memory)))["Kept"] == ("in memory",)


# ---------------------------------------------------------------- in one sentence


def test_the_sentence_says_how_much_was_spared() -> None:
    """Plans that replay, of those that freeze something, and their share of the ordinary sweep's work."""
    # 6 runs spared 1.125 GFLOP each, of 26 GFLOP.
    assert replay_sentence(make_study(replay=make_replay(off={"depth-1": SLOW}))) == (
        "Frozen computation was replayed for 6 of 7 freeze plans: 26.0 % of the ordinary sweep's work was spared."
    )


def test_when_all_are_off_the_sentence_says_why() -> None:
    """Every reason once, in a fixed order."""
    replay = make_replay(off={name: SLOW if name < "depth-4" else "the model is compiled" for name in ALL})

    assert replay_sentence(make_study(replay=replay)) == f"Replay is off because {SLOW}; the model is compiled."


def test_switched_off_is_said_and_nothing_more_is_shown() -> None:
    """No table without replay, and no heading for one."""
    study, verdict = with_replay(None)

    assert replay_table(study) is None and store_table(study) is None
    assert "Replay of frozen computation was switched off." in printed(study, verdict)
    assert "What was replayed" not in read(render_html(study, verdict))


# ---------------------------------------------------------------- on the page, in a terminal, in the JSON


def test_page_and_terminal_say_the_same(replayed: Pair) -> None:
    """The sentence stands in both; the page has both tables, every cell and every note."""
    page = read(render_html(*replayed)).replace("\N{NO-BREAK SPACE}", " ")
    sentence = replay_sentence(replayed[0])

    assert sentence in page and sentence in printed(*replayed)
    for table in (replay_table(replayed[0]), store_table(replayed[0]), head_rates_table(replayed[0])):
        assert table is not None
        assert " ".join(table.caption.split()) in page and " ".join(table.note.split()) in page
        assert [cell for row in table.rows for cell in row.cells if cell not in page] == []


def test_why_it_is_off_is_in_the_terminal() -> None:
    """Where nothing is replayed, the reason is the last thing a person reads of the costs."""
    pair = with_replay(make_replay(off=dict.fromkeys(ALL, SLOW)))

    assert f"Replay is off because {SLOW}." in printed(*pair)


@pytest.mark.parametrize("where", ["off", "computed_again", "notes"])
def test_a_hostile_reason_stays_text(where: str) -> None:
    """A module may be named as it likes: markup in a reason is shown, and is no element of the page."""
    reason = f"{HOSTILE} works on what trains"
    knobs = {"off": {"depth-2": reason}, "computed_again": (reason,), "notes": (reason,)}
    page = render_html(*with_replay(make_replay(**{where: knobs[where]})))  # type: ignore[arg-type]

    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page.replace("&#34;", "&quot;")
    assert len(re.findall(r"<script", page)) == len(re.findall(r"<script", render_html(*with_replay(make_replay()))))


def test_a_reason_cannot_steer_the_terminal() -> None:
    """Escape sequences in a module's name are made visible."""
    text = printed(*with_replay(make_replay(off=dict.fromkeys(ALL, "'\x1b[31m[red]' works on what trains"))))

    assert "\x1b" not in text
    assert "\\x1b[31m[red]" in text


def test_the_json_holds_what_the_page_shows(replayed: Pair) -> None:
    """Replay and head rates come back from it equal, and the page drawn from it is the page."""
    document = json.loads(json.dumps(report_document(*replayed), allow_nan=False))
    study = StudyRecord.model_validate(document["study"])

    assert document["study"]["replay"]["runs"][0]["off_because"] == SLOW
    assert (study.replay, study.head_rates) == (replayed[0].replay, replayed[0].head_rates)
    assert render_html(study, Verdict.model_validate(document["verdict"])) == render_html(*replayed)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("replay", "place"), "memory"),
        (("replay", "kept_bytes"), 12_345),
        (("replay", "predicted_bytes"), 12_345),
        (("replay", "refused_rows"), 77),
        (("replay", "half_error"), 0.001),
        (("replay", "runs", 0, "off_because"), "another reason"),
        (("replay", "runs", 3, "replayed_share"), 0.5),
        (("replay", "runs", 3, "predicted_compute_s"), 99.0),
        (("replay", "runs", 3, "predicted_read_s"), 99.0),
        (("replay", "runs", 3, "measured_read_s"), 99.0),
        (("runs", 4, "spared_train_flops"), 1),
        (("head_rates", 0, "loss"), 0.9),
        (("head_rates", 0, "best_epoch"), 1),
        (("head_rates", 1, "fresh_losses", 0), 0.9),
    ],
)
def test_a_changed_value_changes_the_page(replayed: Pair, path: tuple[str | int, ...], value: object) -> None:
    """Every value of the JSON reaches it."""
    document = report_document(*replayed)
    place = document["study"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert render_html(StudyRecord.model_validate(document["study"]), replayed[1]) != render_html(*replayed)


# ---------------------------------------------------------------- the head's learning rate


def test_rates_with_what_they_reached() -> None:
    """A rate that got nowhere says so; fresh heads that failed are no part of the spread, which may be undefined."""
    rows = cells(head_rates_table(make_study(head_rates=make_head_rates())))

    assert rows == {
        "0.0001": ("0.312", "3", "0.580 to 0.640"),
        "0.001": ("0.255", "2", "0.270 to 0.290"),
        "0.01": ("no better than its start", "0", "undefined"),
    }


def test_a_rate_whose_loss_was_not_finite_is_undefined() -> None:
    """Never 0."""
    rates = [HeadRate(learning_rate=1e-2, best_epoch=1, loss=None, fresh_losses=(0.5,))]

    assert cells(head_rates_table(make_study(head_rates=rates)))["0.01"] == ("undefined", "1", "0.500 to 0.500")


def test_without_rates_there_is_no_table() -> None:
    """A head that was not fitted was tried at none."""
    study, verdict = judged(make_study())

    assert head_rates_table(study) is None
    assert "The head's learning rate" not in read(render_html(study, verdict))


def test_no_trained_freeze_plan_is_said_instead_of_a_reason_that_is_not_there() -> None:
    """A race may train full fine-tuning alone: then there is no plan to replay for."""
    replay = make_replay().model_copy(update={"runs": ()})

    assert replay_sentence(make_study(replay=replay)) == "Nothing was replayed: no freeze plan was trained."
