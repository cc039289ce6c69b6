"""The model of a finished study as files that others can load, with its model card.

A folder appears whole or not at all: it is made beside its place, read back, and only then put there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from frostline.core.errors import StudyError
from frostline.core.records import Candidate, StudyRecord
from frostline.core.settings import Settings, read_settings
from frostline.core.study_folder import StudyFolder, read_record
from frostline.exporting.notes import delta_notes, factory_notes, own_head_notes, pooled_notes
from frostline.judge.asked import judge_as_asked
from frostline.models.task_model import PooledClassifier
from frostline.report.card import render_card
from frostline.result import load_chosen

DELTA, WEIGHTS, HEAD = "delta.safetensors", "weights.safetensors", "head.safetensors"

_BESIDE_WEIGHTS = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "preprocessor_config.json",
)
"""What a transformers folder holds to prepare inputs. Python files are not among them: no code is handed on."""


def export_study(study: Path, out: Path, *, delta: bool = False) -> tuple[str, ...]:
    """Write the chosen model of a finished study into a new folder.

    Args:
        study: Folder of the study.
        out: Folder to make; it may exist when it is empty.
        delta: Only what was trained, bound to the base model by hash, instead of the full model.

    Returns:
        Names of the files written.

    Raises:
        StudyError: There is no finished study, `out` holds files, or the full network cannot be written in a form
            that others load.
        ModelError: The base model is no longer where it was.
    """
    _refuse_full(out)
    record, settings = read_record(study), read_settings(StudyFolder(study).settings)
    with _appearing(out) as part:
        notes = _write_delta(study, record, settings, part) if delta else _write_full(study, record, settings, part)
        (part / "README.md").write_text(notes, encoding="utf-8")
        card = render_card(record, judge_as_asked(record, settings))
        (part / "card.md").write_text(card, encoding="utf-8")
        return tuple(sorted(file.name for file in part.iterdir()))


def _refuse_full(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StudyError(f"{out} is a file, and a folder is to be written there. Name a new folder.")
    if out.is_dir() and any(out.iterdir()):
        raise StudyError(f"{out} holds files already, and an export never mixes with others. Name a new folder.")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
        part = Path(place) / target.name
        part.mkdir()
        yield part
        # Renaming onto an empty folder replaces it.
        part.replace(target)


def _write_delta(study: Path, record: StudyRecord, settings: Settings, part: Path) -> str:
    weights = StudyFolder(study).chosen_weights
    if not weights.is_file():
        raise StudyError(f"{weights} is missing, so there is nothing to export. Run the study again.")
    copyfile(weights, part / DELTA)
    return delta_notes(record, settings, study)


def _write_full(study: Path, record: StudyRecord, settings: Settings, part: Path) -> str:
    chosen = record.candidate(record.choice.candidate)
    _refuse_unusual(chosen)
    module = load_chosen(study, record)
    if not Path(settings.model).is_dir():
        _save_state(module, part / WEIGHTS)
        return factory_notes(record, settings)
    _copy_beside(Path(settings.model), part)
    if isinstance(module, PooledClassifier):
        return _save_pooled(module, record, settings, part)
    return _save_pretrained(module, record, settings, part)


def _refuse_unusual(chosen: Candidate) -> None:
    if chosen.spared == "adapters":
        what = "holds adapters beside its layers"
    elif chosen.ends_after:
        what = f"ends after {chosen.ends_after}, and the blocks behind it are dropped"
    else:
        return
    raise StudyError(
        f"The chosen network, {chosen.id}, {what}: no other tool would build it from exported weights. Export what "
        "was trained with --delta, or take the network from Python: StudyResult.model()."
    )


def _save_state(module: nn.Module, path: Path) -> None:
    # Clones, since safetensors refuses tensors that share memory (tied weights).
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, path)
    _check_same(state, load_file(path), path)


def _copy_beside(base: Path, part: Path) -> None:
    for file in {file for pattern in _BESIDE_WEIGHTS for file in base.glob(pattern) if file.is_file()}:
        if file.suffix not in (".py", ".safetensors", ".bin"):
            copyfile(file, part / file.name)


def _save_pretrained(module: Any, record: StudyRecord, settings: Settings, part: Path) -> str:
    labels = record.data.task.labels
    module.config.id2label = dict(enumerate(labels))
    module.config.label2id = {label: number for number, label in enumerate(labels)}
    _save_quietly(module, part)
    _check_same(module.state_dict(), _read_back(type(module), part).state_dict(), part)
    return own_head_notes(record, settings, module)


def _save_pooled(module: PooledClassifier, record: StudyRecord, settings: Settings, part: Path) -> str:
    from transformers import AutoModel

    backbone: Any = module.backbone
    _save_quietly(backbone, part)
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in module.head.state_dict().items()}, part / HEAD
    )
    _check_same(backbone.state_dict(), _read_back(AutoModel, part).state_dict(), part)
    return pooled_notes(record, settings, backbone)


def _save_quietly(module: Any, part: Path) -> None:
    # transformers draws a progress bar even where its progress bars are switched off.
    with redirect_stderr(StringIO()):
        module.save_pretrained(part)


def _read_back(kind: Any, part: Path) -> nn.Module:
    try:
        module: nn.Module = kind.from_pretrained(part, local_files_only=True, use_safetensors=True)
    except Exception as error:  # transformers raises anything
        raise StudyError(
            f"What transformers saved of the chosen network cannot be loaded again ({error}). Export what was trained "
            "with --delta, or take the network from Python: StudyResult.model()."
        ) from error
    return module


def _check_same(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], place: Path) -> None:
    """What was written says the same, bit for bit; what a loader adds (an unused pooler) does not matter."""
    for name, tensor in wanted.items():
        other = found.get(name)
        if other is None or other.dtype != tensor.dtype or not torch.equal(_bits(other), _bits(tensor)):
            raise StudyError(
                f"The exported tensor {name!r} in {place.name} is not read back as it is in the study. Export what was "
                "trained with --delta, or take the network from Python: StudyResult.model()."
            )


def _bits(tensor: Tensor) -> Tensor:
    # A value that is not a number is not equal to itself; its bytes are.
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
