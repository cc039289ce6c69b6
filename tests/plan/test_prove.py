"""Claims about `prove_frozen`: every kind of leak is caught and named with its likely cause."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from frostline.core.errors import FrozenPartChanged, PlanError
from frostline.plan.apply import freeze
from frostline.plan.leaks import Leak
from frostline.plan.prove import prove_frozen
from networks import NormedCnn
from proving import audited, found, images, plainly_frozen, quietly_frozen, train, trainable

# ---------------------------------------------------------------- planted leaks, each with its cause


def test_batch_norm_drift_is_named() -> None:
    """`requires_grad = False` leaves batch norm in training mode: statistics drift and outputs read the batch."""
    net = plainly_frozen()
    proof = audited(net, lambda: train(net, torch.optim.SGD(trainable(net), lr=0.01)))

    changed = found(proof, "changed")
    assert set(changed) == {"first.1.running_mean", "first.1.running_var", "first.1.num_batches_tracked"}
    assert all("training mode" in cause and "2 of 2 calls" in cause for cause in changed.values())
    assert set(found(proof, "batch-dependent")) == {"first.1"}


def test_batch_statistics_without_drift_are_named() -> None:
    """Statistics that are switched off do not drift, and the batch still reaches the output."""
    net = plainly_frozen()
    net.first[1].track_running_stats = False
    proof = audited(net, lambda: train(net, torch.optim.SGD(trainable(net), lr=0.01)))

    assert not found(proof, "changed")
    assert "2 of 2 calls" in found(proof, "batch-dependent")["first.1"]


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(4, track_running_stats=True), nn.BatchNorm2d(4, affine=False)])
def test_statistics_of_norms_without_parameters_are_watched(norm: nn.Module) -> None:
    """A norm layer without parameters belongs to the frozen part that it stands in."""
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), norm), nn.Flatten(), nn.Linear(64, 1))
    net[0].requires_grad_(False)
    proof = audited(net, lambda: net(images()))

    assert {"0.1.running_mean", "0.1.running_var"} <= found(proof, "changed").keys()


def test_dropout_is_named() -> None:
    """Dropout in a frozen part that runs in training mode is chance in what should be fixed."""
    net = plainly_frozen()
    proof = audited(net, lambda: train(net, torch.optim.SGD(trainable(net), lr=0.01)))

    assert "training mode" in found(proof, "random")["first.3"]


class DropPath(nn.Module):
    """Stochastic depth as vision libraries write it."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("layer", "drops"),
    [
        (nn.LSTM(3, 3, num_layers=2, dropout=0.3), True),
        (nn.GRU(3, 3, num_layers=1), False),
        (nn.AlphaDropout(0.2), True),
        (nn.Dropout(0.0), False),
        (DropPath(0.1), True),
        (DropPath(0.0), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_layer_that_drops_is_known(layer: nn.Module, drops: bool) -> None:
    """Recurrent dropout, alpha dropout and stochastic depth count, and only at a rate above zero."""
    net = nn.Sequential(nn.Linear(3, 3), layer).requires_grad_(False)
    proof = audited(net, lambda: net(torch.ones(2, 5, 3)))

    assert ("1" in found(proof, "random")) is drops


class NoisyLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, self.training)


def test_dropout_without_a_layer_is_found_by_calling_again() -> None:
    """Functional dropout has no module to look at; two calls under different random states differ."""
    net = nn.Sequential(NoisyLinear(3, 8), nn.Linear(8, 1))
    net[0].requires_grad_(False)
    proof = audited(net, lambda: net(torch.ones(4, 3)))

    assert "Two calls" in found(proof, "random")["0"]
    assert "random" in proof.not_probed["0"]
    net[0].eval()
    assert audited(net, lambda: net(torch.ones(4, 3))).holds


class BatchCentred(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out - out.mean(dim=0)


def test_a_forward_that_reads_the_batch_is_found_by_calling_again() -> None:
    """No norm layer, no buffer: that an output hangs on its batch-mates shows when they are exchanged."""
    net = nn.Sequential(BatchCentred(3, 8), nn.Linear(8, 1))
    net[0].requires_grad_(False)
    proof = audited(net, lambda: net(images()[:, :, 0, 0]))

    assert "batch-mates" in found(proof, "batch-dependent")["0"]


@pytest.mark.parametrize(
    ("make", "force"),
    [
        (lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9), "momentum (momentum_buffer)"),
        (lambda ps: torch.optim.AdamW(ps, lr=0.1, weight_decay=0.0), "momentum (exp_avg)"),
        (lambda ps: torch.optim.AdamW(ps, lr=0.1, weight_decay=0.0, fused=True), "momentum (exp_avg)"),
        (lambda ps: torch.optim.SGD(ps, lr=0.1, weight_decay=0.5), "weight decay 0.5"),
    ],
    ids=["sgd momentum", "adamw momentum", "fused adamw", "decay"],
)
def test_an_optimizer_that_still_holds_a_frozen_weight_is_named(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], force: str
) -> None:
    """A late freeze with zeroed gradients: momentum or decay moves the weight, and the sentence says which."""
    net = NormedCnn()
    optimizer = make(list(net.parameters()))
    train(net, optimizer, set_to_none=False)
    net.first[0].requires_grad_(False)
    proof = audited(net, lambda: train(net, optimizer, set_to_none=False), optimizer=optimizer)

    cause = found(proof, "changed")["first.0.weight"]
    assert f"{type(optimizer).__name__} still holds it" in cause
    assert force in cause
    assert {"first.0.weight", "first.0.bias"} == found(proof, "optimizer").keys()
    assert "of zeros" in found(proof, "grad")["first.0.weight"]


def test_a_freeze_between_backward_and_step_is_named() -> None:
    """The gradient from before the freeze is still there when the optimizer steps."""
    net = NormedCnn()
    optimizer = torch.optim.AdamW(net.parameters())
    net(images()).sum().backward()
    net.first[0].requires_grad_(False)

    assert "a gradient left on it" in found(audited(net, optimizer.step), "changed")["first.0.weight"]


def test_an_optimizer_that_lists_what_is_frozen_is_named() -> None:
    """Listed without a gradient nothing moves, but nothing but luck holds it: it is told when asked."""
    net = quietly_frozen()
    optimizer = torch.optim.AdamW(net.parameters())
    proof = audited(net, lambda: train(net, optimizer), optimizer=optimizer)

    assert {leak.kind for leak in proof.leaks} == {"optimizer"}
    assert audited(net, lambda: train(net, optimizer)).holds


def test_a_tied_write_is_named() -> None:
    """A trainable parameter in the same memory moves the frozen one: the sentence names it."""
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[0].requires_grad_(False)
    net[0].weight.data = net[1].weight.data
    optimizer = torch.optim.SGD(trainable(net), lr=0.1)

    def step() -> None:
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()

    assert "'1.weight'" in found(audited(net, step), "changed")["0.weight"]


def test_a_direct_write_is_named() -> None:
    """A write past the optimizer is told as one."""
    net = quietly_frozen()
    proof = audited(net, lambda: net.first[0].bias.data.add_(1))

    assert "directly" in found(proof, "changed")["first.0.bias"]


def test_a_buffer_write_is_named() -> None:
    """A buffer that is written in evaluation mode was not moved by batch statistics."""
    net = freeze(NormedCnn(), "first")
    proof = audited(net, lambda: net.first[1].running_mean.add_(1))

    assert "wrote to this buffer" in found(proof, "changed")["first.1.running_mean"]


@pytest.mark.parametrize("late", [False, True], ids=["trained", "never run"])
def test_requires_grad_on_a_parent_is_named(late: bool) -> None:
    """A parent's `requires_grad_(True)` undoes a plain freeze, whether the weight moved already or not."""
    net = quietly_frozen()

    def wake() -> None:
        net.requires_grad_(True)
        if not late:
            train(net, torch.optim.SGD(net.parameters(), lr=0.01))
            net.first[0].requires_grad_(False)

    proof = audited(net, wake)

    assert "requires_grad_(True)" in found(proof, "unfrozen")["first.0.weight"]
    assert ("first.0.weight" in found(proof, "changed")) is not late


def test_a_tensor_put_in_place_or_taken_away_is_named() -> None:
    """A replaced parameter, a cast one and a missing one are three different causes."""
    net = quietly_frozen()

    def replace() -> None:
        net.first[0].weight = nn.Parameter(torch.zeros(4, 3, 3, 3))
        net.first[0].bias.data = net.first[0].bias.data.half()

    causes = found(audited(net, replace), "changed")
    assert "put in its place" in causes["first.0.weight"]
    assert "float32 and is (4,) float16" in causes["first.0.bias"]
    net = quietly_frozen()
    causes = found(audited(net, lambda: setattr(net, "first", nn.Identity())), "changed")
    assert "no tensor of that name" in causes["first.0.weight"]


def test_a_row_mask_under_decay_is_named() -> None:
    """Rows masked by a gradient hook still decay; when the weight is expected to hold, the hook is pointed at."""
    net = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 1))
    net[0].weight.register_hook(torch.zeros_like)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.5)

    def step() -> None:
        net(torch.arange(4)).sum().backward()
        optimizer.step()

    assert "masks the gradient only" in found(audited(net, step, expect="0"), "changed")["0.weight"]


def test_an_attribute_that_freezes_nothing_is_named() -> None:
    """`module.requires_grad = False` is taken by Python without a word."""
    net = NormedCnn()
    net.first.requires_grad = False

    assert "freezes nothing" in found(audited(net, lambda: None), "unfrozen")["first"]


def test_the_root_itself_has_a_name() -> None:
    """A lone frozen norm layer is the whole model."""
    norm = nn.BatchNorm1d(2).requires_grad_(False)

    assert set(found(audited(norm, lambda: norm(torch.rand(4, 2))), "batch-dependent")) == {"the whole model"}


# ---------------------------------------------------------------- what was expected


def test_what_the_freeze_missed_is_named() -> None:
    """With `expect`, a norm layer that was left to train is a leak; without, it is the user's choice."""
    net = NormedCnn()
    for part in (net.first[0], net.first[3]):
        part.requires_grad_(False)

    assert not found(audited(net, lambda: net(images())), "unfrozen")
    proof = audited(net, lambda: net(images()), expect="first")
    assert {"first.1.weight", "first.1.bias"} == found(proof, "unfrozen").keys()
    assert "expected" in found(proof, "unfrozen")["first.1.weight"]
    assert "first.1" in found(proof, "batch-dependent")
    assert "first.3" in found(proof, "random")


def test_what_is_frozen_in_the_block_counts_from_then_on() -> None:
    """Tools that freeze when training begins are judged by what ran afterwards."""
    net = NormedCnn()

    def fit() -> None:
        freeze(net, "first")
        train(net, torch.optim.SGD(trainable(net), lr=0.01))

    assert audited(net, fit, expect=["first"]).holds


def test_an_expectation_that_matches_nothing_is_refused() -> None:
    """A pattern that names no part of the model would prove nothing."""
    with pytest.raises(PlanError, match="'frist'"), prove_frozen(NormedCnn(), expect="frist"):
        pass


# ---------------------------------------------------------------- raising and reporting


def test_the_error_names_the_first_tensor_and_the_cause() -> None:
    """The sentence alone says what moved and why; the evidence goes with it."""
    net = plainly_frozen()
    with (
        pytest.raises(FrozenPartChanged, match=r"'first.1.running_mean' .* changed during .*training mode") as error,
        prove_frozen(net),
    ):
        train(net, torch.optim.SGD(trainable(net), lr=0.01))

    assert error.value.names[0] == "first.1.running_mean"
    assert {leak.kind for leak in error.value.evidence if isinstance(leak, Leak)} == {
        "changed",
        "batch-dependent",
        "random",
    }


def test_an_error_of_the_block_passes_through() -> None:
    """The user's exception is the user's; the hooks are gone and the proof claims nothing."""
    net = plainly_frozen()
    with pytest.raises(ZeroDivisionError), prove_frozen(net) as proof:
        train(net, torch.optim.SGD(trainable(net), lr=0.01))
        raise ZeroDivisionError

    assert (proof.holds, proof.leaks) == (None, ())
    assert not any([_global_forward_hooks, _global_forward_pre_hooks])
    assert not any([_global_optimizer_pre_hooks, _global_optimizer_post_hooks])


def test_a_part_that_cannot_be_called_again_is_said() -> None:
    """A call that fails or takes foreign objects is evidence that is missing, told with its reason."""

    class Once(nn.Linear):
        calls = 0

        def forward(self, x: Tensor, extra: object = None) -> Tensor:
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("only once")
            return super().forward(x)

    for arguments, reason in (((), "only once"), ((object(),), "takes an object of class object")):
        net = nn.ModuleDict({"once": Once(3, 2), "idle": nn.Linear(2, 2)}).requires_grad_(False)
        proof = audited(net, lambda net=net, arguments=arguments: net["once"](torch.ones(2, 3), *arguments))
        assert proof.holds
        assert reason in proof.not_probed["once"]
        assert "no call" in proof.not_probed["idle"]
        assert "not probed: once" in repr(proof)


def test_the_table_gathers_like_causes() -> None:
    """A cause that hundreds of tensors share is told once, with the first names."""
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4))).requires_grad_(False)
    text = repr(audited(net, lambda: [layer.weight.data.zero_() for layer in net]))

    assert "changed: 0.weight, 1.weight, 2.weight and 1 more" in text
    assert text.count("directly") == 1
