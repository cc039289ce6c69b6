"""Claims about `prove_frozen`: a freeze that holds is let be, and proving leaves no trace."""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from frostline.plan.apply import freeze, unfreeze
from frostline.plan.prove import prove_frozen
from frostline.plan.rows import freeze_rows
from networks import NETWORKS, LstmClassifier, NormedCnn
from proving import audited, found, images, plainly_frozen, train, trainable

# ---------------------------------------------------------------- the clean twin


@pytest.mark.parametrize("set_to_none", [True, False])
def test_an_inert_freeze_holds(set_to_none: bool) -> None:
    """The twin of every planted leak: frozen late, under momentum and decay, with either way to clear gradients."""
    net = NormedCnn()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.5)
    train(net, optimizer, set_to_none=set_to_none)
    freeze(net, "first", optimizer=optimizer)
    with prove_frozen(net, optimizer=optimizer) as proof:
        train(net, optimizer, set_to_none=set_to_none)
        net.requires_grad_(True)
        train(net, optimizer, set_to_none=set_to_none)

    assert proof.holds
    assert proof.probed == ("first",)
    assert not proof.not_probed
    assert repr(proof).startswith("The freeze held: 7 frozen tensors unchanged.")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_frozen_network_of_any_kind_holds(name: str) -> None:
    """Everything but the last parameter frozen inert: nothing leaks and most parts can be called again."""
    make, example = NETWORKS[name]
    net = make()
    freeze(net, train_only=list(dict(net.named_parameters()))[-1])
    net.train()
    with prove_frozen(net, example=example()) as proof:
        pass

    assert proof.holds
    assert proof.probed


@pytest.mark.parametrize("batch_first", [True, False])
def test_time_is_not_taken_for_the_batch(batch_first: bool) -> None:
    """A recurrent layer mixes time steps, not examples, whichever dimension comes first."""
    net = nn.ModuleDict({"rnn": nn.LSTM(3, 4, num_layers=2, batch_first=batch_first)}).requires_grad_(False)
    proof = audited(net, lambda: net["rnn"](torch.randn(5, 6, 3)))

    assert proof.holds
    assert proof.probed == ("rnn",)
    assert not proof.not_probed


def test_half_precision_is_called_again_as_it_ran() -> None:
    """Under autocast the frozen part met half-precision inputs, and meets them again."""
    net = freeze(NormedCnn(), "first", "second")

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            net(images())

    proof = audited(net, run)
    assert proof.holds
    assert set(proof.probed) == {"first", "second"}


def test_frozen_rows_are_watched() -> None:
    """Rows that were frozen on their own hold under decay, and a write to them is caught."""
    net = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 1))
    freeze_rows(net[0], slice(3))
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.5)

    def step() -> None:
        net(torch.arange(5)).sum().backward()
        optimizer.step()

    proof = audited(net, step)
    assert (proof.holds, proof.frozen_tensors) == (True, 3)
    assert found(audited(net, lambda: net[0].frozen_weight.values.add_(1)), "changed")


def test_what_is_compiled_is_compared_by_hash() -> None:
    """Inside a compiled graph calls cannot be seen: drift is caught all the same, and what was not asked is said."""
    net = plainly_frozen()
    compiled = torch.compile(net, backend="eager")
    optimizer = torch.optim.SGD(trainable(net), lr=0.01)
    proof = audited(compiled, lambda: train(compiled, optimizer))

    assert "training mode" in found(proof, "changed")["first.1.running_mean"]
    assert "compiled" in proof.not_probed["first"]
    assert found(audited(compiled, lambda: None, example=images()), "random")
    net = freeze(NormedCnn(), "first")
    compiled = torch.compile(net, backend="eager")
    assert audited(compiled, lambda: train(compiled, torch.optim.SGD(trainable(net), lr=0.01))).holds


def test_nothing_frozen_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A proof about nothing holds and says that it is about nothing."""
    with prove_frozen(NormedCnn()) as proof:
        pass

    assert proof.frozen_tensors == 0
    assert "Nothing is frozen" in repr(proof)
    assert "nothing to prove" in caplog.text


# ---------------------------------------------------------------- it disturbs nothing


def state_of_chance() -> tuple[bytes, object, bytes]:
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), np.random.get_state()[1].tobytes()


def everything(net: nn.Module) -> dict[str, Tensor]:
    tensors = dict(net.state_dict())
    tensors |= {f"{n}.grad": p.grad for n, p in net.named_parameters() if p.grad is not None}
    return tensors


@pytest.mark.parametrize("make", [plainly_frozen, lambda: freeze(NormedCnn(), "first")], ids=["plain", "inert"])
def test_training_under_the_proof_is_bit_equal_to_training_without(make: Callable[[], nn.Module]) -> None:
    """Weights, statistics, gradients, modes and random states are the same with and without, leaks or none."""
    results = []
    for proving in (False, True):
        torch.manual_seed(7)
        net = make()
        optimizer = torch.optim.AdamW(trainable(net))
        if proving:
            audited(net, lambda net=net, optimizer=optimizer: train(net, optimizer), optimizer=optimizer)
        else:
            train(net, optimizer)
        results.append((everything(net), [m.training for m in net.modules()], state_of_chance()))
    (one, modes, chance), (other, other_modes, other_chance) = results

    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (modes, chance) == (other_modes, other_chance)


def test_the_example_is_run_without_a_trace() -> None:
    """Running the example moves no statistic, no mode and no random state of a leaking model."""
    net = plainly_frozen()
    before, chance = deepcopy(net.state_dict()), state_of_chance()
    proof = audited(net, lambda: None, example=images())

    assert set(found(proof, "batch-dependent")) == {"first.1"}
    assert not found(proof, "changed")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert chance == state_of_chance()
    assert all(module.training for module in net.modules())


def test_a_backward_pass_may_wait_until_after_the_proof() -> None:
    """Calling frozen parts again leaves alone what autograd saved: versions of buffers do not move."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    freeze(net, "1")
    with prove_frozen(net):
        loss = net(images()).square().sum()
    loss.backward()

    assert net[0].weight.grad is not None


def test_the_model_can_be_copied_and_pickled_meanwhile() -> None:
    """Nothing is attached to the model while the proof runs."""
    net = LstmClassifier()
    freeze(net, "lstm")
    with prove_frozen(net):
        hooks = [dict(module._forward_hooks) for module in net.modules()]
        copy = pickle.loads(pickle.dumps(deepcopy(net)))
        net(torch.ones(2, 3, dtype=torch.long))
        copy(torch.ones(2, 3, dtype=torch.long))

    assert not any(hooks)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["freeze", "unfreeze", "train", "eval", "step", "load"]), max_size=8))
def test_no_sequence_of_ordinary_acts_breaks_an_inert_freeze(acts: list[str]) -> None:
    """Whatever came before, a step under the proof holds for what is frozen by then."""
    net = NormedCnn()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.1)
    for act in [*acts, "freeze"]:
        match act:
            case "freeze":
                freeze(net, "first", optimizer=optimizer)
            case "unfreeze":
                unfreeze(net, "first")
            case "train" | "eval":
                net.train(act == "train")
            case "load":
                net.load_state_dict(deepcopy(net.state_dict()))
            case _:
                train(net, optimizer, 1)
    with prove_frozen(net, optimizer=optimizer) as proof:
        train(net, optimizer, 1)

    assert proof.holds


# ---------------------------------------------------------------- the page

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-freezing-goes-wrong.md").read_text(encoding="utf-8")
NOTE = (ROOT / "benchmarks" / "notes" / "2026-11-23-freezing-leaks.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Code and output stand on the page one after the other."""
    code, output = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, flags=re.DOTALL).groups()
    exec(compile(code, "how-freezing-goes-wrong.md", "exec"), {})

    assert capsys.readouterr().out == output


def test_the_table_of_the_page_is_that_of_the_note() -> None:
    """Every figure of the measurement was printed by the benchmark."""
    table = [line.split("|") for line in PAGE.split("## Norm")[0].splitlines() if line.startswith("|")]
    numbers = [[cell.strip() for cell in row[2:-1]] for row in table[2:]]
    measured = re.findall(r"^.{35} ((?: +(?:no|[\d.]+)){5}) +\d+$", NOTE, flags=re.MULTILINE)

    assert len(numbers) == 6
    assert numbers == [line.split() for line in measured]


def test_no_trace_of_the_watch_is_left_in_torch() -> None:
    """After the block no process-wide hook is registered: a model compiled later would be taken for a hooked one."""
    net = torch.nn.Linear(2, 2).requires_grad_(False)
    with prove_frozen(net):
        net(torch.rand(3, 2))

    assert not torch.nn.modules.module._has_any_global_hook()
