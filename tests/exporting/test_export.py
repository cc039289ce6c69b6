"""Claims about exports: what is loaded from one answers as the study's model does, bit for bit."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

import frostline as fl
from builders import make_study
from factories import WORDS, write_images, write_messages
from frostline.cli.app import main
from frostline.core.errors import ModelError, StudyError
from frostline.core.settings import Settings
from frostline.core.study_folder import StudyFolder, keep_record
from frostline.exporting.write import export_study
from tiny_bert import save_tiny_bert

LEARNS, BARELY_LEARNS = 1e-2, 1e-7
"""The second leaves all plans equal, so that the cheapest one is chosen: the one that freezes most."""
EITHER = pytest.mark.parametrize(("rate", "rows", "epochs"), [(LEARNS, 400, 2), (BARELY_LEARNS, 300, 1)])
IDS = torch.tensor([[2, 3, 4, 5], [6, 7, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def ask(folder: Path, model: str, data: Path, rate: float, **settings: Any) -> fl.StudyResult:
    asked = {"budget": "all", "epochs": 1, "learning_rate": rate, "activations": "off", **settings}
    return fl.Study(model=model, data=data, out=folder / "study", **asked).run()


def save_bert_with_head(folder: Path) -> Path:
    """A classifier of two classes, with the tokenizer of the tiny one."""
    config = BertConfig.from_pretrained(save_tiny_bert(folder))
    config.num_labels = 2
    torch.manual_seed(1)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def loaded_as_told(out: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the Python lines of the export's README give, run in the folder of the export."""
    (lines,) = re.findall(r"^```python\n(.*?)^```", (out / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(out)
    names: dict[str, Any] = {}
    exec(lines, names)
    return names["model"]


@EITHER
def test_a_backbone_with_a_new_head(
    rate: float, rows: int, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that got a head is exported as backbone and head; its README's lines give the same logits."""
    base = save_tiny_bert(tmp_path / "bert")
    result = ask(tmp_path, str(base), write_messages(tmp_path / "messages.csv", rows=rows), rate, epochs=epochs)
    assert bool(result.chosen.frozen) == (rate == BARELY_LEARNS)

    files = export_study(result.folder, tmp_path / "out")
    model = loaded_as_told(tmp_path / "out", monkeypatch)

    assert {"config.json", "model.safetensors", "head.safetensors", "tokenizer.json", "card.md"} <= set(files)
    with torch.inference_mode():
        expected = result.model()(input_ids=IDS, attention_mask=MASK)
        assert torch.equal(model(input_ids=IDS, attention_mask=MASK), expected)


@EITHER
def test_a_transformers_classifier(
    rate: float, rows: int, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model with its own head is exported as transformers saves it, with the labels and the tokenizer."""
    base = save_bert_with_head(tmp_path / "bert")
    result = ask(tmp_path, str(base), write_messages(tmp_path / "messages.csv", rows=rows), rate, epochs=epochs)

    export_study(result.folder, tmp_path / "out")
    model = loaded_as_told(tmp_path / "out", monkeypatch)

    with torch.inference_mode():
        expected = result.model()(input_ids=IDS, attention_mask=MASK).logits
        assert torch.equal(model(input_ids=IDS, attention_mask=MASK).logits, expected)
    assert model.config.id2label == {0: "ham", 1: "spam"}
    words = " ".join(WORDS)
    assert AutoTokenizer.from_pretrained(tmp_path / "out")(words) == AutoTokenizer.from_pretrained(base)(words)


def test_a_factory_with_norm_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights of a convolutional network are exported, running statistics and head among them."""
    result = ask(tmp_path, "factories:tiny_image", write_images(tmp_path / "images"), LEARNS)
    expected = result.model()

    export_study(result.folder, tmp_path / "out")
    model = loaded_as_told(tmp_path / "out", monkeypatch)

    state = load_file(tmp_path / "out" / "weights.safetensors")
    assert {"stem.1.running_mean", "stem.1.running_var", "head.weight"} <= state.keys() == expected.state_dict().keys()
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(model(images), expected(images))


def test_a_delta_goes_onto_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained tensors alone give the same answers on the base model, by the lines of the README."""
    base = save_tiny_bert(tmp_path / "bert")
    result = ask(tmp_path, str(base), write_messages(tmp_path / "messages.csv", rows=300), BARELY_LEARNS)

    files = export_study(result.folder, tmp_path / "out", delta=True)
    model = loaded_as_told(tmp_path / "out", monkeypatch)

    assert files == ("README.md", "card.md", "delta.safetensors")
    with torch.inference_mode():
        expected = result.model()(input_ids=IDS, attention_mask=MASK)
        assert torch.equal(model.eval()(input_ids=IDS, attention_mask=MASK), expected)


def test_a_delta_refuses_another_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One changed number in a frozen tensor of the base, and the README's lines end in a sentence."""
    base = save_tiny_bert(tmp_path / "bert")
    result = ask(tmp_path, str(base), write_messages(tmp_path / "messages.csv", rows=300), BARELY_LEARNS)
    export_study(result.folder, tmp_path / "out", delta=True)
    tensors = load_file(base / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"][3, 0] += 1
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"another base model.*word_embeddings"):
        loaded_as_told(tmp_path / "out", monkeypatch)


def test_a_threshold_is_handed_on(tmp_path: Path) -> None:
    """A study with an aim tells its threshold, to the last digit: without it the answers would be others."""
    result = ask(tmp_path, "factories:tiny_text", write_messages(tmp_path / "messages.csv", rows=300), LEARNS, aim="f1")

    export_study(result.folder, tmp_path / "out")

    assert repr(result.record.thresholds[result.chosen.id].at) in (tmp_path / "out" / "README.md").read_text()


def test_what_others_cannot_build_is_refused(tmp_path: Path) -> None:
    """A network that ends early is no plain network: a sentence, no folder, and the delta is still to be had."""
    data = write_messages(tmp_path / "messages.csv", rows=300)
    result = ask(tmp_path, "factories:tiny_text", data, BARELY_LEARNS, plans="probes")
    assert result.chosen.ends_after

    with pytest.raises(StudyError, match=r"ends after .* --delta"):
        export_study(result.folder, tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["messages.csv", "study"]
    assert "delta.safetensors" in export_study(result.folder, tmp_path / "out", delta=True)


@pytest.mark.parametrize("kind", ["file", "full folder"])
def test_nothing_is_overwritten(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """OUT that holds anything is refused with exit code 2, and stays as it was."""
    out = tmp_path / "out"
    kept = out if kind == "file" else out / "mine.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    monkeypatch.setattr(sys, "argv", ["frostline", "export", str(tmp_path / "study"), str(out)])

    with pytest.raises(SystemExit) as exit:
        main()

    assert exit.value.code == 2
    assert "Name a new folder" in capsys.readouterr().err
    assert kept.read_text() == "mine"


def test_a_base_model_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    """An export that fails on the way leaves no folder, neither whole nor half."""
    folder = StudyFolder(tmp_path / "study")
    with folder.opened(Settings(model="gone:model", data="messages.csv"), resume=False) as ledger:
        keep_record(ledger, make_study())

    with pytest.raises(ModelError, match="no Python module 'gone'"):
        export_study(folder.path, tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_the_page_shows_what_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands and the Python lines of docs/exporting.md run, one after the other."""
    page = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ frostline (.+)$", page, flags=re.MULTILINE)
    (lines,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    save_tiny_bert(Path("minilm"))
    data = write_messages(Path("messages.csv"), rows=300)
    result = fl.Study(
        model="./minilm", data=data, out="studies/spam", budget="all", epochs=1, learning_rate=BARELY_LEARNS
    ).run()

    for command in commands:
        monkeypatch.setattr(sys, "argv", ["frostline", *command.split()])
        with pytest.raises(SystemExit) as exit:
            main()
        assert exit.value.code in (0, None)
    names: dict[str, Any] = {}
    exec(lines, names)

    assert len(commands) == 2
    with torch.inference_mode():
        expected = result.model()(input_ids=IDS, attention_mask=MASK)
        assert torch.equal(names["model"](input_ids=IDS, attention_mask=MASK), expected)
