"""The published schemas: every document that is written is valid, and a broken one is not."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from builders import make_study
from frostline.cli.app import app
from frostline.core.errors import BadInputError
from frostline.core.records import StudyRecord, Verdict
from frostline.judge.check import check
from frostline.report.document import report_document, search_document
from frostline.report.schema import NAMES, json_schema
from report.samples import USUAL_RACE, judged, raced

Pair = tuple[StudyRecord, Verdict]
REPORT, VERDICT = (Draft202012Validator(json_schema(name)) for name in NAMES)


def as_read(document: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return read


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_a_schema(name: str) -> None:
    """By the rules of the dialect that it names."""
    Draft202012Validator.check_schema(json_schema(name))  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["clean", "faulty", "replayed", "several_classes", "hostile"])
def test_every_report_is_valid(which: str, request: pytest.FixtureRequest) -> None:
    """report.json of every kind of study, and the verdict within it."""
    document = as_read(report_document(*request.getfixturevalue(which)))

    REPORT.validate(document)
    VERDICT.validate(document["verdict"])


def test_a_raced_study_is_valid() -> None:
    """With the standings of a race, some without a rung."""
    REPORT.validate(as_read(report_document(*judged(raced(USUAL_RACE)))))


def test_a_number_that_was_not_finite_is_valid(clean: Pair) -> None:
    """It is written as null, also where the record asks for a number."""
    study, verdict = clean
    run = study.runs[0].model_copy(update={"seconds_s": float("nan")})
    document = as_read(report_document(study.model_copy(update={"runs": (run, *study.runs[1:])}), verdict))

    assert document["study"]["runs"][0]["seconds_s"] is None
    REPORT.validate(document)


def test_what_search_prints_begins_with_a_verdict() -> None:
    """`search --json` adds keys to the verdict and changes none."""
    VERDICT.validate(as_read(search_document(*judged(make_study()))))


@pytest.mark.parametrize("arguments", [["--counts", "tp=12,fn=88,fp=12,tn=4888"], ["--counts", "tp=0,fn=5,fp=0,tn=30"]])
def test_what_check_prints_is_valid(arguments: list[str]) -> None:
    """Also with metrics that are undefined."""
    VERDICT.validate(json.loads(CliRunner().invoke(app, ["check", *arguments, "--json"]).stdout))


def test_several_classes_are_valid() -> None:
    """A confusion matrix with labels instead of four counts."""
    verdict = check("abcabcabc", "abcabcacb")

    VERDICT.validate(json.loads(verdict.model_dump_json()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "frostline.report/2"),
        (("verdict", "verdict"), "FINE"),
        (("verdict", "floors", 0, "met"), True),
        (("verdict", "metrics", "recall", "value"), "0.94"),
        (("study", "blocks", 0, "parameters"), 1.5),
        (("study", "choice"), None),
        (("study", "runs", 0, "proof", "changed"), "head.weight"),
        (("study", "data", "splits", 0, "name"), "validation"),
    ],
)
def test_a_broken_report_is_not_valid(clean: Pair, path: tuple[str | int, ...], value: object) -> None:
    """A wrong word, a wrong type, a missing part: each alone is refused."""
    document = deepcopy(as_read(report_document(*clean)))
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert not REPORT.is_valid(document)


@pytest.mark.parametrize("key", ["exit_code", "metrics", "floors", "confusion", "checks"])
def test_no_part_may_be_missing(clean: Pair, key: str) -> None:
    """Whoever reads a valid document can rely on each part."""
    document = as_read(report_document(*clean))
    del document["verdict"][key]

    assert not REPORT.is_valid(document)


def test_a_part_that_is_not_known_is_valid(clean: Pair) -> None:
    """Fields may be added within a version."""
    document = as_read(report_document(*clean))
    document["study"]["weather"] = "fair"

    REPORT.validate(document)


def test_an_earlier_document_is_valid(clean: Pair) -> None:
    """One that was written before a field came: the field has a default, so the record reads it as well."""
    document = as_read(report_document(*clean))
    del document["verdict"]["would_change"]

    REPORT.validate(document)
    assert Verdict.model_validate(document["verdict"]).would_change == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_the_schema(name: str) -> None:
    """And nothing else."""
    assert json.loads(CliRunner().invoke(app, ["schema", name]).stdout) == json_schema(name)  # type: ignore[arg-type]


def test_an_unknown_schema_is_a_sentence() -> None:
    """It names what there is."""
    error = CliRunner().invoke(app, ["schema", "verdikt"]).exception

    assert isinstance(error, BadInputError)
    assert str(error) == "There is no schema 'verdikt'. Did you mean 'verdict'?"
