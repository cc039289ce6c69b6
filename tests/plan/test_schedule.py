"""Claims about schedules: pure functions of the step, readable files, runs that resume bit for bit."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from frostline.core.errors import PlanError
from frostline.core.records import Block
from frostline.plan.apply import freeze, frozen_tensors, is_inert
from frostline.plan.blocks import blocks
from frostline.plan.groups import OptimizerChange, param_groups
from frostline.plan.proof import Seal
from frostline.plan.schedule import (
    Phase,
    Schedule,
    apply_schedule,
    freeze_as_you_go,
    gradual_unfreezing,
    lp_ft,
)
from networks import NETWORKS, NormedCnn

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)

STACK = tuple(Block(name=name, path=name, parameters=1, head=name == "fc") for name in ("first", "second", "fc"))

phases = st.builds(
    Phase,
    from_step=st.integers(1, 10**9),
    frozen=st.lists(st.text(min_size=1)).map(tuple),
    lr_factor=st.floats(0, exclude_min=True, allow_infinity=False) | st.integers(1, 10),
)
schedules = st.lists(phases, unique_by=lambda phase: phase.from_step, max_size=4).map(
    lambda later: Schedule((Phase(from_step=0), *sorted(later, key=lambda phase: phase.from_step)))
)


def images(size: int = 4) -> Tensor:
    return torch.linspace(-1, 1, size * 3 * 6 * 6).reshape(size, 3, 6, 6)


def trainable(net: nn.Module) -> set[str]:
    return {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad}


def held(net: nn.Module, optimizer: Optimizer) -> set[str]:
    names = {id(p): name.split(".")[0] for name, p in net.named_parameters()}
    return {names[id(p)] for group in optimizer.param_groups for p in group["params"]}


def train(net: nn.Module, optimizer: Optimizer, schedule: Schedule, steps: range) -> None:
    """A loop with dropout, so that randomness counts too."""
    for step in steps:
        apply_schedule(net, optimizer, schedule, step)
        net.train()
        nn.functional.cross_entropy(net(images()), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
        optimizer.zero_grad()


# ---------------------------------------------------------------- a value


@given(schedule=schedules, step=st.integers(0, 2 * 10**9))
def test_the_phase_of_a_step_is_the_last_that_has_begun(schedule: Schedule, step: int) -> None:
    """`at` agrees with reading the phases one by one."""
    assert schedule.at(step) == [phase for phase in schedule.phases if phase.from_step <= step][-1]


@given(schedules)
def test_toml_round_trip(schedule: Schedule) -> None:
    """Whatever the patterns and factors are, a schedule that is written is read back as it was."""
    assert Schedule.from_toml(schedule.to_toml()) == schedule


def test_toml_is_readable() -> None:
    """What a person sees: a comment, and one short table a phase; a long list has a line for each pattern."""
    schedule = Schedule(
        (Phase(from_step=0, frozen=("encoder.layer[:4]",)), Phase(from_step=50, frozen=("é" * 60,) * 2))
    )

    assert schedule.to_toml().splitlines() == [
        "# A freeze schedule: from each step on, what stands under `frozen` is frozen and the rest of it trains.",
        "",
        "[[phase]]",
        "from_step = 0",
        'frozen = ["encoder.layer[:4]"]',
        "lr_factor = 1.0",
        "",
        "[[phase]]",
        "from_step = 50",
        "frozen = [",
        f'  "{"é" * 60}",',
        f'  "{"é" * 60}"',
        "]",
        "lr_factor = 1.0",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it has no phase. Begin with from_step = 0"),
        ("phase = 3", "no list of tables"),
        ("[[phase]", r"not valid TOML \(.*line 1"),
        ("name = 'x'\n[[phase]]\nfrom_step = 0", "an entry 'name'"),
        ("[[phase]]\nfrozen = ['a']", "Phase 1 of the schedule does not say when it begins"),
        ("[[phase]]\nfrom_step = 5", "its first phase begins at step 5"),
        ("[[phase]]\nfrom_step = 0\n[[phase]]\nfrom_step = 0", "from step 0 stands behind one from step 0"),
        ("[[phase]]\nfrom_step = 0\n[[phase]]\nfrom_steps = 9", "Phase 2 .*'from_steps'. Did you mean 'from_step'?"),
        ("[[phase]]\nfrom_step = 0.5", "from_step = 0.5. Give a whole number"),
        ("[[phase]]\nfrom_step = true", "from_step = True"),
        ("[[phase]]\nfrom_step = -1", "from_step = -1"),
        ("[[phase]]\nfrom_step = 0\nfrozen = 'a'", "frozen = 'a'. Give a list"),
        ("[[phase]]\nfrom_step = 0\nfrozen = [1]", r"frozen = \(1,\)"),
        ("[[phase]]\nfrom_step = 0\nfrozen = ['']", r"frozen = \('',\)"),
        ("[[phase]]\nfrom_step = 0\nlr_factor = 0", "lr_factor = 0. Give a finite number above 0"),
        ("[[phase]]\nfrom_step = 0\nlr_factor = inf", "lr_factor = inf"),
        ("[[phase]]\nfrom_step = 0\nlr_factor = 'half'", "lr_factor = 'half'"),
    ],
)
def test_a_bad_file_gets_a_sentence(text: str, sentence: str) -> None:
    """It names the phase, the entry and what was found there."""
    with pytest.raises(PlanError, match=sentence):
        Schedule.from_toml(text)


def test_a_negative_step_is_refused() -> None:
    """Python would count it from the end."""
    with pytest.raises(PlanError, match="step -1"):
        Schedule((Phase(from_step=0),)).at(-1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: gradual_unfreezing(STACK, every=0), "every is 0"),
        (lambda: freeze_as_you_go((), every=1), "no blocks at all"),
        (lambda: lp_ft(STACK, 0), "probe_steps is 0"),
        (lambda: lp_ft(STACK[:2], 5), "None of the 2 blocks is a head"),
        (lambda: lp_ft(STACK, 5, lr_factor=-1), "lr_factor = -1"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(make: Any, sentence: str) -> None:
    """The constructors check what they are given."""
    with pytest.raises(PlanError, match=sentence):
        make()


# ---------------------------------------------------------------- at work


def test_every_phase_freezes_what_it_says() -> None:
    """Step by step through three schedules: what trains, what the optimizer holds and what is inert agree."""
    expected = {
        gradual_unfreezing(STACK, every=2): ["fc", "fc", "second fc", "second fc", "first second fc"],
        freeze_as_you_go(STACK, every=2): ["first second fc", "first second fc", "second fc", "second fc", "fc"],
        lp_ft(STACK, 3): ["fc", "fc", "fc", "first second fc", "first second fc"],
    }
    for schedule, parts in expected.items():
        net = NormedCnn()
        optimizer = AdamW(param_groups(net, lr=0.01))
        for step, names in enumerate(parts):
            train(net, optimizer, schedule, range(step, step + 1))

            inert = {name for name, part in net.named_children() if is_inert(part)}
            assert trainable(net) == held(net, optimizer) == set(names.split())
            assert inert == {"first", "second", "fc"} - set(names.split())


def test_frozen_stays_frozen_through_its_phase() -> None:
    """Weights, statistics and optimizer pass the proof for as long as the phase lasts."""
    net, schedule = NormedCnn(), freeze_as_you_go(STACK, every=3)
    optimizer = AdamW(param_groups(net, lr=0.1, weight_decay=0.5))
    train(net, optimizer, schedule, range(4))
    seal = Seal.of(net)
    train(net, optimizer, schedule, range(4, 6))

    assert seal.hashes
    assert seal.compare(net, optimizer).holds


def test_applying_a_phase_again_changes_nothing() -> None:
    """Within a phase neither model nor optimizer is touched, and the change that is told is empty."""
    net, schedule = NormedCnn(), lp_ft(STACK, 2, lr_factor=0.1)
    optimizer = AdamW(param_groups(net, lr=0.01))
    train(net, optimizer, schedule, range(3))
    groups, states = copy.deepcopy(optimizer.state_dict()), {id(s) for s in optimizer.state.values()}
    for step in (2, 3, 100):
        assert apply_schedule(net, optimizer, schedule, step) == OptimizerChange()

    assert optimizer.state_dict()["param_groups"] == groups["param_groups"]
    assert {id(s) for s in optimizer.state.values()} == states


def test_any_step_can_come_first() -> None:
    """Applied to a fresh model, a phase in the middle is what it is after those before it."""
    schedule = gradual_unfreezing(STACK, every=2)
    walked, jumped = NormedCnn(), NormedCnn()
    optimizers = [AdamW(param_groups(net, lr=0.01)) for net in (walked, jumped)]
    for step in range(3):
        apply_schedule(walked, optimizers[0], schedule, step)
    apply_schedule(jumped, optimizers[1], schedule, 2)

    assert set(frozen_tensors(walked)) == set(frozen_tensors(jumped))
    assert [g["members"] for g in optimizers[0].param_groups] == [g["members"] for g in optimizers[1].param_groups]
    assert held(walked, optimizers[0]) == held(jumped, optimizers[1])


def test_a_freeze_by_hand_is_made_whole() -> None:
    """`requires_grad` as the phase wants it is not enough: the block is made inert as well."""
    net = NormedCnn()
    net.first.requires_grad_(False)
    apply_schedule(net, AdamW(param_groups(net, lr=0.01)), Schedule((Phase(from_step=0, frozen=("first",)),)), 0)

    assert is_inert(net.first[1])


def test_what_no_phase_names_stays_as_it_is() -> None:
    """A part that was frozen for good is not unfrozen by a schedule about others."""
    net = freeze(NormedCnn(), "first")
    schedule = Schedule((Phase(from_step=0, frozen=("second",)), Phase(from_step=1)))
    optimizer = AdamW(param_groups(net, lr=0.01))
    train(net, optimizer, schedule, range(2))

    assert trainable(net) == held(net, optimizer) == {"second", "fc"}


@pytest.mark.parametrize(
    ("frozen", "sentence"),
    [
        (("first", "second", "fc"), "from step 5 freezes all that trains"),
        (("first", "thrid"), "'thrid' matches no block"),
    ],
)
def test_what_cannot_be_applied_is_refused(frozen: tuple[str, ...], sentence: str) -> None:
    """A phase without anything to train, or with an unknown name, is refused and nothing is changed."""
    net = NormedCnn()
    schedule = Schedule((Phase(from_step=0), Phase(from_step=5, frozen=frozen)))
    with pytest.raises(PlanError, match=sentence):
        apply_schedule(net, AdamW(param_groups(net, lr=0.01)), schedule, 5)

    assert trainable(net) == {"first", "second", "fc"}


def test_an_unknown_name_is_found_at_the_first_step() -> None:
    """Hours before its phase begins."""
    net = NormedCnn()
    schedule = Schedule((Phase(from_step=0), Phase(from_step=10**6, frozen=("thrid",))))
    with pytest.raises(PlanError, match="'thrid' matches no block"):
        apply_schedule(net, AdamW(param_groups(net, lr=0.01)), schedule, 0)


@pytest.mark.parametrize("name", ["bert classifier", "gpt2, tied head", "vit", "root token", "mixture of experts"])
def test_blocks_of_any_network_can_be_scheduled(name: str) -> None:
    """Each phase freezes exactly the parameters of its blocks, whatever the names leave out."""
    make, example = NETWORKS[name]
    net = make()
    found = blocks(net, example())
    optimizer = SGD(param_groups(net, lr=0.1, layer_decay=0.9, blocks=found), lr=0.1)
    for step in range(len(found)):
        apply_schedule(net, optimizer, freeze_as_you_go(found, every=1), step)
        frozen = sum(p.numel() for p in net.parameters() if not p.requires_grad)

        assert frozen == sum(block.parameters for block in found[:step])


# ---------------------------------------------------------------- learning rates


def test_the_factor_of_a_phase_replaces_the_one_before() -> None:
    """Rates are the ones asked for times the factor of the phase, however many came before."""
    net = NormedCnn()
    optimizer = SGD(param_groups(net, lr=0.4, head_lr=4.0, blocks=blocks(net, images())))
    schedule = Schedule(tuple(Phase(from_step=n, lr_factor=factor) for n, factor in enumerate((1.0, 0.1, 0.5, 1.0))))
    base = [group["lr"] for group in optimizer.param_groups]
    for step, phase in enumerate(schedule.phases):
        apply_schedule(net, optimizer, schedule, step)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([r * phase.lr_factor for r in base])


def test_a_scheduler_that_asks_the_schedule_sets_the_same_rates(caplog: pytest.LogCaptureFixture) -> None:
    """Under a scheduler the factor is left to it, never applied twice, and that is said once a change."""
    net, schedule = NormedCnn(), lp_ft(STACK, 2, lr_factor=0.1)
    optimizer = SGD(param_groups(net, lr=0.4))
    scheduler = LambdaLR(optimizer, lambda step: schedule.at(step).lr_factor)
    rates = []
    for step in range(4):
        train(net, optimizer, schedule, range(step, step + 1))
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()

    assert rates == pytest.approx([0.4, 0.4, 0.04, 0.04])
    assert [message for message in caplog.messages if "lr_factor" in message] == [
        "A learning rate scheduler sets the rates, so the phase's lr_factor of 0.1 is left to it. "
        "Let it multiply by schedule.at(step).lr_factor."
    ]


# ---------------------------------------------------------------- resume


def begin() -> tuple[nn.Module, Optimizer, Schedule]:
    net = NormedCnn()
    optimizer = AdamW(param_groups(net, lr=0.02, layer_decay=0.7, blocks=blocks(net, images())))
    three = (
        Phase(from_step=0, frozen=("first", "second")),
        Phase(from_step=4, frozen=("first",), lr_factor=0.3),
        Phase(from_step=9, frozen=("second", "*.bias"), lr_factor=0.7),
    )
    return net, optimizer, Schedule(three)


@pytest.mark.parametrize("cut", [3, 4, 7, 9, 11])
def test_a_resumed_run_ends_bit_for_bit_where_it_would_have(cut: int) -> None:
    """Twelve steps through two changes of phase, with dropout: stopped anywhere and resumed, nothing differs."""
    torch.manual_seed(0)
    net, optimizer, schedule = begin()
    train(net, optimizer, schedule, range(cut))
    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
    train(net, optimizer, schedule, range(cut, 12))

    other, its_optimizer, schedule = begin()
    apply_schedule(other, its_optimizer, schedule, cut - 1)
    other.load_state_dict(saved[0])
    its_optimizer.load_state_dict(saved[1])
    torch.set_rng_state(saved[2])
    train(other, its_optimizer, schedule, range(cut, 12))

    assert all(map(torch.equal, net.state_dict().values(), other.state_dict().values()))
    first, second = optimizer.state_dict(), its_optimizer.state_dict()
    assert first["param_groups"] == second["param_groups"]
    assert first["state"].keys() == second["state"].keys()
    for key, state in first["state"].items():
        assert all(torch.equal(value, second["state"][key][name]) for name, value in state.items())


def test_without_the_schedule_a_resumed_run_is_refused() -> None:
    """Loading into an optimizer that holds what the phase does not train fails at once."""
    net, optimizer, schedule = begin()
    train(net, optimizer, schedule, range(5))
    _, fresh, _ = begin()
    with pytest.raises(ValueError, match="doesn't match the size"):
        fresh.load_state_dict(optimizer.state_dict())


# ---------------------------------------------------------------- the page


def test_the_pages_snippets_run(capsys: pytest.CaptureFixture[str]) -> None:
    """In order, as a reader types them; the loop reports both changes of phase."""
    assert len(SNIPPETS) == 3
    names: dict[str, Any] = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "docs/schedules.md", "exec"), names)

    assert capsys.readouterr().out.splitlines() == [
        "4 now trains ('2.weight', '2.bias')",
        "8 now trains ('0.weight', '0.bias')",
    ]
    assert all(map(torch.equal, names["net"].parameters(), names["fresh"].parameters()))
