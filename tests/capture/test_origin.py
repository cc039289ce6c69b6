"""Claims about origins: one number of one frozen tensor, or one line of code, makes rows another model's."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from frostline.capture.origin import Origin, watched_tensors
from frostline.capture.watching import Watch
from frostline.plan.apply import freeze, unfreeze
from networks import NormedCnn


def network() -> nn.Module:
    torch.manual_seed(0)
    return freeze(NormedCnn(), "first")


def test_all_that_decides_what_replayed_modules_give_is_watched() -> None:
    """Frozen weights and the statistics of frozen norms; not what trains, nor its statistics."""
    watched = watched_tensors(network())

    assert {"first.0.weight", "first.1.weight", "first.1.running_mean"} <= watched.keys()
    assert not any(name.startswith(("second.", "fc.")) for name in watched)


def test_statistics_of_a_norm_without_weights_are_watched() -> None:
    """Nothing of it is a parameter, and nobody froze it: it is eligible in evaluation mode, so it is watched."""
    net = nn.Sequential(nn.BatchNorm1d(2, affine=False), nn.Linear(2, 2)).eval()

    assert "0.running_mean" in watched_tensors(net)


def test_one_number_makes_another_origin() -> None:
    """In any watched tensor; named. What trains makes no difference."""
    net = network()
    origin = Origin.of(net, watched_tensors(net))
    assert origin.differing(watched_tensors(deepcopy(net))) == ""

    for name in watched_tensors(net):
        other = deepcopy(net)
        tensor = watched_tensors(other)[name]
        with torch.no_grad():
            tensor.view(-1)[0] += 1
        assert origin.differing(watched_tensors(other)) == name
        assert Origin.of(other, watched_tensors(other)).key() != origin.key()

    other = deepcopy(net)
    with torch.no_grad():
        other.fc.weight.add_(1)
    assert origin.differing(watched_tensors(other)) == ""
    assert Origin.of(other, watched_tensors(other)).key() == origin.key()


def test_a_tensor_that_is_not_known_is_another_one() -> None:
    """More that is frozen than rows were stored with; unless it is added by name, which keeps what was known."""
    net = network()
    origin = Origin.of(net, watched_tensors(net))
    freeze(net, "second")
    more = origin.including(watched_tensors(net))

    assert origin.differing(watched_tensors(net)).startswith("second.")
    assert more.differing(watched_tensors(net)) == ""
    with torch.no_grad():
        net.first[0].weight.add_(1)
    assert more.including(watched_tensors(net)).differing(watched_tensors(net)) == "first.0.weight"


@pytest.fixture
def module_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path / "their_network.py"
    sys.modules.pop("their_network", None)


def test_the_code_of_the_model_counts(module_file: Path) -> None:
    """A changed line in the file of the model's classes, and the version of torch."""
    origins = []
    for line in ("x + 1", "x + 1", "x + 2"):
        module_file.write_text(
            f"from torch import nn\n\nclass Net(nn.Linear):\n    def forward(self, x):\n        return {line}\n"
        )
        sys.modules.pop("their_network", None)
        importlib.invalidate_caches()
        net = importlib.import_module("their_network").Net(2, 2).requires_grad_(False)
        torch.nn.init.zeros_(net.weight)
        torch.nn.init.zeros_(net.bias)
        origins.append(Origin.of(net, watched_tensors(net)).key())

    assert origins[0] == origins[1] != origins[2]
    assert origins[0]["torch"] == torch.__version__


# ---------------------------------------------------------------- watching


def test_watching_is_quiet_while_only_what_trains_moves() -> None:
    """Weights, statistics, modes and gradients of what trains."""
    net = network()
    watch = Watch(net, None)
    assert watch.has_other_parts() and not watch.has_other_parts()
    for _ in range(3):
        net.train()(torch.randn(4, 3, 6, 6)).sum().backward()
        torch.optim.SGD(net.parameters(), lr=1.0).step()
        assert not watch.has_other_parts() and watch.complaint() == ""


def test_a_freeze_that_changes_is_noticed() -> None:
    """So that what can be replayed is looked into anew; only what differs from its first look is complained of."""
    net = network()
    watch = Watch(net, None)
    watch.has_other_parts()
    freeze(net, "second")
    assert watch.has_other_parts() and watch.complaint() == ""
    unfreeze(net, "second")
    with torch.no_grad():
        net.second[0].weight.add_(1)
    assert watch.has_other_parts() and watch.complaint() == ""
    freeze(net, "second")
    assert watch.has_other_parts()
    assert watch.complaint() == "'second.0.weight' is not what it was when rows were stored"


def test_a_given_origin_is_held_to() -> None:
    """Rows of another run know no more tensors than were there."""
    net = network()
    watch = Watch(net, Origin.of(net, watched_tensors(net)))
    watch.has_other_parts()
    assert watch.complaint() == ""
    freeze(net, "second")
    watch.has_other_parts()
    assert watch.complaint().startswith("'second.")


def test_further_buffers_are_watched_on_request() -> None:
    """Those of the root, say, on which frozen modules depend."""
    net = network()
    net.register_buffer("shift", torch.zeros(3))
    watch = Watch(net, None)
    watch.has_other_parts()
    net.shift.add_(1)
    assert watch.complaint() == ""
    watch.add(["shift"])
    assert watch.complaint() == ""
    net.shift.add_(1)
    assert watch.complaint() == "'shift' is not what it was when rows were stored"


def test_hooks_that_come_and_go() -> None:
    """On what is frozen they are complained of; on what trains they are only noticed."""
    net = network()
    watch = Watch(net, None)
    watch.has_other_parts()
    handle = net.second[0].register_forward_hook(lambda *_: None)
    assert watch.has_other_parts() and watch.complaint() == ""
    handle.remove()
    assert watch.has_other_parts() and watch.complaint() == ""
    net.first[0].register_forward_hook(lambda *_: None)
    assert watch.has_other_parts()
    assert watch.complaint() == "a hook of 'first.0' came or went since rows were stored"
