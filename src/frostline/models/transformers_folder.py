"""Models from a folder that transformers' `save_pretrained` wrote. Nothing is fetched, no pickle is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frostline.core.errors import BadInputError, ModelError
from frostline.models.task_model import PooledClassifier, TaskModel, Tokenize, last_linear

MOST_TOKENS = 256
"""Longer texts are cut; said aloud when it happens."""

LEARNING_RATE = 5e-5

_FROM_DISK = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}


def load_folder(
    folder: Path, *, kind: Literal["text", "image", "table"], classes: int, image_size: int | None = None
) -> TaskModel:
    """A classifier from the folder: with its own head when that fits, else with a fresh one."""
    transformers = _transformers()
    config = _read_config(folder)
    _check_weights(folder)
    auto = "ForSequenceClassification" if kind == "text" else "ForImageClassification"
    preprocessing = _text(transformers, folder, config) if kind == "text" else _image(transformers, folder, image_size)
    with _reading(folder, "weights"):
        if any(name.endswith(auto) for name in config.get("architectures") or []):
            module, head, note = _with_own_head(getattr(transformers, f"AutoModel{auto}"), folder, classes)
        else:
            module, head, note = _with_new_head(transformers, folder, classes)
    settings: Any = getattr(module, "config", None)
    if kind == "text" and settings is not None and settings.pad_token_id is None:
        settings.pad_token_id = preprocessing["pad_id"]  # a head on the last token must know where texts end
    return TaskModel(
        module=module,
        kind=kind,
        classes=classes,
        head=head,
        source=f"{type(getattr(module, 'backbone', module)).__name__} from {Path(*folder.parts[-2:])}",
        learning_rate=LEARNING_RATE,
        rate_from_practice=True,
        notes=(note,),
        **preprocessing,
    )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            "A model folder needs the package transformers, which is not installed. Run: pip install 'frostline[hf]'"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder} holds no config.json, so it is no transformers model. Give what save_pretrained wrote."
        ) from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}). Save the model again with save_pretrained.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object. Save the model again with save_pretrained.")
    return config


def _check_weights(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.bin")):
        raise ModelError(
            f"{folder} holds its weights as a pickle (.bin), which can run code when read. "
            "Load it where you trust it and save it again with save_pretrained, which writes model.safetensors."
        )
    raise ModelError(f"{folder} holds no weights: model.safetensors is missing. Copy it beside config.json.")


@contextmanager
def _reading(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except BadInputError:
        raise
    except Exception as error:  # transformers raises anything, from KeyError to SafetensorError, for a broken folder
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"The {what} in {folder} cannot be loaded ({told}). Save the model again with save_pretrained."
        ) from error


def _with_own_head(auto: Any, folder: Path, classes: int) -> tuple[nn.Module, nn.Linear | None, str]:
    own = len(_labels(folder))
    module, loading = auto.from_pretrained(
        folder, num_labels=classes, ignore_mismatched_sizes=own != classes, **_FROM_DISK
    )
    misshapen = [name for name, was, now in loading["mismatched_keys"] if (was[0], now[0]) != (own, classes)]
    _refuse_gaps(folder, [*loading["missing_keys"], *misshapen])
    if own == classes:
        return module, None, f"The model's own head of {classes} classes is kept."
    return (
        module,
        last_linear(module, classes),
        f"The model's own head has {own} classes, the data have {classes}: it got a fresh head.",
    )


def _refuse_gaps(folder: Path, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise ModelError(
            f"The weights in {folder} lack {min(names)!r}{more} or hold it in another shape than config.json says, "
            "so it would start from random numbers. Save the whole model again with save_pretrained."
        )


def _labels(folder: Path) -> dict[int, str]:
    from transformers import AutoConfig

    labels: dict[int, str] = AutoConfig.from_pretrained(folder, local_files_only=True).id2label
    return labels


def _with_new_head(transformers: Any, folder: Path, classes: int) -> tuple[nn.Module, nn.Linear, str]:
    whole, loading = transformers.AutoModel.from_pretrained(folder, **_FROM_DISK)
    halves = dict(whole.named_children())
    backbone = halves["encoder"] if "decoder" in halves and "encoder" in halves else whole
    pooler = getattr(backbone, "pooler", None)
    if isinstance(pooler, nn.Module) and next(pooler.parameters(), None) is not None:
        # Mean pooling reads the last hidden state; a pooler would be computed, frozen or trained for nothing.
        backbone.pooler = None
    used = set(map(id, backbone.parameters()))
    _refuse_gaps(folder, [n for n, p in whole.named_parameters() if n in loading["missing_keys"] and id(p) in used])
    module = PooledClassifier(backbone, _feature_count(backbone.config, folder), classes)
    note = f"The model has no head: it got a mean over its tokens and a linear layer of {classes} classes."
    return module, module.head, note


def _feature_count(config: Any, folder: Path) -> int:
    for name in ("hidden_size", "d_model", "dim", "hidden_sizes"):
        size = getattr(config, name, None)
        if size:
            return int(size[-1] if isinstance(size, list | tuple) else size)
    raise ModelError(f"{folder / 'config.json'} names no hidden_size, so no head can be fitted. Use a factory instead.")


def _text(transformers: Any, folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    # Without these files transformers would make an empty tokenizer, to which every word is unknown.
    if not any(path for pattern in ("tokenizer*", "vocab*", "*.model") for path in folder.glob(pattern)):
        raise ModelError(
            f"{folder} holds no tokenizer, and the data are texts. Save it there with tokenizer.save_pretrained."
        )
    with _reading(folder, "tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # What generates text often has no padding token; its end token stands in, as in training such models.
    known = [number for number in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if number is not None]
    places = config.get("max_position_embeddings")
    most = min(MOST_TOKENS, int(tokenizer.model_max_length), places if isinstance(places, int) else MOST_TOKENS)
    return {
        "tokenize": _tokenize(tokenizer, most, config.get("vocab_size"), folder),
        "pad_id": known[0],
        "most_tokens": most,
    }


def _image(transformers: Any, folder: Path, image_size: int | None) -> dict[str, Any]:
    if not (folder / "preprocessor_config.json").is_file():
        raise ModelError(
            f"{folder} holds no preprocessor_config.json, and the data are images. "
            "Save it there with image_processor.save_pretrained."
        )
    with _reading(folder, "image processor"):
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, use_fast=False)
    return {"pixels": _pixels(processor, image_size)}


def _tokenize(tokenizer: Any, most: int, vocabulary: int | None, folder: Path) -> Tokenize:
    def tokenize(texts: Any) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=most)["input_ids"]
        highest = max((token for tokens in ids for token in tokens), default=0)
        if vocabulary is not None and highest >= vocabulary:
            raise ModelError(
                f"The tokenizer in {folder} gives token {highest}, but the model knows only {vocabulary}. "
                "Put the tokenizer that belongs to the model into the folder."
            )
        return ids

    return tokenize


def _pixels(processor: Any, image_size: int | None) -> Any:
    size = {} if image_size is None else _size(processor, image_size)

    def pixels(image: NDArray[np.uint8]) -> Tensor:
        ready: Tensor = processor(images=image, return_tensors="pt", **size)["pixel_values"][0]
        return ready.to(torch.float32)

    return pixels


def _size(processor: Any, edge: int) -> dict[str, dict[str, int]]:
    """Options that make a processor give squares of this edge, in the form it knows."""
    square = {"height": edge, "width": edge}
    size = {"shortest_edge": edge} if dict(processor.size).get("shortest_edge") else square
    return {"size": size, "crop_size": square} if getattr(processor, "crop_size", None) else {"size": size}
