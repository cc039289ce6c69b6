"""Claims about `torch.compile`: a change of freeze after compilation is obeyed, never answered by a stale graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from frostline.plan.apply import freeze, unfreeze
from frostline.plan.proof import Seal
from frostline.plan.wrapped import forget_compiled_graphs, unwrapped

Compile = Callable[[nn.Module, str], Callable[[Tensor], Tensor]]


def wrapped(net: nn.Module, backend: str) -> Callable[[Tensor], Tensor]:
    compiled: Callable[[Tensor], Tensor] = torch.compile(net, backend=backend)
    return compiled


def in_place(net: nn.Module, backend: str) -> Callable[[Tensor], Tensor]:
    net.compile(backend=backend)
    return net


def inside_a_function(net: nn.Module, backend: str) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        output: Tensor = net(x)
        return output

    compiled: Callable[[Tensor], Tensor] = torch.compile(forward, backend=backend)
    return compiled


every_way = pytest.mark.parametrize("compile_it", [wrapped, in_place, inside_a_function])
every_backend = pytest.mark.parametrize("backend", ["eager", "aot_eager"])


@pytest.fixture(autouse=True)
def _nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)), nn.Linear(4, 2)).train()


def batch() -> Tensor:
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


def is_random(net: nn.Module, run: Callable[[Tensor], Tensor]) -> bool:
    answers = []
    for _ in range(2):
        net.train()
        answers.append(run(batch()).detach())
    return not torch.equal(*answers)


def gradients(net: nn.Module, run: Callable[[Tensor], Tensor]) -> set[str]:
    net.zero_grad()
    run(batch()).sum().backward()
    return {name for name, parameter in net.named_parameters() if parameter.grad is not None}


pytestmark = [
    # The compiler looks at `.grad` of its own tensors, and torch warns of that once a process.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    # torch forgets to take out half of a global hook with keywords when it is removed, whoever had one.
    pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are global hooks:UserWarning"),
]


@every_way
@every_backend
def test_a_freeze_after_compilation_is_obeyed(compile_it: Compile, backend: str) -> None:
    """No gradient for what is frozen since, dropout off, statistics still; and back again after `unfreeze`."""
    net = network()
    run = compile_it(net, backend)
    everything = gradients(net, run)
    assert is_random(net, run)

    freeze(net, "0")
    seal = Seal.of(net)
    assert not is_random(net, run)
    assert gradients(net, run) == {"1.weight", "1.bias"}
    assert seal.compare(net).holds

    unfreeze(net, "0.0")
    assert gradients(net, run) == {"0.0.weight", "0.0.bias", "1.weight", "1.bias"}
    unfreeze(net)
    assert is_random(net, run)
    assert gradients(net, run) == everything


@every_way
@every_backend
def test_a_freeze_that_changes_only_hooks_is_obeyed(compile_it: Compile, backend: str) -> None:
    """Parameters frozen by hand before compiling: `freeze` then changes nothing that compiled code is guarded by."""
    net = network()
    net[0].requires_grad_(False)
    run = compile_it(net, backend)
    assert is_random(net, run)
    freeze(net, "0")
    seal = Seal.of(net)

    assert not is_random(net, run)
    assert seal.compare(net).holds


def test_without_forgetting_the_graph_would_be_stale() -> None:
    """The fault that `forget_compiled_graphs` is there for: a hook alone does not invalidate what was compiled."""
    net = network()
    net[0].requires_grad_(False)
    run = wrapped(net, "eager")
    run(batch())
    seen = []
    net[0].register_forward_pre_hook(lambda module, args: seen.append(1))
    run(batch())
    assert not seen
    forget_compiled_graphs()
    run(batch())
    assert seen


@every_backend
def test_a_frozen_network_compiles_to_one_graph(backend: str) -> None:
    """The hooks that hold a freeze break no graph."""
    net = freeze(network(), "0").train()
    run = torch.compile(net, backend=backend, fullgraph=True)

    assert torch.equal(run(batch()), net(batch()))


def test_parts_of_a_compiled_network_are_named_as_before() -> None:
    """Patterns find their parts behind the wrapper's prefix, and the user's own network is frozen."""
    net = network()
    freeze(torch.compile(net, backend="eager"), "0.0")  # type: ignore[arg-type]

    assert {name for name, p in net.named_parameters() if not p.requires_grad} == {"0.0.weight", "0.0.bias"}
    assert unwrapped(torch.compile(net, backend="eager")) is net  # type: ignore[arg-type]
