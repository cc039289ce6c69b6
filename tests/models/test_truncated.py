"""Claims about networks that end early: they answer as the probe does, and never run what comes later."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frostline.core.errors import ModelError
from frostline.core.progress import Silent
from frostline.core.records import Block
from frostline.models.task_model import PooledClassifier, TaskModel, mean_pool
from frostline.models.truncated import Truncated, reached_parameters, truncate
from frostline.plan.blocks import blocks
from frostline.train.evaluate import predict
from frostline.train.flops import FlopsMeter
from frostline.train.loop import Material
from frostline.train.probes import FittedLogistic, features_by_depth, fit_probe, head_weights
from networks import NETWORKS, VOCABULARY, NormedCnn, bag_material, bag_model

# Shape letters: B examples in a batch, T tokens, F features, N examples.


class RunsTwice(nn.Module):
    """One layer that runs twice in a pass, and one more."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 8)
        self.last, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        hidden_BTF = self.embedding(ids_BT)
        for _ in range(2):
            hidden_BTF = self.layer(hidden_BTF).tanh()
        logits_BC: Tensor = self.head(mean_pool(self.last(hidden_BTF), mask_BT))
        return logits_BC


def text_model(make: Callable[[], nn.Module], *, by_keyword: bool) -> TaskModel:
    torch.manual_seed(0)
    return replace(bag_model(), module=(net := make()), head=net.head, by_keyword=by_keyword)


MODELS: dict[str, Callable[[], TaskModel]] = {
    "bag of tokens": bag_model,
    "bert": lambda: text_model(lambda: PooledClassifier(NETWORKS["bert"][0](), 16, 2), by_keyword=True),
    "a layer twice": lambda: text_model(RunsTwice, by_keyword=False),
}


def found_in(model: TaskModel, material: Material) -> tuple[Block, ...]:
    example = material.inputs.batch(material.train[:2])
    return blocks(model.module, example if model.by_keyword else tuple(example.values()))


def probes(model: TaskModel, material: Material) -> dict[int, tuple[FittedLogistic, np.ndarray]]:
    """Probe of every depth, and its probabilities on the stop split."""
    train, stop, labels = material.train, material.stop, material.labels
    features = features_by_depth(
        model, found_in(model, material), material.inputs, np.concatenate([train, stop]), FlopsMeter(), Silent()
    )
    fitted = {}
    for depth, features_NF in features.items():
        train_NF, stop_NF = np.split(features_NF, [len(train)])
        probe = fit_probe(train_NF, labels[train], stop_NF, labels[stop])
        fitted[depth] = probe, probe.probabilities(stop_NF)
    return fitted


@pytest.mark.parametrize("name", MODELS)
def test_it_answers_what_the_probe_answers_at_every_depth(name: str) -> None:
    """On texts of many lengths, by keyword or in order, in evaluation: to float tolerance."""
    model, material = MODELS[name](), bag_material(80)
    fitted, found = probes(model, material), found_in(model, material)
    batch = material.inputs.batch(material.train[:2])

    assert len(fitted) >= 3
    for depth, (probe, expected_NC) in fitted.items():
        short = truncate(model, found, depth, *head_weights(probe), batch)
        answer_NC = predict(short, material.inputs, material.stop, FlopsMeter())
        np.testing.assert_allclose(answer_NC, expected_NC, atol=1e-4)


def test_a_mean_without_the_mask_would_answer_otherwise() -> None:
    """The planted fault: the same network that is not told what is padding."""
    model, material = bag_model(), bag_material(80)
    probe, _ = probes(model, material)[1]
    batch = material.inputs.batch(np.argsort([len(ids) for ids in material.inputs.ids])[[0, -1]])
    short = truncate(model, found_in(model, material), 1, *head_weights(probe), batch).module

    with torch.no_grad():
        masked_BC, plain_BC = short(*batch.values()), short(batch["input_ids"], torch.ones_like(batch["input_ids"]))
    assert not torch.allclose(masked_BC, plain_BC, atol=1e-4)


def test_later_blocks_never_run() -> None:
    """Counted by hooks: what stands behind the last part is not called; what stands before it is, once."""
    net, calls = NormedCnn().eval(), dict.fromkeys(("first", "second", "fc"), 0)
    for name in calls:
        net.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    short = Truncated(net, "first", nn.Linear(4, 3))
    with torch.no_grad():
        logits_BC = short(torch.randn(5, 3, 6, 6))

    assert calls == {"first": 1, "second": 0, "fc": 0}
    assert logits_BC.shape == (5, 3)


def test_the_whole_network_is_left_as_it_was() -> None:
    """Shared, not copied: it answers as before, keeps no hook, and its modes stay."""
    model, material = bag_model(), bag_material(20)
    model.module.first.eval()
    modes = [part.training for part in model.module.modules()]
    batch = material.inputs.batch(np.arange(4))
    short = truncate(model, found_in(model, material), 2, torch.zeros(2, 10), torch.zeros(2), batch)
    short.logits(batch)

    assert short.module.module is model.module
    assert [part.training for part in model.module.modules()] == modes
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())
    assert model.logits(batch).shape == (4, 2)


def test_by_keyword_and_in_order_are_one() -> None:
    """The mask is found either way."""
    bert = NETWORKS["bert"][0]().eval()
    ids_BT = torch.arange(12).reshape(2, 6)
    mask_BT = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    short = Truncated(bert, "encoder.layer.0", nn.Linear(16, 2))

    assert torch.equal(short(ids_BT, mask_BT), short(input_ids=ids_BT, attention_mask=mask_BT))


@pytest.mark.parametrize("carried", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_answer_alike_and_stand_alone(carried: Callable[[nn.Module], nn.Module]) -> None:
    """A copy, also by pickle, gives the same bits, and goes its own way when it is trained."""
    short, image = Truncated(NormedCnn().eval(), "first", nn.Linear(4, 3)), torch.randn(2, 3, 6, 6)
    twin = carried(short)
    assert torch.equal(twin(image), short(image))

    with torch.no_grad():
        twin.module.first[0].bias.add_(1)
    assert not torch.equal(twin(image), short(image))


def test_its_state_goes_round() -> None:
    """Saved from one and loaded into another of other weights, the answers are the same bits."""
    one, other = (Truncated(NormedCnn().eval(), "first", nn.Linear(4, 3)) for _ in range(2))
    image = torch.randn(2, 3, 6, 6)
    assert not torch.equal(one(image), other(image))

    other.load_state_dict(one.state_dict())
    assert torch.equal(one(image), other(image))


def test_gradients_reach_what_ran() -> None:
    """It can be trained on: the head and the blocks up to its end get gradients."""
    short = Truncated(NormedCnn(), "first", nn.Linear(4, 3))
    short(torch.randn(2, 3, 6, 6)).sum().backward()
    reached = {name for name, parameter in short.named_parameters() if parameter.grad is not None}

    assert {name.split(".")[1] for name in reached} == {"first", "weight", "bias"}


def test_one_inside_another_is_left_by_its_own_end() -> None:
    """The outer one ends first or last as its path says; the inner one never takes its leave for it."""
    image = torch.randn(2, 3, 6, 6)
    net = NormedCnn().eval()
    inner = Truncated(net, "second", nn.Linear(6, 3))
    outer = Truncated(inner, "module.first", nn.Linear(4, 5))

    assert torch.equal(outer(image), outer.head(net.first(image).mean(dim=(2, 3))))


def test_what_cannot_end_a_network_is_refused() -> None:
    """A part that is not there, never runs, or gives no row an example; a depth that is none."""
    net, head, image = NormedCnn().eval(), nn.Linear(4, 3), torch.randn(2, 3, 6, 6)
    with pytest.raises(ModelError, match="no module 'third'"):
        Truncated(net, "third", head)
    net.idle = nn.Linear(2, 2)
    with pytest.raises(ModelError, match="never came to 'idle'"):
        Truncated(net, "idle", head)(image)
    flat = nn.Sequential(nn.Flatten(0), nn.Linear(2 * 3 * 36, 1))
    with pytest.raises(ModelError, match="gives no batch of vectors"):
        Truncated(flat, "0", head)(image)
    model, material = bag_model(), bag_material(20)
    with pytest.raises(ModelError, match="cannot end after 4 blocks, only after 1, 2, 3"):
        truncate(
            model, found_in(model, material), 4, torch.zeros(2, 2), torch.zeros(2), material.inputs.batch(np.arange(2))
        )


def test_reached_parameters_are_those_of_the_blocks_that_run() -> None:
    """Equal to a count of the parameters that get a gradient, the linear head aside."""
    net = NormedCnn()
    found = blocks(net, torch.zeros(2, 3, 6, 6))
    for depth, block in enumerate(found[:-1], 1):
        short = Truncated(copy.deepcopy(net), block.path, nn.Linear([4, 6][depth - 1], 3))
        short(torch.randn(2, 3, 6, 6)).sum().backward()
        assert reached_parameters(found, depth) == sum(
            p.numel() for p in short.module.parameters() if p.grad is not None
        )
