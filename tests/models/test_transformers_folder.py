"""Claims about model folders: what fits is kept, what is missing is refused, nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from frostline.core.errors import ModelError
from frostline.models.sources import load_model
from frostline.models.task_model import PooledClassifier, TaskModel
from frostline.plan.blocks import blocks
from networks import NETWORKS, VOCABULARY, bert_config, save_tokenizer, vit_config
from tiny_bert import save_tiny_bert

PIXELS = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No progress bars from the tests' own saving; no verbosity leaks into other tests."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(verbosity)


def saved(folder: Path, net: nn.Module) -> Path:
    """A text model's folder, with its tokenizer."""
    net.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def saved_image(folder: Path, net: nn.Module, processor: object = None) -> Path:
    net.save_pretrained(folder)
    (processor or transformers.ViTImageProcessorPil(size={"height": 16, "width": 16})).save_pretrained(folder)
    return folder


def load(folder: Path, *, classes: int = 3, seed: int = 0) -> TaskModel:
    return load_model(str(folder), kind="text", classes=classes, seed=seed)


def ask(model: TaskModel, texts: list[str]) -> torch.Tensor:
    """Logits of texts of one length."""
    assert model.tokenize is not None
    ids_BT = torch.tensor(model.tokenize(texts))
    with torch.no_grad():
        return model.logits({"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)})


def test_headless_encoder_gets_mean_pool_and_linear_head(tmp_path: Path) -> None:
    """The answer is a linear layer on the mean of the last hidden state; the pooler is gone."""
    own = transformers.BertModel(bert_config()).eval()
    model = load(saved(tmp_path, own))
    model.module.eval()
    ids_BT = torch.tensor([[2, 5, 6, 3]])
    with torch.no_grad():
        hidden = own(input_ids=ids_BT).last_hidden_state.mean(dim=1)

    assert isinstance(model.module, PooledClassifier)
    assert model.head is model.module.head
    torch.testing.assert_close(ask(model, ["w2 w3"]), model.head(hidden).detach())
    assert not [name for name, _ in model.module.named_parameters() if "pooler" in name]
    assert "has no head" in model.notes[0]


def test_headless_encoder_has_blocks_named_without_prefix(tmp_path: Path) -> None:
    """Plans name `encoder.layer.0` and `head`, whatever the wrapper is called."""
    model = load(saved(tmp_path, transformers.BertModel(bert_config())))
    ids_BT = torch.ones(1, 4, dtype=torch.long)
    found = blocks(model.module, {"input_ids": ids_BT, "attention_mask": ids_BT})

    assert [block.name for block in found] == ["embeddings", "encoder.layer.0", "encoder.layer.1", "head"]


def test_a_pretrained_body_under_another_head_is_found(tmp_path: Path) -> None:
    """A masked language model gives its encoder, bit for bit."""
    own = transformers.BertForMaskedLM(bert_config())
    model = load(saved(tmp_path, own))

    for name, tensor in model.module.backbone.named_parameters():
        assert torch.equal(tensor, own.bert.get_parameter(name))


@pytest.mark.parametrize("make", [transformers.T5Model, transformers.T5EncoderModel])
def test_of_an_encoder_and_a_decoder_the_encoder_is_asked(tmp_path: Path, make: type[nn.Module]) -> None:
    """Texts are classified from what was read, with the encoder's own weights."""
    sizes = {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    own = make(transformers.T5Config(**sizes, decoder_start_token_id=0)).eval()
    model = load(saved(tmp_path, own))
    model.module.eval()
    ids_BT = torch.tensor([[2, 5, 6, 3]])
    with torch.no_grad():
        hidden = own.encoder(input_ids=ids_BT).last_hidden_state.mean(dim=1)

    torch.testing.assert_close(ask(model, ["w2 w3"]), model.head(hidden).detach())
    assert not [name for name, _ in model.module.named_parameters() if "decoder" in name]


def test_a_head_of_the_right_size_is_kept_bit_for_bit(tmp_path: Path) -> None:
    """A classifier for as many classes answers as it did, and no probe may replace its head."""
    own = transformers.BertForSequenceClassification(bert_config(num_labels=3)).eval()
    model = load(saved(tmp_path, own))

    assert model.head is None
    assert torch.equal(model.module.classifier.weight, own.classifier.weight)
    assert torch.equal(model.module.classifier.bias, own.classifier.bias)
    assert "own head of 3 classes is kept" in model.notes[0]


def test_a_head_of_another_size_is_made_afresh_and_said_so(tmp_path: Path) -> None:
    """The body is kept, the head is new, drawn from the study's seed, and the note says why."""
    own = transformers.BertForSequenceClassification(bert_config(num_labels=5))
    folder = saved(tmp_path, own)
    first, again, other = load(folder), load(folder), load(folder, seed=1)

    assert first.head is first.module.classifier
    assert first.head.out_features == 3
    assert "has 5 classes, the data have 3: it got a fresh head" in first.notes[0]
    assert torch.equal(first.module.bert.embeddings.word_embeddings.weight, own.bert.embeddings.word_embeddings.weight)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_a_head_on_the_last_token_finds_the_end_of_a_padded_text(tmp_path: Path) -> None:
    """A generating model without a padding token answers a padded text as it answers it alone."""
    sizes = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, num_labels=3)
    model = load(saved(tmp_path, transformers.GPT2ForSequenceClassification(config)))
    model.module.eval()
    ids_BT = torch.tensor([[7, 8, 9, model.pad_id], [7, 8, 9, 10]])
    with torch.no_grad():
        padded = model.logits({"input_ids": ids_BT, "attention_mask": (ids_BT != model.pad_id).long()})
        alone = model.logits({"input_ids": ids_BT[:1, :3], "attention_mask": torch.ones(1, 3, dtype=torch.long)})

    torch.testing.assert_close(padded[:1], alone)


def test_texts_are_tokenised_without_padding_and_cut(tmp_path: Path) -> None:
    """Special tokens are put around, unknown words are one number, and no text is longer than the model takes."""
    model = load(saved(tmp_path, transformers.BertModel(bert_config())))
    assert model.tokenize is not None

    assert model.tokenize(["w1", "w2 nonsense w3"]) == [[2, 4, 3], [2, 5, 1, 6, 3]]
    assert len(model.tokenize(["w1 " * 500])[0]) == 64
    assert model.pad_id == 0


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    """An empty folder is no model."""
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_config_is_refused(tmp_path: Path, content: str) -> None:
    """The file is named."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json (is not valid JSON|holds no JSON object)"):
        load(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    """Config and tokenizer alone are no model: nothing is drawn at random in its place."""
    (saved(tmp_path, transformers.BertModel(bert_config())) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no weights: model\.safetensors is missing"):
        load(tmp_path)


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    """A .bin file can run code when it is read: the sentence says how to convert it."""
    folder = saved(tmp_path, transformers.BertModel(bert_config()))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"as a pickle \(\.bin\), which can run code"):
        load(folder)


def test_torn_weights_are_refused(tmp_path: Path) -> None:
    """A file that ends early is a sentence, not a traceback."""
    path = saved(tmp_path, transformers.BertModel(bert_config())) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"The weights in .* cannot be loaded"):
        load(tmp_path)


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    """A config that names a model transformers does not know."""
    folder = saved(tmp_path, transformers.BertModel(bert_config()))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nonesuch"}))
    with pytest.raises(ModelError, match=r"cannot be loaded .*nonesuch"):
        load(folder)


@pytest.mark.parametrize("make", [transformers.BertModel, transformers.BertForSequenceClassification])
def test_weights_with_a_gap_are_refused(tmp_path: Path, make: type[nn.Module]) -> None:
    """A layer that the file lacks would be random: the tensor is named instead."""
    path = saved(tmp_path, make(bert_config(num_labels=3))) / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if "layer.1." not in name}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack '.*encoder\.layer\.1\..*' and 15 more"):
        load(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    """Transformers alone would read every word as unknown, and the study would look merely bad."""
    transformers.BertModel(bert_config()).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="holds no tokenizer"):
        load(tmp_path)


def test_weights_beside_a_folder_are_refused(tmp_path: Path) -> None:
    """Two sources of weights are one too many."""
    with pytest.raises(ModelError, match="brings its own weights"):
        load_model(str(tmp_path), kind="text", classes=2, weights=tmp_path / "w.safetensors")


def test_neither_folder_nor_factory_is_refused(tmp_path: Path) -> None:
    """A hub name is not looked up anywhere: nothing is fetched."""
    with pytest.raises(ModelError, match="is neither a folder nor 'module:function'"):
        load_model("bert-base-uncased", kind="text", classes=2)


# ---------------------------------------------------------------- images


def test_an_image_folder_is_prepared_by_its_own_processor(tmp_path: Path) -> None:
    """Images of any size come out as the model wants them, as its processor makes them."""
    processor = transformers.ViTImageProcessorPil(size={"height": 16, "width": 16})
    folder = saved_image(tmp_path, transformers.ViTForImageClassification(vit_config(num_labels=3)), processor)
    model = load_model(str(folder), kind="image", classes=3)
    assert model.pixels is not None
    ready = model.pixels(PIXELS)

    assert torch.equal(ready, processor(images=PIXELS, return_tensors="pt")["pixel_values"][0])
    assert (ready.shape, ready.dtype) == ((3, 16, 16), torch.float32)
    assert model.head is None
    with torch.no_grad():
        assert model.logits({"pixel_values": ready[None]}).shape == (1, 3)


@pytest.mark.parametrize("name", ["vit", "resnet", "convnext", "swin"])
def test_headless_image_encoders_get_a_head(tmp_path: Path, name: str) -> None:
    """Token sequences and feature maps are pooled over positions to the size that the head takes."""
    folder = saved_image(tmp_path, getattr(NETWORKS[name][0](), name))
    model = load_model(str(folder), kind="image", classes=4)
    assert model.pixels is not None
    with torch.no_grad():
        logits_BC = model.logits({"pixel_values": torch.stack([model.pixels(PIXELS)] * 2)})

    assert logits_BC.shape == (2, 4)
    assert model.head is not None


@pytest.mark.parametrize(
    "processor",
    [
        transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}),
        transformers.ConvNextImageProcessorPil(size={"shortest_edge": 16}),
        transformers.CLIPImageProcessorPil(),
        transformers.DeiTImageProcessorPil(),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_image_size_makes_squares_with_every_kind_of_processor(tmp_path: Path, processor: object) -> None:
    """--image-size overrides edge, shortest edge and crop alike."""
    folder = saved_image(tmp_path, transformers.ResNetModel(transformers.ResNetConfig()), processor)
    model = load_model(str(folder), kind="image", classes=2, image_size=24)
    assert model.pixels is not None

    assert model.pixels(PIXELS).shape == (3, 24, 24)


@pytest.mark.parametrize(("kind", "missing"), [("image", "preprocessor_config.json"), ("text", "tokenizer")])
def test_a_folder_for_other_data_is_refused(tmp_path: Path, kind: str, missing: str) -> None:
    """Images to a text model, texts to an image model: the sentence says what the folder lacks."""
    if kind == "image":
        saved(tmp_path, transformers.BertModel(bert_config()))
    else:
        saved_image(tmp_path, transformers.ViTModel(vit_config()))
    with pytest.raises(ModelError, match=f"holds no {missing}"):
        load_model(str(tmp_path), kind=kind, classes=2)  # type: ignore[arg-type]


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """A token that the embedding does not hold is named before it can end a run."""
    folder = save_tiny_bert(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 5}))
    weights = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    save_file(weights | {name: weights[name][:5].clone()}, folder / "model.safetensors", metadata={"format": "pt"})
    model = load(folder)

    assert model.tokenize is not None
    with pytest.raises(ModelError, match="knows only 5"):
        model.tokenize(["free win prize call hello lunch"])


def test_texts_beyond_the_models_places_are_cut(tmp_path: Path) -> None:
    """A model of 64 places reads 64 tokens, whatever the tokenizer would allow, and the cut is known."""
    model = load(save_tiny_bert(tmp_path / "bert"))

    assert model.tokenize is not None and model.most_tokens == 64
    assert len(model.tokenize(["free " * 100])[0]) == 64
