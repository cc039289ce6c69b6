"""Claims about delta checkpoints: small, bit-exact, bound to their base, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, safe_open, save_file
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.errors import ModelError
from frostline.plan.apply import freeze
from frostline.plan.blocks import call
from frostline.plan.delta import FORMAT, load_delta, read_delta, save_delta
from networks import NETWORKS, BagOfTokens, NormedCnn


def network(seed: int = 0, make: Callable[[], nn.Module] = BagOfTokens) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def disturbed(net: nn.Module) -> nn.Module:
    """Everything that may change is changed."""
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if name not in frozen:
                tensor.add_(0.5)
    return net


def contents(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    bits = (torch.equal(one[n].reshape(-1).view(torch.uint8), other[n].reshape(-1).view(torch.uint8)) for n in one)
    return one.keys() == other.keys() and all(bits)


def saved(folder: Path, *frozen: str) -> Path:
    net = disturbed(freeze(network(), *(frozen or ("embedding", "first"))))
    return save_delta(net, folder / "delta.safetensors", base="a bag of tokens")


# ---------------------------------------------------------------- what is in it


def test_it_holds_what_may_change_and_nothing_frozen(tmp_path: Path) -> None:
    """Trained parameters and norm statistics, head included; the frozen part is hashed in the header."""
    path = saved(tmp_path)

    assert {name.partition(".")[0] for name in load_file(path)} == {"second", "head"}
    assert {"second.1.running_mean", "second.1.num_batches_tracked"} <= load_file(path).keys()
    assert {"embedding.weight", "first.1.running_var"} <= read_delta(path).frozen.keys()


def test_its_header_can_be_read_by_anything_that_reads_safetensors(tmp_path: Path) -> None:
    """Format, base and plan are plain text; shapes and types are in the format's own header."""
    with safe_open(saved(tmp_path), framework="np") as file:
        about = file.metadata()
        shape = file.get_slice("head.weight").get_shape()

    assert about["format"] == FORMAT == "frostline.delta/1"
    assert (json.loads(about["base"]), shape) == ("a bag of tokens", [2, 10])
    assert "first.0.weight" in json.loads(about["frozen"])
    assert about["frozen_sha256"] == read_delta(tmp_path / "delta.safetensors").frozen_sha256


def test_statistics_of_a_frozen_norm_that_is_not_held_are_saved(tmp_path: Path) -> None:
    """Frozen by `requires_grad` alone, batch norm still moves its statistics: they belong to what changed."""
    net = network(make=NormedCnn)
    net.requires_grad_(False).fc.requires_grad_(True)  # type: ignore[union-attr, operator]
    path = save_delta(net, tmp_path / "delta.safetensors")

    assert {"first.1.running_mean", "fc.weight"} <= load_file(path).keys()
    assert "first.1.weight" not in load_file(path)


def test_tied_weights_are_written_once_and_come_back_tied(tmp_path: Path) -> None:
    """GPT-2's head and embedding are one tensor in the file and in the network."""
    make, example = NETWORKS["gpt2, tied head"]
    net = disturbed(freeze(network(make=make), "h[0]")).eval()
    path = save_delta(net, tmp_path / "delta.safetensors")
    fresh = network(make=make).eval()
    load_delta(fresh, path)

    assert [name for name in load_file(path) if "wte" in name or "lm_head" in name] == ["transformer.wte.weight"]
    with torch.no_grad():
        assert torch.equal(call(fresh, example()).logits, call(net, example()).logits)


def test_a_tied_weight_that_is_frozen_is_not_written(tmp_path: Path) -> None:
    """Under neither of its names."""
    net = freeze(network(make=NETWORKS["gpt2, tied head"][0]), "wte")
    path = save_delta(net, tmp_path / "delta.safetensors")

    assert not {"transformer.wte.weight", "lm_head.weight"} & load_file(path).keys()


# ---------------------------------------------------------------- and back


def test_training_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """Base plus delta is the trained network: parameters, statistics and answers."""
    net = freeze(network(), "embedding", "first").train()
    ids = torch.arange(24).reshape(4, 6)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.01)
    for _ in range(3):
        functional.cross_entropy(net(ids, torch.ones_like(ids)), torch.tensor([0, 1, 0, 1])).backward()
        optimizer.step()
    fresh = network()
    load_delta(fresh, save_delta(net, tmp_path / "delta.safetensors"))

    assert not same(contents(net), contents(network())), "training must have moved something"
    assert same(contents(net), contents(fresh))


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=10, deadline=None)
@given(bits=st.lists(st.integers(0, 255), min_size=8, max_size=8))
def test_any_bits_survive(tmp_path_factory: pytest.TempPathFactory, dtype: torch.dtype, bits: list[int]) -> None:
    """Not-a-number with any payload, negative zero, denormals: what is loaded is what was saved."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False)).to(dtype)
    odd = torch.tensor(bits * 2, dtype=torch.uint8).view(dtype)[:2].reshape(1, 2)
    freeze(net, "0")[1].weight.data = odd  # type: ignore[index]
    path = save_delta(net, tmp_path_factory.mktemp("bits") / "delta.safetensors")
    before = contents(net)
    net[1].weight.data = torch.zeros(1, 2, dtype=dtype)
    load_delta(net, path)

    assert same(before, contents(net))


def test_a_compiled_network_saves_under_its_own_names(tmp_path: Path) -> None:
    """The wrapper's prefix is in no name, so the delta fits the plain network."""
    net = disturbed(freeze(network(), "embedding", "first"))
    path = save_delta(torch.compile(net, backend="eager"), tmp_path / "delta.safetensors")  # type: ignore[arg-type]
    fresh = network()
    load_delta(torch.compile(fresh, backend="eager"), path)  # type: ignore[arg-type]

    assert same(contents(net), contents(fresh))


def test_the_freeze_can_be_made_again_from_the_header(tmp_path: Path) -> None:
    """The names in the header freeze the parameters that were frozen, and hold the same norms."""
    delta = read_delta(saved(tmp_path))
    net = freeze(network(), delta.frozen.__contains__)

    assert save_delta(net, tmp_path / "again.safetensors") and read_delta(tmp_path / "again.safetensors").frozen == (
        delta.frozen
    )


# ---------------------------------------------------------------- what is refused


def renamed(net: Any) -> None:
    net.top = net.head
    del net.head


def widened(net: Any) -> None:
    net.head = nn.Linear(10, 5)


def moved(net: Any) -> None:
    net.first[0].weight.data[0, 0] += 1e-6


def drifted(net: Any) -> None:
    net.first[1].running_mean += 1


def extended(net: Any) -> None:
    net.second_head = nn.Linear(10, 2)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a renamed part": (renamed, r"no tensor 'head\.bias', which was trained\. "),
    "a tensor too many": (extended, r"has a tensor 'second_head\.bias' that the delta does not know"),
    "another shape": (widened, r"'head\.bias' of shape \(2,\), but the model's has shape \(5,\)"),
    "another type": (lambda net: net.half(), r"as torch\.float32, but the model's is torch\.float16\. Cast"),
    "another frozen weight": (moved, r"base model \(a bag of tokens\): the frozen tensor 'first\.0\.weight'"),
    "another frozen statistic": (drifted, r"the frozen tensor 'first\.1\.running_mean' holds other values"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_is_named_and_nothing_is_copied(tmp_path: Path, fault: str) -> None:
    """Another base, a missing or extra tensor, another shape or type: one sentence, and an untouched network."""
    spoil, sentence = REFUSED[fault]
    path, net = saved(tmp_path), network()
    spoil(net)
    before = contents(net)
    with pytest.raises(ModelError, match=sentence):
        load_delta(net, path)

    assert same(before, contents(net))


def test_a_file_cut_anywhere_is_refused_and_nothing_is_copied(tmp_path: Path) -> None:
    """Torn in the header or in the tensors, at every length tried."""
    whole = saved(tmp_path).read_bytes()
    net = network()
    before = contents(net)
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        torn = tmp_path / "torn.safetensors"
        torn.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"torn\.safetensors cannot be read"):
            load_delta(net, torn)

    assert same(before, contents(net))


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """A file of the right length with wrong content is damaged, and the tensor is named."""
    path = saved(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"is damaged: its tensor '.+' is not what was written"):
        load_delta(network(), path)


@pytest.mark.parametrize(
    ("about", "sentence"),
    [
        (None, "its header does not say"),
        ({"format": "frostline.delta/9"}, r"its format is 'frostline\.delta/9', not 'frostline\.delta/1'"),
        ({"format": FORMAT, "base": "null", "frozen": "{", "trained": "{}"}, "its header does not say"),
    ],
)
def test_other_safetensors_files_are_refused(tmp_path: Path, about: dict[str, str] | None, sentence: str) -> None:
    """An ordinary weights file, or one of another version, is not taken for a delta."""
    path = tmp_path / "plain.safetensors"
    save_file({"head.weight": torch.zeros(2, 10)}, path, metadata=about)
    for read in (read_delta, lambda at: load_delta(network(), at)):
        with pytest.raises(ModelError, match=sentence):
            read(path)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """No traceback for a path that leads nowhere."""
    with pytest.raises(ModelError, match=r"nowhere\.safetensors cannot be read"):
        load_delta(network(), tmp_path / "nowhere.safetensors")
