"""`README.md` of an export: how to load it, how inputs were prepared, and how an answer is read off."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from frostline.core.records import StudyRecord
from frostline.core.settings import Settings
from frostline.models.transformers_folder import MOST_TOKENS
from frostline.report.markdown import escaped, items

_TASKS = {"text": "SequenceClassification", "image": "ImageClassification"}


def own_head_notes(record: StudyRecord, settings: Settings, network: Any) -> str:
    """Of a network that transformers builds by itself."""
    auto = f"AutoModelFor{_TASKS[record.data.kind]}"
    loading = (
        "from pathlib import Path",
        "",
        f"from transformers import {auto}",
        "",
        "here = Path.cwd()  # this folder",
        f"model = {auto}.from_pretrained(here, local_files_only=True)",
        "model.eval()",
    )
    return _notes(
        record,
        "The whole network as transformers saves it, with its configuration and what prepares its inputs. The labels "
        "stand in `config.json`.",
        loading,
        (*_transformers_inputs(record, settings, network.config), _answer(record)),
    )


def pooled_notes(record: StudyRecord, settings: Settings, backbone: Any) -> str:
    """Of an encoder that got a mean over its tokens and a linear layer."""
    loading = (
        "from pathlib import Path",
        "",
        "import torch",
        "from safetensors.torch import load_file",
        "from transformers import AutoModel",
        "",
        "here = Path.cwd()  # this folder",
        "backbone = AutoModel.from_pretrained(here, local_files_only=True).eval()",
        'head = load_file(here / "head.safetensors")',
        "",
        "",
        "@torch.inference_mode()",
        "def model(**inputs):",
        "    hidden = backbone(**inputs).last_hidden_state",
        *_pooling(record),
        '    return torch.nn.functional.linear(pooled, head["weight"], head["bias"])',
    )
    return _notes(
        record,
        "The backbone as transformers saves it, with its configuration and what prepares its inputs, and beside it "
        "`head.safetensors`: a linear layer on the mean over the backbone's outputs. Where transformers adds a pooler "
        "of its own and says that it is new, that is right: nothing reads it.",
        loading,
        (*_transformers_inputs(record, settings, backbone.config), _answer(record)),
    )


def _pooling(record: StudyRecord) -> tuple[str, ...]:
    if record.data.kind == "text":
        return (
            '    weight = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)',
            "    pooled = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)",
        )
    return ("    pooled = hidden.mean(dim=(2, 3) if hidden.dim() == 4 else 1)",)


def factory_notes(record: StudyRecord, settings: Settings) -> str:
    """Of a network that a function of the user's own builds."""
    module, function, arguments = _call(record, settings)
    loading = (
        "from safetensors.torch import load_file",
        "",
        f"from {module} import {function}",
        "",
        f"model = {function}({arguments})",
        'model.load_state_dict(load_file("weights.safetensors"))',
        "model.eval()",
    )
    inputs = {
        "text": "The network takes token numbers (B, T) of its own method tokenize and a mask (B, T).",
        "image": "The network takes float32 RGB between 0 and 1 of shape (B, 3, H, W)."
        + (f" Images were resized to {settings.image_size} by {settings.image_size}." if settings.image_size else ""),
        "table": "The network takes float32 (B, F), one number per feature column in the order of the file.",
    }[record.data.kind]
    return _notes(
        record,
        f"All weights of the network that `{module}:{function}` builds, norm statistics and the head among them. The "
        "code of that network is yours and not part of the export.",
        loading,
        (inputs, _answer(record)),
    )


def _call(record: StudyRecord, settings: Settings) -> tuple[str, str, str]:
    module, _, function = settings.model.partition(":")
    known = {"num_classes": len(record.data.task.labels), "num_features": record.data.features}
    taken = inspect.signature(getattr(import_module(module), function)).parameters
    return module, function, ", ".join(f"{name}={known[name]}" for name in known if name in taken and known[name])


def delta_notes(record: StudyRecord, settings: Settings, study: Path) -> str:
    """Of the trained tensors alone."""
    chosen = record.candidate(record.choice.candidate)
    what = (
        f"Only what was trained: {chosen.trainable_parameters:,} of {chosen.total_parameters:,} parameters, and "
        "buffers that training may change. The file names the hash of every frozen tensor: loading it onto another "
        f"base model is refused. The base model, `{_plain(settings.model)}`, is not part of the export."
    )
    if chosen.spared == "adapters" or chosen.ends_after:
        loading: tuple[str, ...] = (
            "from pathlib import Path",
            "",
            "from frostline.core.study_folder import read_record",
            "from frostline.result import load_chosen",
            "",
            f"study = Path({str(study.resolve())!r})  # this network is no plain one: its plan stands in the study",
            "model = load_chosen(study, read_record(study))",
        )
        return _notes(record, what, loading, (_answer(record),))
    options = [f"kind={record.data.kind!r}", f"classes={len(record.data.task.labels)}"]
    options += [f"features={record.data.features}"] if record.data.features else []
    options += [f"weights=Path({settings.weights!r})"] if settings.weights else []
    loading = (
        *(("from pathlib import Path", "") if settings.weights else ()),
        "import frostline as fl",
        "from frostline.models.sources import load_model",
        "",
        "# relative paths are relative to where the search ran",
        f"model = load_model({settings.model!r}, {', '.join(options)}).module",
        'fl.load_delta(model, "delta.safetensors")',
        "model.eval()",
    )
    return _notes(record, what, loading, (_answer(record),))


# ---------------------------------------------------------------- what all of them say


def _notes(record: StudyRecord, what: str, loading: tuple[str, ...], use: tuple[str, ...]) -> str:
    chosen = record.candidate(record.choice.candidate)
    return "\n".join(
        (
            f"# {escaped(record.name)}: {escaped(chosen.id)}",
            "",
            what,
            "",
            "What it is for, how it was made and how it was judged stands in [card.md](card.md).",
            "",
            "## Load it",
            "",
            "```python",
            *loading,
            "```",
            "",
            "## Use it",
            "",
            items(use),
            "",
        )
    )


def _transformers_inputs(record: StudyRecord, settings: Settings, config: Any) -> tuple[str, ...]:
    if record.data.kind == "text":
        places = getattr(config, "max_position_embeddings", None)
        most = min(MOST_TOKENS, places) if isinstance(places, int) else MOST_TOKENS
        return (f"Texts were cut to {most} tokens, or to fewer where the tokenizer says so.",)
    if settings.image_size:
        return (f"Images were resized to {settings.image_size} by {settings.image_size} pixels.",)
    return ("Images were prepared as preprocessor_config.json says.",)


def _answer(record: StudyRecord) -> str:
    labels = ", ".join(f"{number} is {label!r}" for number, label in enumerate(record.data.task.labels))
    threshold = record.thresholds.get(record.choice.candidate)
    if threshold is None:
        return f"Logits by class: {labels}. The class with the largest one is the answer."
    return (
        f"Logits by class: {labels}. Answer {record.data.task.positive!r} when its probability (softmax) is at least "
        f"{threshold.at!r}: chosen for {threshold.aim}. The study was judged with this threshold."
    )


def _plain(text: str) -> str:
    # Inside a code span a backtick would end it.
    return text.replace("`", "'")
