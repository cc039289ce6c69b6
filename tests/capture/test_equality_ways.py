"""Claims about models that go different ways by their data: replayed exactly, or not, and it is said why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from frostline.capture.replay import Replay
from frostline.plan.apply import freeze
from networks import TEXT
from odd_networks import Wired, part, sequences, wired
from replaying import Ran, frozen_to, padded, shuffled, texts, train_twice

Wiring = Callable[..., Any]


def trained(wiring: Wiring, *, steps: int = 24, data: Tensor | None = None, after: Any = None, **parts: Any) -> Ran:
    """Both runs, equal to the last bit, with every part frozen but the gate and the head."""
    batches = shuffled(sequences() if data is None else data, steps=steps)
    return train_twice(wired(wiring, **parts), batches, after=after)


# ---------------------------------------------------------------- what counts changes with the data


def by_sign(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(net.b(h) if h.mean() > 0 else net.c(h))


def by_example(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(torch.where(x[:, :1, :1] > 1.5, net.b(h), net.c(h)))


def by_rows(net: Wired, x: Tensor) -> Tensor:
    h, other = net.a(x), net.b(x)
    chosen = (h[:, 0, 0] > 0.75).nonzero()[:, 0]
    if len(chosen):
        h = h.index_add(0, chosen, net.c(other[chosen]))
    return net.answer(h)


def by_array(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(net.b(h) if np.asarray(h.detach())[:, :, 0].mean() > 0 else net.c(h))


@pytest.mark.parametrize("wiring", [by_sign, by_example, by_rows, by_array])
def test_a_part_that_matters_for_few_examples_is_not_forgotten(wiring: Wiring) -> None:
    """Which frozen part counts is decided by the data: by an `if`, `torch.where`, a number of rows, an array."""
    ran = trained(wiring)

    assert ran.replayed >= (0 if wiring is by_array else 12), ran.replay.sentence


def test_an_object_that_matters_on_another_way() -> None:
    """A frozen module gives an object that is looked at on some ways only."""

    class Box:
        def __init__(self, held: Tensor) -> None:
            self.held = held

    class Boxing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = part()

        def forward(self, x: Tensor) -> tuple[Tensor, Box]:
            h = self.inner(x)
            return h, Box(h * 2)

    def wiring(net: Wired, x: Tensor) -> Tensor:
        h, box = net.a(x)
        h = net.b(h)
        return net.answer(h + box.held if x.mean() > 0 else h)

    assert trained(wiring, a=Boxing()).replayed > 0


def gate_by_where(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(torch.where(net.gate(h) > 0, net.b(h), net.c(h)))


def gate_by_place(net: Wired, x: Tensor) -> tuple[Tensor, Tensor]:
    scores_BT = net.gate(net.a(x)).squeeze(-1)
    place_B = scores_BT.argmax(dim=1)
    chosen_BD = net.b(net.a(x))[torch.arange(len(x)), place_B]
    return net.head(chosen_BD), scores_BT


def gate_by_row(net: Wired, x: Tensor) -> tuple[Tensor, Tensor]:
    score_B = net.gate(net.a(x).mean(dim=1)).squeeze(-1)
    return net.answer(net.a(x) + net.b((score_B > 0).long())[:, None]), score_B


@pytest.mark.parametrize(
    ("wiring", "parts"),
    [(gate_by_where, {}), (gate_by_place, {}), (gate_by_row, {"b": nn.Embedding(2, 8)})],
)
def test_a_gate_that_trains_may_change_what_counts(wiring: Wiring, parts: dict[str, nn.Module]) -> None:
    """At first it lets one thing through for all examples; later it lets through what did not count before."""
    net = wired(wiring, **parts)
    with torch.no_grad():
        net.gate.weight.zero_()
        net.gate.bias.fill_(0.1)

    def after(net: nn.Module, step: int, replay: Replay | None) -> None:
        if step == 6:
            generator = torch.Generator().manual_seed(3)
            with torch.no_grad():
                net.gate.weight.copy_(torch.randn(1, 8, generator=generator))
                net.gate.bias.zero_()

    ran = train_twice(net, shuffled(sequences(), steps=16), after=after)

    assert ran.replayed == 16, ran.replay.sentence


def test_the_last_token_that_is_no_padding() -> None:
    """For two full texts it is the last slice of all; for others it is not, and that is noticed when they come."""

    class LastToken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.layer, self.head = nn.Embedding(40, 8), part(), nn.Linear(8, 2)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            hidden = self.layer(self.embedding(input_ids))
            last_BD = hidden[torch.arange(len(hidden)), attention_mask.sum(dim=1) - 1]
            logits_BC: Tensor = self.head(last_BD)
            return logits_BC

    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(1, 40, (24, 8), generator=generator)
    full, mixed = list(tokens), [text[: 3 + n % 6] for n, text in enumerate(tokens)]
    batches = [padded(some) for some in (full[:16], full[8:], [*full[:2], *mixed[2:16]], mixed[8:], full[:16])]
    torch.manual_seed(0)
    ran = train_twice(freeze(LastToken(), "embedding", "layer"), batches)

    assert ran.replayed == 5, ran.replay.sentence
    kept = [kept for plan in ran.replay._plans.values() for kept in plan.kept]
    assert kept and all(one.layout.only is None for one in kept)


# ---------------------------------------------------------------- what depends on the rest of the batch


class Quantised(nn.Module):
    """Scales by the largest number of the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        scale = x.abs().max()
        hidden: Tensor = self.layer((x / scale * 127).round() * scale / 127)
        return hidden


class AnyOfAll(nn.Module):
    """Gives a mask that is the same for all examples, and made of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), (x > 3).any(dim=0).float()


@pytest.mark.parametrize("size", [6, 16])
@pytest.mark.parametrize("kind", [Quantised, AnyOfAll])
def test_what_is_made_of_all_examples_is_not_replayed(kind: type[nn.Module], size: int) -> None:
    """A largest number, a mask for all: the same in every batch that holds both probes, and another in others."""

    def wiring(net: Wired, x: Tensor) -> Tensor:
        h = net.a(x)
        return net.answer(h[0] * h[1] if isinstance(h, tuple) else h)

    ran = train_twice(wired(wiring, a=kind()), shuffled(sequences(), size=size))

    assert ran.replayed == 0
    said = "an example something else beside other examples" if kind is Quantised else "something made of all examples"
    assert f"'a' gives {said}" in ran.refused


@pytest.mark.parametrize(
    "experts", ["grouped_mm", *(pytest.param(n, marks=pytest.mark.slow) for n in ("eager", "batched_mm"))]
)
def test_experts_that_work_on_few_rows(experts: str) -> None:
    """How many tokens an expert gets depends on the batch, and so does rounding: the layer's router, not more."""
    torch.manual_seed(0)
    config = transformers.MixtralConfig(**TEXT, num_key_value_heads=2, num_local_experts=8)
    config._experts_implementation = experts
    batches = texts(lengths=(2, 3)) + texts(lengths=(2, 3))
    net = frozen_to(transformers.MixtralForCausalLM(config), batches[0], 3)
    ran = train_twice(net, batches)

    assert ran.replayed >= 8, ran.replay.sentence
    stored = {kept.name for plan in ran.replay._plans.values() for kept in getattr(plan, "kept", ())}
    if experts != "batched_mm":
        assert stored and not any(name.startswith(("model.layers.1", "model.norm")) for name in stored)


# ---------------------------------------------------------------- what a pass leaves behind


class Keeping(nn.Module):
    """Keeps what it gave, for somebody to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = part()
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.inner(x)
        return self.last


def test_what_a_frozen_module_keeps_of_a_batch_is_of_that_batch() -> None:
    """A loss that is read off an attribute of a frozen module is that of the batch at hand."""

    def wiring(net: Wired, x: Tensor) -> tuple[Tensor, Tensor]:
        return net.answer(net.b(net.a(x))), net.gate(net.a.last).mean()

    def loss(output: tuple[Tensor, Tensor]) -> Tensor:
        return output[0].square().mean() + output[1].square()

    ran = train_twice(wired(wiring, a=Keeping()), shuffled(sequences()), loss=loss)

    assert ran.replayed == 12
    assert "'a' keeps 'last' of every batch on itself" in " ".join(ran.replay.reasons)


def test_what_the_model_keeps_of_frozen_outputs_is_there() -> None:
    """An attribute of the model itself, read by the training loop, though it does not matter to the result."""
    seen: list[Tensor] = []

    def wiring(net: Wired, x: Tensor) -> Tensor:
        net.features = net.a(x)
        return net.answer(net.b(net.features))

    def ask(net: nn.Module, x: Any) -> Any:
        output = net(x)
        seen.append(net.features.mean())
        return output

    ran = train_twice(wired(wiring), shuffled(sequences()), ask=ask)

    assert ran.replayed == 12 and seen[:12] == seen[12:]


@pytest.mark.parametrize("what", ["counter", "buffer", "argument"])
def test_what_changes_with_every_pass_is_changed_once_a_batch(what: str) -> None:
    """A count of steps, a frozen buffer or an argument that is written to: refused, and nothing is done twice."""

    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.steps = part(), 0
            self.register_buffer("used", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            if what == "counter":
                self.steps += 1
                return self.inner(x) / self.steps
            if what == "buffer":
                self.used += 1
                return self.inner(x) / self.used
            return self.inner(x.mul_(0.5))

    net = wired(lambda net, x: net.answer(net.a(x)), a=Writing())
    batches = shuffled(sequences())
    ran = train_twice(net, batches, ask=lambda net, x: net(x.clone()))

    said = {
        "counter": "'a.steps' is another number after every forward pass",
        "buffer": "the forward pass writes to 'a.used', which is frozen",
        "argument": "the model writes to its own arguments",
    }
    assert ran.refused == said[what]
    assert ran.net.a.steps == (12 if what == "counter" else 0)


def many_at_once(net: Wired, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.answer(net.b(h) if len(x) > 8 else net.c(h))


def test_another_way_for_large_batches_is_found_by_verifying() -> None:
    """Code that goes by the size of the batch shows only in a batch of that size: the first one is compared whole."""
    ran = trained(many_at_once)

    assert ran.refused == "replaying was tried and its result is not that of the ordinary model"
    assert ran.replayed == 0


@pytest.mark.parametrize(
    ("frozen", "refused"),
    [((), "nothing is frozen"), (("b", "head"), "'b' works on what trains"), (("*",), "")],
    ids=["nothing", "behind", "everything"],
)
def test_what_is_said_where_there_is_little_to_replay(frozen: tuple[str, ...], refused: str) -> None:
    """Nothing frozen, something frozen behind what trains; a model that is frozen altogether is replayed."""
    net = wired(lambda net, x: net.answer(net.b(net.c(x))), frozen=("a",))
    del net.a, net.gate
    replay = Replay(freeze(net, *frozen) if frozen else net)
    with replay():
        net(sequences(16))

    assert replay.refused == refused and bool(replay.counts["replayed batches"]) == (refused == "")


def test_a_cache_that_the_model_gives_is_cautioned_of() -> None:
    """Decoders give their cache of keys and values: without what was not computed. Logits are right, and it is said."""
    torch.manual_seed(0)
    sizes = TEXT | {"num_key_value_heads": 2, "pad_token_id": 0}
    net = transformers.Gemma2ForSequenceClassification(transformers.Gemma2Config(**sizes, head_dim=8))
    ran = train_twice(frozen_to(net, texts()[0], 4), texts())

    assert ran.replayed >= 8, ran.replay.sentence
    assert ran.replay.cautions == ("The DynamicCache that the model gives lacks what is replayed: use none of it.",)
