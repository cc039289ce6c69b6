"""Claims about LoRA: the twin begins as the model, its base never moves, and its adapters can be saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.errors import ModelError
from frostline.models.task_model import PooledClassifier, TaskModel
from frostline.plan import adapters
from frostline.plan.adapters import lora_missing, with_lora
from frostline.plan.delta import load_delta, save_delta
from frostline.plan.proof import Seal
from networks import NETWORKS, VOCABULARY, NormedCnn, RootToken, bag_model, vit_config

pytest.importorskip("peft")


def of(
    make: Callable[[], nn.Module], head: str, example: Mapping[str, Tensor], *, by_keyword: bool = True
) -> TaskModel:
    torch.manual_seed(0)
    net = make().eval()
    return replace(bag_model(), module=net, head=net.get_submodule(head), by_keyword=by_keyword)


IDS = torch.arange(4 * 6).reshape(4, 6) % VOCABULARY
TOKENS = {"input_ids": IDS, "attention_mask": (IDS % 5 < 4).long()}
IMAGES = {"pixel_values": torch.linspace(-1, 1, 4 * 3 * 16 * 16).reshape(4, 3, 16, 16)}
LABELS = torch.tensor([0, 1, 1, 0])

MODELS: dict[str, tuple[Callable[[], nn.Module], str, Mapping[str, Tensor], bool]] = {
    "bert": (lambda: PooledClassifier(NETWORKS["bert"][0](), 16, 2), "head", TOKENS, True),
    "distilbert": (NETWORKS["distilbert"][0], "classifier", TOKENS, True),
    "gpt2": (
        lambda: PooledClassifier(transformers.GPT2Model(NETWORKS["gpt2, tied head"][0]().config), 16, 2),
        "head",
        TOKENS,
        True,
    ),
    "vit": (lambda: transformers.ViTForImageClassification(vit_config()), "classifier", IMAGES, True),
    "bag of tokens": (NETWORKS["bag of tokens"][0], "head", TOKENS, False),
    "torch's own layers": (RootToken, "head", {"x": torch.randn(4, 3, 4)}, False),
}


def made(name: str) -> tuple[TaskModel, Mapping[str, Tensor]]:
    make, head, batch, by_keyword = MODELS[name]
    return of(make, head, batch, by_keyword=by_keyword), batch


def answer(model: TaskModel, batch: Mapping[str, Tensor]) -> Tensor:
    model.module.eval()
    with torch.no_grad():
        return model.logits(batch)


def train(model: TaskModel, batch: Mapping[str, Tensor], steps: int = 3) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW((p for p in model.module.parameters() if p.requires_grad), lr=0.05)
    for _ in range(steps):
        model.module.train()
        functional.cross_entropy(model.logits(batch), LABELS).backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


@pytest.mark.parametrize("name", MODELS)
def test_before_training_the_twin_answers_as_the_model(name: str) -> None:
    """Bit for bit, and the model itself is left as it was."""
    model, batch = made(name)
    before = {key: tensor.clone() for key, tensor in model.module.state_dict().items()}
    expected_BC = answer(model, batch)
    twin = with_lora(model, seed=0)

    assert torch.equal(answer(twin, batch), expected_BC)
    assert torch.equal(answer(model, batch), expected_BC)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.module.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.module.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_training_moves_adapters_and_head_and_nothing_else(name: str) -> None:
    """Three steps: both factors of every adapter move, the base keeps its bits, and no optimizer holds it."""
    model, batch = made(name)
    twin = with_lora(model, seed=0)
    seal, before = Seal.of(twin.module), {n: t.clone() for n, t in twin.module.state_dict().items()}
    first_BC = answer(twin, batch)
    optimizer = train(twin, batch)
    proof = seal.compare(twin.module, optimizer)
    moved = {n for n, t in twin.module.state_dict().items() if not torch.equal(t, before[n])}
    head = next(n for n, part in twin.module.named_modules() if part is twin.head)

    assert (proof.changed, proof.optimizer_holds, proof.training_mode) == ((), (), ())
    assert moved == {n for n in before if "lora_" in n} | {f"{head}.weight", f"{head}.bias"}
    assert not torch.equal(answer(twin, batch), first_BC)
    base = {n.replace(".base_layer", ""): t for n, t in twin.module.state_dict().items() if "lora_" not in n}
    own = model.module.state_dict()
    assert base.keys() == own.keys()
    assert all(torch.equal(base[n], own[n]) for n in own if not n.startswith(head))


@pytest.mark.parametrize("name", ["bert", "gpt2", "bag of tokens", "torch's own layers"])
def test_every_adapter_is_heard(name: str) -> None:
    """Each one alone changes the answer in evaluation: no network reads the weight past it."""
    model, batch = made(name)
    twin = with_lora(model, seed=0)
    expected_BC = answer(twin, batch)
    for key, parameter in twin.module.named_parameters():
        if "lora_B" in key:
            with torch.no_grad():
                parameter.fill_(0.5)
                assert not torch.equal(answer(twin, batch), expected_BC), key
                parameter.zero_()
    assert torch.equal(answer(twin, batch), expected_BC)


def test_the_seal_sees_a_base_that_moves() -> None:
    """The planted fault: an adapter merged into its layer by hand."""
    twin = with_lora(made("bert")[0], seed=0)
    seal = Seal.of(twin.module)
    layer = twin.module.backbone.encoder.layer[0].attention.self.query
    with torch.no_grad():
        layer.base_layer.weight.add_(1)

    assert seal.compare(twin.module).changed == ("backbone.encoder.layer.0.attention.self.query.base_layer.weight",)


def test_what_is_frozen_is_inert() -> None:
    """In training mode, dropout of 0.1 all over, the twin's untrained backbone answers the same twice."""
    model, batch = made("bert")
    model.module.train()
    twin = with_lora(model, seed=0).module.train()

    assert torch.equal(twin(**batch), twin(**batch))
    assert not torch.equal(model.logits(batch), model.logits(batch))


@pytest.mark.parametrize("name", ["bert", "bag of tokens"])
def test_a_delta_goes_into_a_fresh_twin(name: str, tmp_path: Path) -> None:
    """Adapters and head are saved without the base, and loaded into a twin of another seed: the same answers."""
    model, batch = made(name)
    twin = with_lora(model, seed=0)
    train(twin, batch)
    path = save_delta(twin.module, tmp_path / "lora.safetensors")
    fresh = with_lora(model, seed=1)
    assert not torch.equal(answer(fresh, batch), answer(twin, batch))
    delta = load_delta(fresh.module, path)

    assert torch.equal(answer(fresh, batch), answer(twin, batch))
    assert all("lora_" in key or "head" in key for key in delta.trained)


def test_seeds_decide_the_adapters_and_disturb_no_one() -> None:
    """The same seed gives the same adapters, another one others; the global generator is left alone."""
    model, _ = made("bert")
    state = torch.get_rng_state()
    one, same, other = (with_lora(model, seed=seed).module.state_dict() for seed in (0, 0, 1))

    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def adapted(model: TaskModel) -> set[str]:
    return {name.partition(".lora_")[0] for name, _ in model.module.named_parameters() if ".lora_A" in name}


def test_targets_are_those_of_the_kind_of_network_or_all_but_the_head() -> None:
    """BERT's query and value, as peft has it; of an unknown network every linear layer; or those named."""
    bert, bag = made("bert")[0], made("bag of tokens")[0]
    attention = "backbone.encoder.layer.{}.attention.self.{}"

    assert adapted(with_lora(bert, seed=0)) == {attention.format(n, p) for n in (0, 1) for p in ("query", "value")}
    assert adapted(with_lora(bag, seed=0)) == {"first.0", "second.0"}
    assert adapted(with_lora(bert, targets=["0.attention.self.key"], seed=0)) == {attention.format(0, "key")}


def test_rank_and_count_are_as_asked() -> None:
    """Two factors of the rank beside each layer; the notes say so."""
    twin = with_lora(made("bert")[0], rank=3, seed=0)
    numbers = sum(p.numel() for n, p in twin.module.named_parameters() if "lora_" in n)

    assert numbers == 4 * 3 * (16 + 16)
    assert "LoRA adapters of rank 3 beside 4 linear layers; all else is frozen." in twin.notes


def test_bad_requests_get_a_sentence() -> None:
    """A network of convolutions, a rank of zero, a layer that is not there, no layer at all."""
    cnn = replace(bag_model(classes=3), module=(net := NormedCnn()), head=net.fc)
    with pytest.raises(ModelError, match="NormedCnn has no linear layer besides its head"):
        with_lora(cnn, seed=0)
    bert, _ = made("bert")
    with pytest.raises(ModelError, match="at least 1"):
        with_lora(bert, rank=0, seed=0)
    with pytest.raises(ModelError, match=r"'querry', but .* Did you mean 'query'\?"):
        with_lora(bert, targets=["querry"], seed=0)
    with pytest.raises(ModelError, match="empty list"):
        with_lora(bert, targets=[], seed=0)


def test_without_peft_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the command; with it, nothing is missing."""
    assert lora_missing() is None
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)

    assert "pip install 'frostline[hf]'" in str(lora_missing())
    with pytest.raises(ModelError, match="needs the package peft"):
        with_lora(bag_model(), seed=0)
