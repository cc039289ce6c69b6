"""What a study is asked: checked once, written to `study.toml`, read back from it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from frostline.core.errors import StudyError, suggestion
from frostline.core.records import Record


class Settings(Record):
    """Everything that decides a study's result. A relative path is relative to where frostline runs."""

    model: str
    """Folder of a transformers model, or `module:function`."""
    data: str
    weights: str | None = None
    old_data: str | None = None
    """Of the task that the model was pretrained for: what fine-tuning makes it forget is measured on them."""
    old_model: str | None = None
    """The model with its original head, where `model` brings none: a factory that takes no number of classes."""
    positive: str | None = None
    floors: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    """Checks whose findings no longer decide, each with its reason: `FRL104=recall matters more here`."""
    aim: str | None = None
    """What the decision threshold is chosen for on the select split: `f1`, `recall@precision>=0.9`,
    `cost:fn=20,fp=1`. Without one the more probable class is answered."""
    margin: float = Field(0.02, gt=0, lt=1)
    """By how much a plan may be worse than full fine-tuning and still count as no worse."""
    plans: str = "depths"
    """`depths`, `surgical`, `norms`, `biases`, `probes`, `lora` or patterns to freeze; several with semicolons:
    `depths;embeddings,layer[:3]`."""
    text_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    time_column: str | None = None
    """Splits that are carved follow it: train is earliest, test latest."""
    slice_column: str | None = None
    """Metrics are shown for each of its values; clusters of the frozen embedding when there is none."""
    image_size: int | None = Field(None, ge=1)
    train_share: float = Field(0.5, gt=0, lt=1)
    stop_share: float = Field(0.1, gt=0, lt=1)
    select_share: float = Field(0.2, gt=0, lt=1)
    test_share: float = Field(0.2, gt=0, lt=1)
    epochs: int = Field(5, ge=1)
    batch_size: int = Field(32, ge=1)
    budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["all"] = 1.0
    """Of the search, in ordinary full fine-tunes: candidates are raced. `all` trains each of them to its end."""
    learning_rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    layer_decay: float = Field(1.0, gt=0, le=1)
    schedule: Literal["linear", "cosine"] = "linear"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["auto", "off", "balanced"] = "auto"
    accumulate: int = Field(1, ge=1)
    precision: Literal["auto", "float32"] = "auto"
    patience: int = Field(2, ge=1)
    augment: str | None = None
    """Random augmentation of images in training: "shift", "flip" or both, with a comma."""
    activations: Literal["auto", "memory", "disk", "off"] = "auto"
    """Where outputs of frozen blocks are kept to be replayed; `off` computes them each time."""
    activations_gib: float | None = Field(None, gt=0, allow_inf_nan=False)
    activations_half: bool = False
    seed: int = 0
    seeds: int = Field(1, ge=1)
    """The chosen and the runner-up are trained again with others until there are so many."""

    @classmethod
    def checked(cls, **values: object) -> Settings:
        """Settings from what a user gave; what is None keeps its default.

        Raises:
            StudyError: A setting is unknown or out of range.

        >>> Settings.checked(model="minilm", data="sms.csv", epochs=None).epochs
        5
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise StudyError(_first_complaint(error)) from error

    def to_toml(self) -> str:
        """The settings that are set, one a line.

        >>> print(Settings(model="minilm", data="sms.csv").to_toml().splitlines()[1])
        model = "minilm"
        """
        values = self.model_dump(mode="json")
        lines = [f"{name} = {_toml(value)}" for name, value in values.items() if value not in (None, [])]
        return "\n".join(["# What this study was asked. `frostline search study.toml` runs it again.", *lines, ""])


def read_settings(path: Path) -> Settings:
    """The settings in a TOML file, checked."""
    return Settings.checked(**read_toml(path))


def read_toml(path: Path) -> dict[str, object]:
    """The settings in a TOML file, not yet checked: options on the command line may still override them.

    Raises:
        StudyError: The file is missing, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"The study file {path} cannot be read ({error.strerror}). Give an existing file.") from error
    except ValueError as error:
        raise StudyError(f"The study file {path} is not valid TOML ({error}). Correct that line.") from error


def _toml(value: object) -> str:
    """A JSON string, number, list of strings or boolean is valid TOML, but for two things.

    TOML knows no surrogate pairs, so characters stay as they are; and it wants DEL escaped, which JSON does not.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _first_complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    # What takes a number or a word is complained about twice, under its own name and the kind's.
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"There is no setting {name!r}. {suggestion(name, Settings.model_fields)}"
    if first["type"] == "missing":
        return f"--{name} is missing. Give it on the command line or in the study file."
    return f"The setting {name} is {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}."
