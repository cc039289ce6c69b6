"""Claims about frozen rows: nothing moves them, everything else works as before."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, Adafactor, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from frostline.core.errors import PlanError
from frostline.plan.apply import freeze, unfreeze
from frostline.plan.groups import param_groups, sync_optimizer
from frostline.plan.rows import freeze_rows, unfreeze_rows
from networks import NETWORKS

ROWS = [0, 2, 5]
OTHERS = [1, 3, 4]

MAKERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adamw": lambda parameters: AdamW(parameters, lr=0.1, weight_decay=0.1, amsgrad=True),
    "adamw fused": lambda parameters: AdamW(parameters, lr=0.1, weight_decay=0.1, fused=True),
    "adamw foreach": lambda parameters: AdamW(parameters, lr=0.1, weight_decay=0.1, foreach=True),
    "rmsprop": lambda parameters: RMSprop(parameters, lr=0.1, weight_decay=0.1),
}


def network(*, tied: bool = False) -> nn.Sequential:
    """Token numbers to logits over the same six tokens."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(6, 4), nn.Tanh(), nn.Linear(4, 6))
    if tied:
        net[2].weight = net[0].weight
    return net


def embedding(net: nn.Sequential) -> nn.Embedding:
    assert isinstance(net[0], nn.Embedding)
    return net[0]


def head(net: nn.Sequential) -> nn.Linear:
    assert isinstance(net[2], nn.Linear)
    return net[2]


def train(net: nn.Module, optimizer: Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        nn.functional.cross_entropy(net(torch.arange(6)), torch.arange(6)).backward()
        optimizer.step()
        optimizer.zero_grad()


def values(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


# ---------------------------------------------------------------- nothing moves them


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_frozen_rows_stay_bit_for_bit(make: Callable[[Any], Optimizer], tied: bool) -> None:
    """Under momentum and weight decay no bit of a frozen row changes, and all other rows do."""
    net = network(tied=tied)
    freeze_rows(embedding(net), ROWS)
    before = values(net[0].weight)
    train(net, make(net.parameters()))

    assert torch.equal(net[0].weight[ROWS], before[ROWS])
    assert not (net[0].weight[OTHERS] == before[OTHERS]).any()


def test_a_gradient_hook_leaks_under_decay() -> None:
    """The planted fault is seen: rows whose gradient a hook zeroes are moved by weight decay."""
    net = network()
    net[0].weight.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor(ROWS), 0.0))
    before = values(net[0].weight)
    train(net, MAKERS["adamw"](net.parameters()))

    assert not torch.equal(net[0].weight[ROWS], before[ROWS])


def test_a_loop_without_an_optimizer_cannot_move_them_either() -> None:
    """Decay and descent written by hand over every parameter."""
    net = network()
    freeze_rows(embedding(net), ROWS)
    before = values(net[0].weight)
    net(torch.arange(6)).square().sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(0.9).sub_(parameter.grad)

    assert torch.equal(net[0].weight[ROWS], before[ROWS])
    assert not torch.equal(net[0].weight, before)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_rows_frozen_in_the_middle_of_training_stay(make: Callable[[Any], Optimizer]) -> None:
    """Momentum gathered before the freeze is cut off for frozen rows and kept for the rest."""
    net = network(tied=True)
    optimizer = make(net.parameters())
    train(net, optimizer)
    twin, (state, *_) = copy.deepcopy(net), copy.deepcopy(list(optimizer.state.values()))
    freeze_rows(embedding(net), ROWS, optimizer=optimizer)
    for name, value in optimizer.state[next(net.parameters())].items():
        assert torch.equal(value, state[name][OTHERS] if value.dim() else state[name])
    train(net, optimizer)

    assert torch.equal(net[0].weight[ROWS], twin[0].weight[ROWS])
    assert not (net[0].weight[OTHERS] == twin[0].weight[OTHERS]).any()


def test_the_other_rows_train_as_without_a_freeze() -> None:
    """With SGD without decay the unfrozen rows of an embedding end where full training puts them, bit for bit."""
    full, part = network(), network()
    freeze_rows(embedding(part), ROWS)
    x, y = torch.tensor(OTHERS), torch.tensor([0, 1, 2])
    for net in (full, part):
        optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(4):
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

    assert torch.equal(full[0].weight, part[0].weight)
    assert torch.equal(full[2].weight, part[2].weight)


def test_a_row_of_a_linear_layer_is_an_output_with_its_bias() -> None:
    """The logits of frozen classes move only with what comes before them: on the same input they are the same."""
    net = network()
    freeze_rows(head(net), slice(2))
    x = torch.ones(3, 4)
    before = head(net)(x)
    train(net, MAKERS["adamw"](head(net).parameters()))
    after = head(net)(x)

    assert torch.equal(before[:, :2], after[:, :2])
    assert not (before[:, 2:] == after[:, 2:]).any()


def test_tied_weights_stay_tied() -> None:
    """Frozen through the embedding, the head reads the same rows; the head's own bias is left to train."""
    net = network(tied=True)
    freeze_rows(embedding(net), ROWS)
    bias = values(head(net).bias)
    train(net, MAKERS["adamw"](net.parameters()))

    assert torch.equal(net[0].weight, net[2].weight)
    assert len(list(net.parameters())) == 2
    assert not (head(net).bias == bias).any()


def test_tied_head_of_a_language_model() -> None:
    """GPT-2 by transformers: old tokens frozen, one trained; the embedding and the output layer agree."""
    make, example = NETWORKS["gpt2, tied head"]
    net, inputs = make(), example()
    assert isinstance(inputs, dict)
    tokens: Any = net.get_input_embeddings()
    freeze_rows(tokens, range(39))
    before = values(tokens.weight)
    optimizer = AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    net(**inputs).logits.square().sum().backward()
    optimizer.step()
    output: Any = net.get_output_embeddings()

    assert torch.equal(tokens.weight[:39], before[:39])
    assert torch.equal(output.weight, tokens.weight)
    assert not torch.equal(tokens.weight[39], before[39])


# ---------------------------------------------------------------- everything works as before


def through_torch_save(net: nn.Module) -> nn.Module:
    file = BytesIO()
    torch.save(net, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


@pytest.mark.parametrize(
    "carried",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), through_torch_save, lambda net: net.to("cpu")],
    ids=["deepcopy", "pickle", "torch.save", "to"],
)
def test_the_freeze_survives(carried: Callable[[nn.Sequential], nn.Sequential]) -> None:
    """A carried network answers the same, trains the same rows, keeps its tie, and can be unfrozen."""
    net = network(tied=True)
    freeze_rows(embedding(net), ROWS)
    before = values(net[0].weight)
    answer = net(torch.arange(6)).detach()
    other = carried(net)

    assert isinstance(other[0], nn.Embedding)
    assert torch.equal(other(torch.arange(6)), answer)
    train(other, MAKERS["adamw"](other.parameters()))
    assert torch.equal(other[0].weight[ROWS], before[ROWS])
    assert torch.equal(other[0].weight, other[2].weight)
    unfreeze_rows(embedding(other))
    assert other[0].weight is other[2].weight


def test_another_type_keeps_freeze_and_tie() -> None:
    """In float64 the same rows are frozen, and both places still share them."""
    net = network(tied=True)
    freeze_rows(embedding(net), ROWS)
    before = values(net[0].weight)
    net.double()
    train(net, MAKERS["adamw"](net.parameters()))

    assert torch.equal(net[0].weight[ROWS], before[ROWS].double())
    assert torch.equal(net[0].weight, net[2].weight)
    assert net[0].frozen_weight is net[2].frozen_weight


def test_autocast_sees_whole_rows() -> None:
    """Under bfloat16 autocast a layer with frozen rows answers like one without."""
    net = network()
    twin = copy.deepcopy(net)
    freeze_rows(embedding(net), ROWS)
    freeze_rows(head(net), ROWS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(net(torch.arange(6)), twin(torch.arange(6)))


def test_a_compiled_layer_follows_freeze_and_unfreeze() -> None:
    """Compiled before the change, the network answers with what it holds now."""
    net = network()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    x = torch.arange(6)
    for change in (lambda: None, lambda: freeze_rows(embedding(net), ROWS), lambda: unfreeze_rows(embedding(net))):
        change()
        train(net, SGD(net.parameters(), lr=0.5), steps=1)
        torch.testing.assert_close(compiled(x), net(x))


def test_state_dict_names_and_round_trip() -> None:
    """The names are those of the docs; a copy with the same rows frozen loads them, tie included."""
    net, other = network(tied=True), network(tied=True)
    for each in (net, other):
        freeze_rows(embedding(each), ROWS)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.add_(1) if tensor.is_floating_point() else None
    other.load_state_dict(net.state_dict())

    frozen = ("rows", "trained_rows", "values")
    assert set(embedding(net).state_dict()) == {"weight", *(f"frozen_weight.{name}" for name in frozen)}
    assert torch.equal(other[0].weight, net[0].weight)
    assert torch.equal(other[2].weight, net[2].weight)


def test_rows_travel_with_their_numbers() -> None:
    """A state of as many other rows is loaded as those rows: the whole weight comes out right."""
    net, other = network(), network()
    freeze_rows(embedding(net), ROWS)
    freeze_rows(embedding(other), OTHERS)
    before = values(net[0].weight)
    with torch.no_grad():
        other[0].frozen_weight.values.zero_()
    other.load_state_dict(net.state_dict())

    assert torch.equal(other[0].weight, before)


def test_a_plain_state_is_not_half_loaded() -> None:
    """A checkpoint without frozen rows, and one with, do not fit each other: torch says so."""
    net, plain = network(), network()
    freeze_rows(embedding(net), ROWS)
    for one, another in ((net, plain), (plain, net)):
        with pytest.raises(RuntimeError, match=r"0\.frozen_weight\.values"):
            one.load_state_dict(another.state_dict())


def test_names_and_groups_of_parameters_stay() -> None:
    """The parameter has its old name and is the object the optimizer holds; frozen as a whole and back, it returns."""
    net = network()
    names = [name for name, _ in net.named_parameters()]
    parameter = net[0].weight
    optimizer = AdamW(param_groups(net, lr=0.1))
    freeze_rows(embedding(net), ROWS)

    assert [name for name, _ in net.named_parameters()] == names
    assert any(parameter is held for group in optimizer.param_groups for held in group["params"])
    assert sync_optimizer(optimizer, freeze(net, "0")).dropped == ("0.weight",)
    assert sync_optimizer(optimizer, unfreeze(net)).added == ("0.weight",)


def test_unfreezing_the_model_leaves_rows_frozen() -> None:
    """`unfreeze` and `requires_grad_(True)` speak of parameters; frozen rows are none."""
    net = network()
    freeze_rows(embedding(net), ROWS)
    before = values(net[0].weight)
    unfreeze(net).requires_grad_(True)
    train(net, MAKERS["adamw"](net.parameters()))

    assert torch.equal(net[0].weight[ROWS], before[ROWS])


def test_an_old_graph_does_not_stand_in_the_way() -> None:
    """A loss of before the change is still alive, as in every loop; the next step works all the same."""
    net = network()
    old = net(torch.arange(6)).sum()
    old.backward()
    freeze_rows(embedding(net), ROWS)
    train(net, SGD(net.parameters(), lr=0.1), steps=1)
    unfreeze_rows(embedding(net))
    train(net, SGD(net.parameters(), lr=0.1), steps=1)

    assert old.grad_fn is not None


# ---------------------------------------------------------------- and back


@settings(max_examples=8, deadline=None)
@given(
    sets=st.lists(st.sets(st.integers(0, 5), min_size=1, max_size=2), min_size=1, max_size=2),
    tied=st.booleans(),
    of_head=st.booleans(),
)
def test_freezing_adds_up_and_unfreezing_undoes_it(sets: list[set[int]], tied: bool, of_head: bool) -> None:
    """However rows were frozen, the weights stay what they were, and one unfreezing gives the plain layers back."""
    net = network(tied=tied)
    before = copy.deepcopy(net)
    layer = head(net) if of_head else embedding(net)
    for rows in sets:
        freeze_rows(layer, rows)

    assert sorted(set().union(*sets)) == layer.frozen_weight.rows.tolist()  # type: ignore[union-attr, operator]
    assert torch.equal(net[0].weight, before[0].weight)
    assert torch.equal(net[2].bias, before[2].bias)
    unfreeze_rows(layer)
    assert [type(part) for part in net] == [type(part) for part in before]
    assert {n: t.shape for n, t in net.state_dict().items()} == {n: t.shape for n, t in before.state_dict().items()}
    assert all(map(torch.equal, net.state_dict().values(), before.state_dict().values()))
    assert (net[0].weight is net[2].weight) == tied


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_unfrozen_rows_train_and_the_others_keep_their_state(make: Callable[[Any], Optimizer]) -> None:
    """Rows that come back start with a state of zero; the rest goes on with its own."""
    net = network()
    optimizer = make(net.parameters())
    freeze_rows(embedding(net), ROWS, optimizer=optimizer)
    train(net, optimizer)
    state = copy.deepcopy(optimizer.state[next(net.parameters())])
    unfreeze_rows(embedding(net), optimizer=optimizer)
    for name, value in optimizer.state[net[0].weight].items():
        if value.dim():
            assert torch.equal(value[OTHERS], state[name])
            assert not value[ROWS].any()
    before = values(net[0].weight)
    train(net, optimizer)

    assert not (net[0].weight == before).any()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("layer", "rows", "sentence"),
    [
        (nn.Embedding(6, 2), [6], r"row 6 of Embedding\(6, 2\), which has rows 0 to 5"),
        (nn.Embedding(6, 2), [-1], "row -1 of"),
        (nn.Embedding(6, 2), [], "no row of"),
        (nn.Embedding(6, 2), range(6), r"all 6 rows of.*with frostline\.freeze"),
        (nn.Embedding(6, 2), [0.5], "by their numbers, got 0.5"),
        (nn.Embedding(6, 2), torch.tensor([True, False]), "got True. Turn a mask"),
        (nn.Embedding(6, 2, sparse=True), [0], "sparse=True"),
        (nn.Embedding(6, 2, max_norm=1.0), [0], "max_norm"),
        (nn.Conv1d(2, 2, 1), [0], "neither an Embedding nor a Linear"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), [0], "whose weight is computed"),
    ],
)
def test_what_cannot_be_frozen_is_refused(layer: Any, rows: Any, sentence: str) -> None:
    """One sentence says what was asked and what is there, and the layer is as it was."""
    names = list(layer.state_dict())
    with pytest.raises(PlanError, match=sentence):
        freeze_rows(layer, rows)

    assert list(layer.state_dict()) == names


def test_numbers_come_in_many_forms() -> None:
    """A range, a slice, a tensor and a set of the same rows freeze the same."""
    layers = [nn.Embedding(6, 2) for _ in range(4)]
    for layer, rows in zip(layers, (range(2), slice(-4), torch.tensor([1, 0]), {0, 1}), strict=True):
        freeze_rows(layer, rows)

    assert {tuple(layer.frozen_weight.rows.tolist()) for layer in layers} == {(0, 1)}  # type: ignore[union-attr, operator]


def test_nothing_to_unfreeze_is_said() -> None:
    """Unfreezing rows of a plain layer is a mistake."""
    with pytest.raises(PlanError, match=r"Embedding\(6, 4\), but none are frozen"):
        unfreeze_rows(network()[0])


def test_an_optimizer_whose_state_would_be_left_behind_must_be_given() -> None:
    """State of the old shape under a fused optimizer would be read past its end: refused before anything changes."""
    net = network()
    optimizer = AdamW(net.parameters(), fused=True)
    train(net, optimizer)
    with pytest.raises(PlanError, match=r"holds state for the weight.*Add optimizer="):
        freeze_rows(embedding(net), ROWS)

    assert isinstance(next(net.parameters()), nn.Parameter)
    assert type(net[0]) is nn.Embedding
    freeze_rows(embedding(net), ROWS, optimizer=optimizer)
    with pytest.raises(PlanError, match="Add optimizer="):
        unfreeze_rows(embedding(net))


def test_an_optimizer_that_was_given_up_is_none() -> None:
    """One that only a cycle with its scheduler keeps in memory does not stand in the way."""
    gc.disable()
    try:
        net = network()
        optimizer = AdamW(net.parameters())
        scheduler = LambdaLR(optimizer, lambda n: 1.0)
        train(net, optimizer)
        del optimizer, scheduler
        freeze_rows(embedding(net), ROWS)
    finally:
        gc.enable()

    assert tuple(next(net.parameters()).shape) == (3, 4)


def test_state_that_cannot_be_divided_is_refused() -> None:
    """Adafactor keeps sums over rows and columns, which have no rows of their own to keep."""
    net = network()
    optimizer = Adafactor(net.parameters())
    train(net, optimizer)
    with pytest.raises(PlanError, match=r"Adafactor keeps '\w+' in another shape"):
        freeze_rows(embedding(net), ROWS, optimizer=optimizer)

    assert type(net[0]) is nn.Embedding
