"""Claims about original heads: what is stored answers as it did, what would be random is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from frostline.core.errors import ModelError
from frostline.demos import resnet
from frostline.models.original import load_original, output_labels, with_backbone_of
from frostline.models.sources import Kind, load_model
from frostline.plan.apply import freeze
from networks import bert_config, save_tokenizer, vit_config
from tiny_bert import save_tiny_bert

RESNET = "frostline.demos.resnet:resnet20"
NAMES = ("anger", "joy", "fear", "none")

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, scale=1):
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, classes)
        self.register_buffer("scale", torch.tensor(float(scale)))
        self.register_buffer("table", torch.ones(2), persistent=False)
    def forward(self, features):
        return self.head(self.scale * self.body(features))

def net(num_classes): return Net(num_classes)
def trained():
    torch.manual_seed(7)
    return Net(5)
def untrained(): return Net(5)
def endless(num_classes): return nn.Sequential(nn.Conv1d(3, num_classes, 1))
"""


@pytest.fixture(autouse=True)
def beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a folder that holds the user's module; transformers' verbosity does not leak."""
    (tmp_path / "old_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(verbosity)
    sys.modules.pop("old_nets", None)


def saved(folder: Path, net: nn.Module) -> str:
    """A text model's folder, with its tokenizer."""
    net.save_pretrained(folder)
    save_tokenizer(folder)
    return str(folder)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The demo network as it was trained on ten classes, every tensor of it in a file."""
    save_file(resnet.cifar10_resnet20().state_dict(), tmp_path / "cifar10.safetensors")
    return tmp_path / "cifar10.safetensors"


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(module: nn.Module) -> dict[str, Tensor]:
    """Stands in for fine-tuning: every parameter and every float buffer is another one. Returns the new state."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor += 1
    return state_of(module)


# ---------------------------------------------------------------- folders


def test_a_folder_gives_the_classifier_it_holds(tmp_path: Path) -> None:
    """Every tensor is the stored one, the classes are its own, and nothing may replace the head."""
    own = transformers.BertForSequenceClassification(bert_config(num_labels=4)).eval()
    original = load_original(saved(tmp_path / "old", own), kind="text")

    assert (original.classes, original.head) == (4, None)
    assert all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in original.module.state_dict().items())


@pytest.mark.parametrize("named", [True, False])
def test_outputs_are_called_what_the_folder_calls_them(tmp_path: Path, named: bool) -> None:
    """`id2label` in the order of the outputs; the names that transformers makes up are none."""
    labels = {"id2label": dict(enumerate(NAMES)), "label2id": {name: n for n, name in enumerate(NAMES)}}
    own = transformers.BertForSequenceClassification(bert_config(**(labels if named else {"num_labels": 4})))
    original = load_original(saved(tmp_path / "old", own), kind="text")

    assert output_labels(original) == (NAMES if named else None)


def test_an_image_folder_gives_its_classifier(tmp_path: Path) -> None:
    """Its processor comes along."""
    own = transformers.ViTForImageClassification(vit_config(num_labels=6))
    own.save_pretrained(tmp_path / "old")
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "old")
    original = load_original(str(tmp_path / "old"), kind="image")

    assert original.classes == 6
    assert original.pixels is not None
    assert torch.equal(original.module.classifier.weight, own.classifier.weight)


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    """An encoder was never asked for classes, so there is nothing it could forget."""
    with pytest.raises(ModelError, match=r"no original head .*cannot be measured.* leave out --old-data"):
        load_original(str(save_tiny_bert(tmp_path / "bert")), kind="text")


def test_a_classifier_whose_head_is_not_stored_is_refused(tmp_path: Path) -> None:
    """A head that config.json promises and the weights lack would be random."""
    folder = saved(tmp_path / "old", transformers.BertForSequenceClassification(bert_config(num_labels=4)))
    path = tmp_path / "old" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("classifier")}
    save_file(kept, path, metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"lack 'classifier\.bias' and 1 more"):
        load_original(folder, kind="text")


@pytest.mark.parametrize("content", [None, "{", '{"model_type": "nonesuch"}'])
def test_a_broken_folder_has_the_sentence_it_always_has(tmp_path: Path, content: str | None) -> None:
    """Asking for the original head says the same as asking for a new one."""
    folder = tmp_path / "old"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(ModelError) as here:
        load_original(str(folder), kind="text")
    with pytest.raises(ModelError) as there:
        load_model(str(folder), kind="text", classes=2)

    assert str(here.value) == str(there.value)


# ---------------------------------------------------------------- factories


def test_a_weights_file_gives_the_head_it_holds(weights: Path) -> None:
    """The demo network with its weights file is the network as it was trained on ten classes."""
    original = load_original(RESNET, kind="image", weights=weights)
    pixels = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        answers = original.module.eval()(pixels), resnet.cifar10_resnet20().eval()(pixels)

    assert (original.classes, original.head) == (10, None)
    assert torch.equal(*answers)
    assert output_labels(original) is None


def test_a_function_that_always_returns_one_network_needs_no_file() -> None:
    """The demo network has such a function beside the one that makes a head of any size."""
    original = load_original("frostline.demos.resnet:cifar10_resnet20", kind="image")

    assert (original.classes, original.head) == (10, None)
    assert torch.equal(original.module.linear.weight, load_file(resnet.WEIGHTS)["linear.weight"])


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        (RESNET, "image", r"makes its head anew.*--weights, or leave out --old-data"),
        ("old_nets:net", "table", "makes its head anew"),
        ("old_nets:untrained", "table", "makes its head anew"),
        ("old_nets:endless", "table", "has no linear layer"),
        ("bert-base-uncased", "text", "is neither a folder nor 'module:function'"),
    ],
)
def test_a_head_that_was_never_trained_is_refused(name: str, kind: Kind, said: str) -> None:
    """One of any size asked for, one of other numbers every time, none at all; a hub name is not looked up."""
    with pytest.raises(ModelError, match=said):
        load_original(name, kind=kind, features=3)


@pytest.mark.parametrize(("name", "shape"), [("trained", (9, 4)), ("net", (5, 7))])
def test_a_file_whose_head_does_not_fit_is_refused(tmp_path: Path, name: str, shape: tuple[int, int]) -> None:
    """A network of one size and a file of another, in classes or in features: the head would be left at random."""
    head = {"head.weight": torch.ones(shape), "head.bias": torch.ones(shape[0])}
    path = tmp_path / "other.safetensors"
    save_file({"body.weight": torch.ones(4, 3), "body.bias": torch.ones(4), "scale": torch.ones(())} | head, path)

    with pytest.raises(ModelError, match=r"the head of .*other\.safetensors does not fit it"):
        load_original(f"old_nets:{name}", kind="table", weights=path)


def test_weights_that_cannot_be_read_have_the_sentence_they_always_have(tmp_path: Path) -> None:
    """A torn file and one of another network are named as in any study."""
    torn, foreign = tmp_path / "torn.safetensors", tmp_path / "foreign.safetensors"
    torn.write_bytes(resnet.WEIGHTS.read_bytes()[:500])
    save_file({"linear.weight": torch.ones(10, 64)}, foreign)

    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        load_original(RESNET, kind="image", weights=torn)
    with pytest.raises(ModelError, match="does not fit the model"):
        load_original(RESNET, kind="image", weights=foreign)


# ---------------------------------------------------------------- the tuned backbone under the original head


@pytest.mark.parametrize("classes", [3, 10])
def test_all_but_the_head_is_that_of_the_tuned_network(weights: Path, classes: int) -> None:
    """Weights and running statistics are the tuned ones bit for bit; a new head of the same size replaces nothing."""
    original = load_original(RESNET, kind="image", weights=weights)
    tuned = load_model(RESNET, kind="image", classes=classes, weights=weights)
    before, after = state_of(original.module), moved(tuned.module)
    with_backbone_of(original, tuned.module, tuned.head)

    for name, tensor in original.module.state_dict().items():
        assert torch.equal(tensor, (before if name.startswith("linear.") else after)[name])
    assert torch.equal(original.module.mean, tuned.module.mean)
    assert all(torch.equal(tensor, after[name]) for name, tensor in tuned.module.state_dict().items())


@pytest.mark.parametrize("classes", [4, 3])
def test_a_folder_fine_tuned_for_other_classes_fits(tmp_path: Path, classes: int) -> None:
    """Whether its head was kept or made afresh; frozen parts are held and still give their tensors."""
    folder = saved(tmp_path / "old", transformers.BertForSequenceClassification(bert_config(num_labels=4)))
    original, tuned = load_original(folder, kind="text"), load_model(folder, kind="text", classes=classes)
    assert (tuned.head is None) == (classes == 4)
    head = original.module.classifier.weight.clone()
    freeze(tuned.module, "bert.embeddings")
    moved(tuned.module.bert.encoder)
    with_backbone_of(original, tuned.module, tuned.head)

    assert torch.equal(original.module.classifier.weight, head)
    for name, tensor in original.module.bert.state_dict().items():
        assert torch.equal(tensor, tuned.module.bert.state_dict()[name])


def test_a_buffer_that_is_never_saved_needs_no_partner() -> None:
    """A table that a network makes for itself on its first call does not stand in the way."""
    original = load_original("old_nets:trained", kind="table")
    tuned = load_original("old_nets:trained", kind="table").module
    tuned.register_buffer("made", torch.ones(3), persistent=False)
    tuned.table = torch.zeros(5)
    moved(tuned)
    with_backbone_of(original, tuned, None)

    assert torch.equal(original.module.scale, tuned.scale)
    assert original.module.table.tolist() == [1, 1]


@pytest.mark.parametrize("fault", ["missing", "extra", "misshapen", "buffer", "wrapped"])
def test_a_backbone_that_does_not_match_is_refused_and_nothing_is_copied(fault: str) -> None:
    """A tensor without a partner would leave a mixture of two networks to be measured."""
    original = load_original("old_nets:trained", kind="table")
    tuned: nn.Module = load_original("old_nets:trained", kind="table").module
    if fault == "missing":
        tuned.body.register_parameter("bias", None)
    if fault == "extra":
        tuned.register_module("adapter", nn.Linear(2, 2))
    if fault == "misshapen":
        tuned.register_module("body", nn.Linear(9, 4))
    if fault == "buffer":
        tuned.register_buffer("scale", torch.ones(4))
    moved(tuned)
    if fault == "wrapped":
        tuned = nn.Sequential(tuned)
    before = state_of(original.module)

    with pytest.raises(ModelError, match=r"(one of them only|no tensor matches).* leave out --old-data"):
        with_backbone_of(original, tuned, None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in original.module.state_dict().items())
