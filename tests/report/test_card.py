"""card.md: metadata that the Hugging Face Hub reads, and sections that say what the record knows and no more."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from builders import make_study, spam_counts
from frostline.core.records import Difference, Estimate, Forgetting, StudyRecord, Verdict
from frostline.report.card import card_metadata, render_card
from report.samples import judged

Pair = tuple[StudyRecord, Verdict]
SECTIONS = [
    "Verdict",
    "What it is for, and what not",
    "What is frozen",
    "Data and splits",
    "Metrics on the test split",
    "Confusion matrix",
    "Forgetting",
    "Baselines",
    "Costs",
    "How it was made",
    "Limits",
]


def metadata(card: str) -> dict[str, Any]:
    """What stands between the two rules, read as YAML."""
    read: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return read


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("which", ["clean", "faulty", "replayed", "several_classes", "hostile"])
def test_the_hub_reads_the_metrics(which: str, request: pytest.FixtureRequest) -> None:
    """The Hub's own reader finds every defined metric of the chosen candidate on the test split, with its value."""
    study, verdict = request.getfixturevalue(which)
    data = ModelCard(render_card(study, verdict), ignore_metadata_errors=False).data
    tested = study.result(study.choice.candidate, "test")
    assert tested is not None
    measured = {**tested.measures.metrics, **tested.measures.scored}

    assert data.model_name == study.name
    assert sorted(r.metric_value for r in data.eval_results) == sorted(
        e.value for e in measured.values() if e.value is not None
    )
    assert {(r.task_type, r.dataset_split) for r in data.eval_results} == {("text-classification", "test")}
    assert {"accuracy", "recall", "precision", "f1", "matthews_correlation"} <= {
        r.metric_type for r in data.eval_results
    }
    assert data.library_name == "transformers" and data.pipeline_tag == "text-classification"


@pytest.mark.parametrize("which", ["clean", "several_classes", "hostile"])
def test_the_model_index_makes_the_round_trip(which: str, request: pytest.FixtureRequest) -> None:
    """Nothing in the model-index is outside the published rules: read into results and written again it is the same."""
    index = metadata(render_card(*request.getfixturevalue(which)))["model-index"]

    assert eval_results_to_model_index(*model_index_to_eval_results(index)) == index


def test_the_metadata_is_what_was_meant(hostile: Pair) -> None:
    """The YAML holds the very values, whatever the names are."""
    assert metadata(render_card(*hostile)) == card_metadata(hostile[0])


@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=15))
def test_any_name_survives_the_yaml(name: str) -> None:
    """A study called "no", "1e5", "a: b" or something with control characters is called so for the Hub as well."""
    study, verdict = PAIR
    study = study.model_copy(update={"name": name})

    assert metadata(render_card(study, verdict))["model-index"][0]["name"] == name


PAIR = judged(make_study())


def test_small_numbers_stay_numbers() -> None:
    """YAML 1.1 reads 1e-05 as text; the Hub wants a number."""
    study, verdict = PAIR
    tested = study.test[0]
    metrics = tested.measures.metrics | {"mcc": Estimate(value=1e-5, low=0, high=0.1)}
    measures = tested.measures.model_copy(update={"metrics": metrics})
    study = study.model_copy(update={"test": (tested.model_copy(update={"measures": measures}), *study.test[1:])})

    (result,) = metadata(render_card(study, verdict))["model-index"][0]["results"]
    assert {m["type"]: m["value"] for m in result["metrics"]}["matthews_correlation"] == 1e-5


def test_what_is_undefined_is_left_out() -> None:
    """Without a positive answer there is no precision: none is claimed to the Hub, and the card says why."""
    study, verdict = judged(make_study(test={"depth-4": spam_counts(0, 300, 0, 720)}))
    card = render_card(study, verdict)
    (result,) = metadata(card)["model-index"][0]["results"]
    types = {metric["type"] for metric in result["metrics"]}

    assert "recall" in types and "precision" not in types
    assert "| Precision | undefined (" in section(card, "Metrics on the test split")


@pytest.mark.parametrize(
    ("model", "base", "library"),
    [
        ("minilm", None, "transformers"),
        ("models/all-MiniLM-L6-v2", None, "transformers"),
        ("hub/models--google--vit-base-patch16/snapshots/3f49", "google/vit-base-patch16", "transformers"),
        ("/cache/models--gpt2/snapshots/607a", "gpt2", "transformers"),
        ("my_models:resnet", None, "pytorch"),
    ],
)
def test_a_base_model_is_named_only_where_it_is_known(model: str, base: str | None, library: str) -> None:
    """The Hub's own cache names the model; any other folder's name is just a folder's."""
    study, verdict = PAIR
    study = study.model_copy(update={"settings": {**study.settings, "model": model}})
    data = ModelCard(render_card(study, verdict)).data

    assert (data.base_model, data.library_name) == (base, library)
    assert data.license is None and data.language is None


def test_an_early_end_is_no_longer_a_transformers_model() -> None:
    """A network that ends after a block cannot be built from the folder alone; blocks behind it are dropped."""
    study, verdict = PAIR
    candidates = tuple(
        c.model_copy(update={"ends_after": "encoder.layer.2"}) if c.id == "depth-4" else c for c in study.candidates
    )
    card = render_card(study.model_copy(update={"candidates": candidates}), verdict)

    assert metadata(card)["library_name"] == "pytorch"
    assert "| encoder.layer.3 | dropped |" in section(card, "What is frozen")


def test_the_sections_say_what_the_record_says(faulty: Pair) -> None:
    """Verdict with reasons, blocks with their state, splits with their audit, findings each with its next step."""
    study, verdict = faulty
    card = render_card(study, verdict)

    assert re.findall(r"^## (.+)$", card, flags=re.MULTILINE) == SECTIONS
    assert section(card, "Verdict").strip().startswith(f"**{verdict.verdict}.**")
    assert "| encoder.layer.2 | frozen |" in section(card, "What is frozen")
    assert "| encoder.layer.3 | trains |" in section(card, "What is frozen")
    assert "Examples of test that also stand in train | 12" in section(card, "Data and splits")
    assert section(card, "Data and splits").count("2026-03-02T09:3") == 2
    assert "| 12 (1.2 %)" in section(card, "Data and splits")
    for finding in verdict.findings:
        said = section(card, "Limits").split(finding.code)[1].split("\n- ")[0]
        assert ("Next: " in said) == bool(finding.next)
    assert study.command in section(card, "How it was made")
    assert "| seed | 0 |" in section(card, "How it was made")
    assert "was not measured" in section(card, "Forgetting")


def test_what_was_forgotten_is_said_where_it_was_measured(clean: Pair) -> None:
    """With the drop, its interval and the table of the finalists."""
    study, verdict = clean
    forgotten = Forgetting(
        examples=500,
        lost=40,
        gained=10,
        before=Estimate(value=0.91, low=0.88, high=0.93),
        after=Estimate(value=0.85, low=0.82, high=0.88),
        drop=Difference(value=0.06, low=0.04, high=0.08),
    )
    card = render_card(study.model_copy(update={"forgetting": {"depth-4": forgotten}}), verdict)

    assert "a drop of +6.0 (+4.0 to +8.0) points" in section(card, "Forgetting")
    assert "| depth-4 | 91.0 % (88.0 to 93.0 %) |" in section(card, "Forgetting")


def test_who_may_use_it_follows_the_verdict(clean: Pair, faulty: Pair) -> None:
    """Only READY is called fit; INVALID is fit for nothing."""
    ready, broken = (section(render_card(*pair), SECTIONS[1]) for pair in (clean, faulty))

    assert "fit for production by the floors above" in ready
    assert "fit for production" not in broken and "for no use at all" in broken
    assert "not known to the record" in ready and "new patterns was not measured" in ready


def test_hostile_names_bring_no_tag(hostile: Pair) -> None:
    """Neither the metadata nor a table lets a label become HTML."""
    card = render_card(*hostile)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(card.split("\n---\n", 1)[1])

    assert "<script" not in page and "<img" not in page
    assert page.count("<h2>") == len(SECTIONS)
