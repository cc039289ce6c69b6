"""Claims about liveness: stored is what may matter, now or later, and as little more as can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frostline.capture.batches import Batch
from frostline.capture.examine import Examined, Learnt, examine
from frostline.capture.liveness import NOT_ITS_OWN, another_way, make_plan
from frostline.capture.plans import Dead, Divide, ReplayPlan, Same
from networks import NETWORKS
from odd_networks import WIDTH, Wired, part, sequences, wired
from replaying import frozen_to, shuffled, train_twice

Wiring = Callable[..., Any]
BATCH = Batch((sequences(4),), {}, 4)


def planned(net: nn.Module, batch: Batch = BATCH, **options: Any) -> ReplayPlan:
    learnt = Learnt()
    while True:
        examined = examine(net.train(), net.forward, batch, learnt)
        assert isinstance(examined, Examined), examined
        plan = make_plan(net, net.forward, batch, examined, learnt, **options)
        if not isinstance(plan, Divide):
            break
        learnt.divide(plan.paths)
    assert isinstance(plan, ReplayPlan), plan
    return plan


def kept(plan: ReplayPlan) -> list[str]:
    return [one.name for one in plan.kept]


class Several(nn.Module):
    """Gives several things at once."""

    def __init__(self, give: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.give = part(), give

    def forward(self, x: Tensor) -> Any:
        return self.give(self.inner(x))


# ---------------------------------------------------------------- calls and their leaves


@pytest.mark.parametrize(
    ("wiring", "names"),
    [
        (lambda net, x: net.answer(net.c(net.b(net.a(x)))), ["c:0.0"]),
        (lambda net, x: net.answer(net.c(net.b(net.a(x))) + net.a(x)), ["c:0.0", "a:1.0"]),
        (lambda net, x: net.answer(net.b(net.a(x)) + 0 * net.c(x)), ["b:0.0", "c:0.0"]),
        (lambda net, x: net.answer(net.b(x) + torch.zeros_like(net.a(x))), ["b:0.0"]),
        (lambda net, x: net.answer(net.b(x) + net.a(x).shape[1]), ["b:0.0"]),
        (lambda net, x: net.answer(torch.where(x[..., :1] > 99, net.a(x), net.b(x))), ["a:0.0", "b:0.0"]),
        (lambda net, x: net.answer(torch.where(net.gate(x) > 99, net.a(x), net.b(x))), ["a:0.0", "b:0.0"]),
        (lambda net, x: net.answer(net.a(x).detach()), ["a:0.0"]),
    ],
)
def test_what_may_reach_the_result_is_kept(wiring: Wiring, names: list[str]) -> None:
    """However many frozen calls lie between; also where a choice or a factor of nothing stands in the way just now."""
    assert sorted(kept(planned(wired(wiring)))) == sorted(names)


def test_what_matters_only_together_is_kept() -> None:
    """Two outputs of which either is enough to hide the other."""
    plan = planned(wired(lambda net, x: net.answer(torch.fmax(net.a(x), net.b(x)))))
    assert sorted(kept(plan)) == ["a:0.0", "b:0.0"]


def test_leaves_are_told_apart() -> None:
    """Of one call: kept, dead, a whole number that counts as live, a plain value, an object that nobody looks at."""

    def give(h: Tensor) -> Any:
        return {"used": h, "unused": h * 2, "numbers": (h > 0).long(), "plain": 3, "object": object()}

    net = wired(lambda net, x: net.answer(net.a(x)["used"] * net.a(x)["plain"]), a=Several(give))
    call = next(iter(planned(net).calls.values()))
    dead, same = [p for p in call.parts if isinstance(p, Dead)], [p for p in call.parts if isinstance(p, Same)]

    assert [one.name for one in call.kept] == ["a:0.0", "a:0.2"]
    assert [one.layout.shape for one in dead] == [(1, 8, 8)]
    assert [one.value for one in same] == [3, None]


class Box:
    def __init__(self, held: Tensor) -> None:
        self.held = held


class BoxingLayer(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return Box(super().forward(x))


@pytest.mark.parametrize(
    ("boxing", "names"), [(lambda: Several(Box), ["b.inner:0.0"]), (lambda: BoxingLayer(WIDTH, WIDTH), ["a:0.0"])]
)
def test_an_object_that_matters_is_made_anew(boxing: Callable[[], nn.Module], names: list[str]) -> None:
    """It cannot be stored: the module that makes it does so, from what its parts, or the modules before it, give."""
    net = wired(lambda net, x: net.answer(net.b(net.a(x)).held), b=boxing())

    assert kept(planned(net)) == names
    assert train_twice(net, shuffled(sequences())).replayed == 12


def test_what_is_checkpointed_again_is_kept() -> None:
    """Not the result alone, but its gradients show what matters."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        return net.answer(torch.utils.checkpoint.checkpoint(lambda h: net.c(net.b(h)), net.a(x), use_reentrant=False))

    assert sorted(kept(planned(wired(wiring, frozen=("a", "b"))))) == ["a:0.0", "b:0.0"]


def test_a_hook_is_a_reader() -> None:
    """Whatever somebody's hook may see is there, though it reaches no result."""
    net = wired(lambda net, x: net.answer(net.c(net.b(net.a(x)))))
    net.b[1].register_forward_hook(lambda *_: None)

    assert sorted(kept(planned(net))) == ["b.0:0.0", "c:0.0"]


def test_what_writes_in_place_for_others_is_not_replayed() -> None:
    """A frozen activation that writes to what somebody else reads as well: standing in would leave it unwritten."""

    net = wired(lambda net, x: net.answer(net.relu(net.a(x).flip(1)) + net.a(x)), relu=nn.ReLU(inplace=True))
    assert train_twice(net, shuffled(sequences())).replayed == 12
    learnt = Learnt()
    shared = wired(lambda net, x: (h := net.a(x), net.relu(h), net.answer(h))[2], relu=nn.ReLU(inplace=True))
    examined = examine(shared.train(), shared.forward, BATCH, learnt)
    assert isinstance(examined, Examined)
    assert make_plan(shared, shared.forward, BATCH, examined, learnt) == Divide(frozenset({"a"}))
    ran = train_twice(shared, shuffled(sequences()))
    assert ran.refused == NOT_ITS_OWN and ran.replayed == 0


# ---------------------------------------------------------------- slices


def sliced(plan: ReplayPlan) -> dict[str, tuple[int, int] | None]:
    return {one.name: one.layout.only for one in plan.kept}


def head_on(take: Callable[[Tensor], Tensor]) -> Wired:
    """So much is frozen that the trained head is next to nothing."""
    return wired(lambda net, x: net.head(take(net.c(net.b(net.a(x))))), b=part(8, 64), c=part(64, 8))


@pytest.mark.parametrize(
    ("take", "only"),
    [
        (lambda h: h[:, 0], (1, 0)),
        (lambda h: h[:, -1], (1, -1)),
        (lambda h: h.transpose(0, 1)[0], (1, 0)),
        (lambda h: h.mean(dim=1), None),
        (lambda h: h[:, 1], None),
        (lambda h: h[:, 0] + 0 * h.sum(dim=1), None),
        (lambda h: h[torch.arange(len(h)), h.sum(2).argmax(1)], None),
    ],
)
def test_a_slice_is_kept_where_it_is_enough(take: Callable[[Tensor], Tensor], only: tuple[int, int] | None) -> None:
    """The first token or the last one; not where others count, have a factor of nothing, or are chosen by number."""
    plan = planned(head_on(take))

    assert list(sliced(plan).values()) == [only]
    assert plan.narrowed == (only is not None)
    assert plan.row_bytes == (8 if only else 64) * 4
    assert train_twice(head_on(take), shuffled(sequences())).replayed == 12


def test_no_slice_where_much_is_left_to_compute() -> None:
    """Slices are sought only where the trained part is next to nothing; and not when told not to."""
    net = head_on(lambda h: h[:, 0])
    assert sliced(planned(net, slices=False)) == {"c:0.0": None}
    wide = wired(lambda net, x: net.head(net.c(net.b(net.a(x)))[:, 0]), frozen=("a",))
    assert sliced(planned(wide)) == {"a:0.0": None}


def test_no_slice_where_what_trains_chooses() -> None:
    """A trained gate that picks a token may pick another one later."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        h = net.c(net.b(net.a(x)))
        place = 0 * (net.gate(x[:, :1, :] * 0).squeeze(-1) > 9).long()
        return net.head(h.gather(1, place[..., None].expand(-1, 1, 8))[:, 0])

    net = wired(wiring, b=part(8, 64), c=part(64, 8))
    assert sliced(planned(net)) == {"c:0.0": None}


@pytest.mark.parametrize(("name", "depth", "only"), [("vit", 4, (1, 0)), ("bert classifier", 3, (1, 0))])
def test_first_tokens_of_transformers(name: str, depth: int, only: tuple[int, int] | None) -> None:
    """Heads on the first token keep that one, if so much is frozen."""
    torch.manual_seed(0)
    make, example = NETWORKS[name]
    net = frozen_to(make(), example(), depth)
    plan = planned(net, Batch((), dict(example()), 2))  # type: ignore[arg-type]

    assert only in sliced(plan).values() or plan.spared_flops < 0.98 * plan.forward_flops


# ---------------------------------------------------------------- other ways


def test_another_way_is_taken_up_when_what_is_kept_is_enough() -> None:
    """And only then: where something dead would matter, it is not."""

    def enough(net: Wired, x: Tensor) -> Tensor:
        h = net.b(net.a(x))
        return net.answer(net.c(h) if x.mean() > 0 else h)

    def not_enough(net: Wired, x: Tensor) -> Tensor:
        h = net.a(x)
        other = net.b(h)
        return net.answer(net.c(other) if x.mean() > 0 else h)

    positive = Batch((sequences(4).abs(),), {}, 4)
    negative = Batch((-sequences(4).abs(),), {}, 4)
    for wiring, known in ((enough, True), (not_enough, False)):
        net = wired(wiring, frozen=("a", "b"))
        plan = planned(net, positive)
        way = another_way(net, net.forward, negative, plan)
        assert (way == (("__bool__", False),)) == known and (way is None) != known
        assert another_way(net, net.forward, positive, plan) == (("__bool__", True),)


def test_a_way_on_which_a_call_is_missing_is_not_taken_up() -> None:
    """Its rows could not be captured."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        return net.answer(net.b(net.a(x)) if x.mean() > 0 else x)

    net = wired(wiring)
    plan = planned(net, Batch((sequences(4).abs(),), {}, 4))
    assert another_way(net, net.forward, Batch((-sequences(4).abs(),), {}, 4), plan) is None
