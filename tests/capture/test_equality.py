"""Claims about equality: training from replayed activations is ordinary frozen training, bit for bit.

Every network is trained twice from the same seeds, with dropout, by AdamW with weight decay. Losses, gradients of every
step, final weights, buffers and random state have to be the same to the last bit; and a table says how much was
replayed, so that no test passes by never replaying.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from frostline.demos.spam import minilm
from frostline.models.sources import load_model
from frostline.plan.blocks import Example
from networks import NETWORKS, VOCABULARY
from odd_networks import PackedLstm, TellsAll, TwoInputs
from replaying import depths, frozen_to, images, shuffled, texts, train_twice

ALL = 12
"""Batches of a run in which every one is replayed."""

SOME = 8
"""At least so many are replayed of texts: on another way through the model the first batches are computed."""


@dataclass(frozen=True)
class Told:
    """What has to come of one freeze depth: batches replayed at least, and words in what is said of the rest."""

    replayed: int = ALL
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    batches: Callable[[], Sequence[Example]]
    told: tuple[Told, Told, Told] | tuple[Told, Told]
    """At one block, at half of them, at all but the last."""


def pictures() -> Sequence[Example]:
    return shuffled({"pixel_values": images()})


def plain_pictures() -> Sequence[Example]:
    return shuffled(images())


def numbers() -> Sequence[Example]:
    return [batch["input_ids"] for batch in texts()]


def pairs() -> Sequence[Example]:
    words = torch.randint(VOCABULARY, (24, 6), generator=torch.Generator().manual_seed(4))
    return shuffled({"picture_B3HW": images(), "words_BT": words})


def points() -> Sequence[Example]:
    return shuffled(torch.randn(24, 3, 4, generator=torch.Generator().manual_seed(4)))


def known(name: str) -> Callable[[], nn.Module]:
    return NETWORKS[name][0]


EACH, FEW = Told(), Told(SOME)
CASES = {
    "bert classifier": Case(
        known("bert classifier"), texts, (FEW, FEW, Told(SOME, ("'bert.pooler.dense' is rounded otherwise",)))
    ),
    "gpt2, tied head": Case(
        known("gpt2, tied head"),
        texts,
        (
            Told(SOME, ("'lm_head' works on what trains",)),
            Told(SOME, ("'lm_head' works on what trains",)),
            # Its dropout after the embeddings belongs to no block and goes on dropping.
            Told(SOME, ("'transformer.h.0' is given what is left to chance",)),
        ),
    ),
    "t5 encoder": Case(
        known("t5 encoder"), texts, (FEW, *[Told(SOME, ("'encoder.block.0' is given what is left to chance",))] * 2)
    ),
    "mixtral": Case(known("mixtral"), texts, (FEW, FEW, Told(SOME, ("'model.norm' is rounded otherwise in batches",)))),
    "vit": Case(known("vit"), pictures, (EACH, EACH, EACH)),
    "resnet": Case(known("resnet"), pictures, (EACH, EACH, EACH)),
    "convnext": Case(known("convnext"), pictures, (EACH, EACH, EACH)),
    "swin": Case(known("swin"), pictures, (EACH, EACH, EACH)),
    "cnn": Case(known("cnn"), plain_pictures, (EACH, EACH)),
    "lstm": Case(known("lstm"), numbers, (EACH, Told(ALL, ("'lstm' is rounded otherwise in evaluation mode",)))),
    "packed lstm": Case(PackedLstm, texts, (FEW, FEW, Told(SOME, ("'lstm' looks at numbers of the batch",)))),
    "mixture of experts": Case(known("mixture of experts"), numbers, (EACH, EACH, EACH)),
    "two inputs": Case(TwoInputs, pairs, (EACH, EACH, EACH)),
    "gives a dictionary": Case(TellsAll, texts, (EACH, EACH, EACH)),
    # A parameter of the root itself cannot be stood in for, and is there at no cost.
    "root token": Case(known("root token"), points, (Told(0, ("no frozen part runs",)), EACH, EACH)),
}
DEPTHS = [(name, number) for name, case in CASES.items() for number in range(len(case.told))]
SLOW = dict.fromkeys(("bert classifier", "gpt2, tied head", "t5 encoder", "resnet"), (0, 2))
SLOW |= dict.fromkeys(("mixtral", "swin"), (0, 1, 2))


@pytest.mark.parametrize(
    ("name", "number"),
    [pytest.param(name, n, marks=[pytest.mark.slow] if n in SLOW.get(name, ()) else []) for name, n in DEPTHS],
)
def test_replayed_training_is_ordinary_training(name: str, number: int) -> None:
    """Losses, gradients, weights, buffers and random state are the same, at three freeze depths."""
    case, batches = CASES[name], CASES[name].batches()
    torch.manual_seed(0)
    net = case.make()
    found = depths(net, batches[0])
    assert len(found) == len(case.told)
    ran = train_twice(frozen_to(net, batches[0], found[number]), batches)

    told = case.told[number]
    said = (ran.refused, *ran.replay.reasons)
    assert ran.replayed >= told.replayed, ran.replay.sentence
    assert all(any(word in sentence for sentence in said) for word in told.words), said
    assert bool(ran.refused) == (told.replayed == 0)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 4, 7])
def test_replayed_training_of_a_pretrained_encoder_is_ordinary_training(depth: int) -> None:
    """The same with MiniLM's real weights, texts of several padded lengths and several ways of masking."""
    net = load_model(str(minilm()), kind="text", classes=2).module
    batches = texts(lengths=(5, 9, 12), vocabulary=30_000)[:7]
    ran = train_twice(frozen_to(net, batches[0], depth), batches)

    assert ran.replayed >= 4, ran.replay.sentence
