"""Claims about eligible modules: the outermost in which nothing trains, nothing drops and nobody looks."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from frostline.capture.eligible import eligible, foreign_hooks
from frostline.plan.apply import freeze
from networks import NETWORKS, NormedCnn


def frozen(*layers: nn.Module) -> nn.Sequential:
    """Frozen by its gradients only, as many people do."""
    return nn.Sequential(*layers).requires_grad_(False).train()  # type: ignore[return-value]


def within(part: nn.Module) -> nn.Sequential:
    return nn.Sequential(part, nn.Linear(2, 2))


def test_the_outermost_are_chosen() -> None:
    """Parts of a frozen part are not, nor is the root, nor a container that is never called."""
    net = nn.Sequential(
        frozen(nn.Linear(2, 2), nn.Tanh()),
        nn.ModuleList([frozen(nn.Linear(2, 2)), nn.Linear(2, 2)]),
        nn.ModuleDict({"one": frozen(nn.Linear(2, 2))}),
        nn.Tanh(),
    )
    assert list(eligible(net).modules) == ["0", "1.0", "2.one", "3"]
    assert list(eligible(frozen(nn.Linear(2, 2), nn.Tanh())).modules) == ["0", "1"]


def test_a_split_module_gives_way_to_its_parts() -> None:
    """By its path, and again within."""
    net = within(frozen(frozen(nn.Linear(2, 2), nn.Tanh()), nn.Tanh()))

    assert list(eligible(net, frozenset({"0"})).modules) == ["0.0", "0.1"]
    assert list(eligible(net, frozenset({"0", "0.0"})).modules) == ["0.0.0", "0.0.1", "0.1"]
    assert list(eligible(net, frozenset({"0", "0.1"})).modules) == ["0.0"]


def test_a_shared_module_is_chosen_once() -> None:
    """Under its first path."""
    shared = frozen(nn.Linear(2, 2))
    assert list(eligible(nn.Sequential(shared, shared, nn.Linear(2, 2))).modules) == ["0"]


@pytest.mark.parametrize(
    ("part", "left", "reason"),
    [
        (lambda: frozen(nn.Linear(2, 2), nn.Dropout(0.5)), ["0.0"], ""),
        (lambda: frozen(nn.Linear(2, 2), nn.Dropout(0.0)), ["0"], ""),
        (lambda: frozen(nn.LSTM(2, 2, 2, dropout=0.5)), [], "'0.0' drops out at random: freeze it with"),
        (lambda: frozen(nn.MultiheadAttention(2, 1, dropout=0.5)), ["0.0.out_proj"], ""),
        (lambda: frozen(nn.BatchNorm1d(2)), [], "the norm statistics of '0.0' are in training mode"),
        (lambda: frozen(nn.BatchNorm1d(2, affine=False), nn.Linear(2, 2)), ["0.1"], ""),
        (lambda: frozen(nn.InstanceNorm1d(2, affine=True)), ["0"], ""),
        (lambda: frozen(nn.InstanceNorm1d(2, affine=True, track_running_stats=True)), [], "the norm statistics"),
        (lambda: frozen(nn.LayerNorm(2)), ["0"], ""),
        (lambda: torch.jit.trace(nn.Linear(2, 2).requires_grad_(False), torch.ones(1, 2)), [], "TorchScript"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_obstacles(part: Callable[[], nn.Module], left: list[str], reason: str) -> None:
    """What drops, mixes the batch or cannot be stood in for is left out, its parts are not; each in a sentence."""
    found = eligible(within(part()))

    assert list(found.modules) == left
    assert (reason in " ".join(found.reasons)) if reason else not found.reasons


def test_what_is_held_inert_is_no_obstacle() -> None:
    """`frostline.freeze` puts it back into evaluation mode at every call, whatever `train()` says."""
    net = freeze(NormedCnn(), "first").train()

    assert "first" in eligible(net).modules
    net.first[1]._forward_pre_hooks.clear()
    assert "first" not in eligible(net.train()).modules


def test_evaluation_mode_is_no_obstacle() -> None:
    """Nothing drops there, and norms use their statistics."""
    net = within(frozen(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()))

    assert list(eligible(net.eval()).modules) == ["0"]


def see(module: nn.Module, args: object, output: object) -> None: ...


@pytest.mark.parametrize("hook", [see, functools.partial(see), lambda module, args, output: None])
def test_hooks_of_the_user_are_obstacles(hook: Callable[..., None]) -> None:
    """Whoever looks at a module has to see what it computes; the parts beside it are still eligible."""
    net = within(frozen(nn.Linear(2, 2), nn.Tanh()))
    handle = net[0][0].register_forward_hook(hook)

    assert list(eligible(net).modules) == ["0.1"]
    assert eligible(net).reasons == ("'0.0' has a hook of its own, which has to see what the module computes.",)
    handle.remove()
    assert list(eligible(net).modules) == ["0"]


def test_hooks_of_known_packages_are_none() -> None:
    """Those of frostline, of torch's weight norm and of transformers show in the result of the model, if anywhere."""
    net = within(frozen(nn.Linear(2, 2)))
    nn.utils.parametrizations.weight_norm(net[0][0])
    freeze(net, "0")
    assert list(eligible(net).modules) == ["0"] and not foreign_hooks(net[0][0])

    make, example = NETWORKS["bert classifier"]
    bert = freeze(make(), "bert.encoder.layer.0")
    bert(**example(), output_hidden_states=True)  # it puts hooks on its layers
    assert any(module._forward_hooks for module in bert.modules())
    assert "bert.encoder.layer.0" in eligible(bert).modules
