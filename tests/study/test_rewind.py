"""Claims about putting blocks back: what is looked for is found, what is put back is as pretrained, and it is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import frostline as fl
from builders import BINARY, make_predictions, make_study, spam_counts
from factories import write_messages
from frostline.choosing import choice_of, rivals_of
from frostline.core.ledger import Ledger
from frostline.core.progress import Silent
from frostline.core.records import Choice, Run, Standing
from frostline.core.study_folder import StudyFolder
from frostline.plan.freeze_plan import FreezePlan
from frostline.study import prepare
from frostline.train.budgeted import Raced
from frostline.train.derived import Rewound
from frostline.train.race import Race
from frostline.train.rewind import rewound_runs

DEEPER = tuple(f"depth-{n}" for n in range(1, 8))
NOISE_N = 1 + np.random.default_rng(0).normal(scale=0.1, size=200)


@dataclass
class Written:
    """A race whose losses are written down: putting back more blocks than are unnoticed costs one nat."""

    unnoticed: int
    asked: list[str] = field(default_factory=list)

    def derive(self, derived: Rewound) -> Run:
        return derived.source.model_copy(update={"candidate": derived.candidate, "ended": derived.sentence})

    def losses_of(self, run: Run) -> NDArray[np.float64]:
        if not run.candidate.endswith("@rewound"):
            return NOISE_N
        self.asked.append(run.candidate)
        depth = int(run.candidate.removeprefix("depth-").removesuffix("@rewound"))
        return NOISE_N + float(depth > self.unnoticed)


def looked_for(unnoticed: int, asks: int) -> tuple[list[str], list[str], list[Standing]]:
    race, told = Written(unnoticed), list[Standing]()
    winner = make_study().run_of("full")
    runs, good = rewound_runs(cast(Race, race), winner, DEEPER, asks, told.append)
    assert list(runs) == race.asked
    return race.asked, good, told


@given(unnoticed=st.integers(0, 7))
def test_the_deepest_that_is_unnoticed_is_found(unnoticed: int) -> None:
    """With as many answers as it takes; nobody is asked twice, and each answer is told with its reason."""
    asked, good, told = looked_for(unnoticed, asks=len(DEEPER))

    assert (good[-1] if good else None) == (f"depth-{unnoticed}@rewound" if unnoticed else None)
    assert len(asked) == len(set(asked))
    assert [standing.candidate for standing in told] == asked
    assert {s.candidate for s in told if s.decision == "kept"} == set(good)
    assert all("full, its first blocks put back" in standing.reason for standing in told)


@given(unnoticed=st.integers(0, 7), asks=st.integers(0, 3))
def test_no_more_is_asked_than_was_set_aside(unnoticed: int, asks: int) -> None:
    """What is found with few answers is never deeper than what is unnoticed."""
    asked, good, _ = looked_for(unnoticed, asks)

    assert len(asked) <= asks
    assert all(int(id[len("depth-")]) <= unnoticed for id in good)


@pytest.mark.parametrize(("more_missed", "chosen"), [(0, "depth-4@rewound"), (1, "full")])
def test_no_f1_is_given_for_blocks_that_are_put_back(more_missed: int, chosen: str) -> None:
    """As good on the select split, it is taken because less of it has to be kept; with one example fewer it is not."""
    study = make_study()
    frozen = {"full": frozenset[str](), "depth-4@rewound": frozenset(block.name for block in study.blocks[:4])}
    plans = {id: FreezePlan(blocks=tuple(b.name for b in study.blocks), frozen=names) for id, names in frozen.items()}
    race = SimpleNamespace(
        plans=plans,
        blocks=study.blocks,
        seed=0,
        source_of=lambda id: "full",
        serving_flops=lambda: {"full": 100, "depth-4": 100},
    )
    standing = Standing(
        candidate="full", rung=None, updates=9, loss=0.1, decision="finished", reason="no other is within the noise"
    )
    raced = Raced({}, ("full",), ("full",), (standing,), rewound=("depth-4@rewound",))
    select = {
        "full": make_predictions(BINARY, spam_counts(280, 20, 10, 710)),
        "depth-4@rewound": make_predictions(BINARY, spam_counts(280 - more_missed, 20 + more_missed, 10, 710)),
    }
    choice = choice_of(cast(Race, race), raced, select, {"full": study.run_of("full")})

    assert choice.candidate == chosen
    assert ("put back to their pretrained weights" in choice.reason) == (chosen != "full")


@pytest.mark.parametrize(
    ("chosen", "rivals"), [("full", ("full", "depth-4")), ("depth-4@rewound", ("depth-4@rewound", "full"))]
)
def test_what_was_put_back_in_vain_is_no_rival(chosen: str, rivals: tuple[str, ...]) -> None:
    """The runner-up is another candidate that trained, though the winner with blocks put back has a lower loss."""
    select = {
        "full": make_predictions(BINARY, spam_counts(280, 20, 10, 710)),
        "depth-4@rewound": make_predictions(BINARY, spam_counts(279, 21, 10, 710)),
        "depth-4": make_predictions(BINARY, spam_counts(200, 100, 60, 660)),
    }
    choice = Choice(candidate=chosen, best=chosen, tied=(chosen,), metric="f1", reason="")

    assert rivals_of(choice, select) == rivals


# ---------------------------------------------------------------- in a real study


@contextmanager
def begun(folder: Path, **settings: Any) -> Iterator[SimpleNamespace]:
    """A race with a finished full fine-tune."""
    study = fl.Study(
        model="factories:tiny_text",
        data=write_messages(folder / "messages.csv", rows=480),
        positive="spam",
        out=folder / "study",
        **{"epochs": 2, "learning_rate": 1e-2, "activations": "off", **settings},
    )
    with study.folder.opened(study.settings, resume=False) as ledger:
        race, _ = prepare(study.settings, study.folder, ledger, Silent())
        start = race.start()
        yield SimpleNamespace(race=race, start=start, full=race.train("full", start), ledger=ledger)


def state_of(race: Race, run: Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in race.restore(run).module.state_dict().items()}


def test_what_is_put_back_is_as_pretrained_and_the_rest_as_tuned(tmp_path: Path) -> None:
    """Bit for bit, with a proof over the frozen part; the twin with nothing put back differs from the pretrained."""
    with begun(tmp_path) as at:
        run = at.race.derive(Rewound(at.full, "depth-2"))
        rewound, tuned = state_of(at.race, run), state_of(at.race, at.full)
        frozen = {name for name in tuned if name.startswith(("embedding", "layers.0"))}

        assert frozen
        for name, tensor in rewound.items():
            assert torch.equal(tensor, at.race.beginning[name] if name in frozen else tuned[name]), name
        assert any(not torch.equal(tuned[name], at.race.beginning[name]) for name in frozen)
        assert run.proof.holds and run.proof.frozen_tensors == len(frozen)
        assert run.train_flops == run.evaluate_flops == 0


def test_it_answers_what_the_network_answers_with_its_blocks_put_back(tmp_path: Path) -> None:
    """The same losses as a network that was put together by hand."""
    with begun(tmp_path) as at:
        losses_N = at.race.losses_of(at.race.derive(Rewound(at.full, "depth-1")))
        model, rows = at.race.restore(at.full), at.race.data.rows["select"]
        with torch.no_grad():
            model.module.get_parameter("embedding.weight").copy_(at.race.beginning["embedding.weight"])
            logits_NC = model.module.eval()(*at.race.inputs.batch(rows).values())
        truth_N = torch.as_tensor(at.race.data.labels[rows])
        by_hand_N = torch.nn.functional.cross_entropy(logits_NC.double(), truth_N, reduction="none")

        assert losses_N == pytest.approx(by_hand_N.numpy(), rel=1e-4, abs=1e-6)


def test_another_seed_trains_the_network_that_was_put_back(tmp_path: Path) -> None:
    """Confirming trains the source with the other seed and puts back the same blocks, frozen part as pretrained."""
    with begun(tmp_path) as at:
        rewound = at.race.derive(Rewound(at.full, "depth-2"))
        run, answers, flops = at.race.confirm(rewound.candidate, at.start, seed=5)

        assert run.candidate == "full" and run.seed == 5
        assert flops > run.train_flops
        assert not np.array_equal(answers, at.race.answers(rewound, "select"))
        assert at.race.source_of(rewound.candidate) == "full"


def test_a_study_that_puts_blocks_back_can_be_loaded_and_resumed(tmp_path: Path) -> None:
    """The chosen one freezes more than what was trained, its weights come back, and the report names both."""
    # A rate so low that nobody can tell what was trained from what was not.
    asked = {"epochs": 2, "learning_rate": 1e-7, "activations": "off", "positive": "spam", "budget": 4.0}
    data = write_messages(tmp_path / "messages.csv", rows=480)
    result = fl.Study(
        model="factories:tiny_text", data=data, out=tmp_path / "study", plans="full;depths", **asked
    ).run()
    record = result.record
    chosen = record.candidate(record.choice.candidate)

    assert chosen.id.endswith("@rewound") and chosen.frozen
    assert record.run_of(chosen.id).proof.holds
    loaded = result.model().state_dict()
    pretrained = fl.Study(model="factories:tiny_text", data=data, out=tmp_path / "other", **asked)
    with Ledger.at(tmp_path / "ledger.sqlite") as ledger:
        race, _ = prepare(pretrained.settings, StudyFolder(tmp_path / "prepared"), ledger, Silent())
        first = race.model.module.state_dict()["embedding.weight"]
    assert torch.equal(loaded["embedding.weight"], first)
    page = (tmp_path / "study" / "report.html").read_text(encoding="utf-8")
    assert chosen.id in page and "put back to their pretrained weights" in page
