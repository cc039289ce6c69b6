"""Claims about settings: checked once, and what is written to a study file is what is read from it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.core.errors import StudyError
from frostline.core.settings import Settings, read_settings

text = st.text(st.characters(codec="utf-8"))
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)
settings = st.builds(
    Settings,
    model=text,
    data=text,
    weights=st.none() | text,
    positive=st.none() | text,
    floors=st.lists(text, max_size=3).map(tuple),
    plans=text,
    image_size=st.none() | st.integers(1, 4096),
    train_share=shares,
    epochs=st.integers(1, 1000),
    learning_rate=st.none() | st.floats(0, 1e6, exclude_min=True),
    augment=st.none() | text,
    activations=st.sampled_from(["auto", "memory", "disk", "off"]),
    activations_gib=st.none() | st.floats(0, 1e6, exclude_min=True),
    activations_half=st.booleans(),
    seed=st.integers(-(2**62), 2**62),
)


@given(settings)
def test_toml_round_trip(tmp_path_factory: pytest.TempPathFactory, asked: Settings) -> None:
    """Any settings, in any script, come back equal from their own file."""
    path = tmp_path_factory.getbasetemp() / "study.toml"
    path.write_text(asked.to_toml(), encoding="utf-8")

    assert read_settings(path) == asked


def test_an_unknown_setting_is_refused_with_a_suggestion() -> None:
    """A misspelt setting is answered with the one that was meant."""
    with pytest.raises(StudyError, match=r"There is no setting 'epoch'\. Did you mean 'epochs'\?"):
        Settings.checked(model="m", data="d", epoch=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("patience", 0),
        ("image_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.inf),
        ("learning_rate", math.nan),
        ("train_share", 0.0),
        ("test_share", 1.0),
        ("stop_share", -0.1),
        ("epochs", "many"),
        ("epochs", 2.5),
        ("activations", "ram"),
        ("activations_gib", 0.0),
        ("activations_gib", math.inf),
        ("activations_half", "partly"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    """The sentence names the setting and repeats the value."""
    with pytest.raises(StudyError, match=f"The setting {name} is "):
        Settings.checked(model="m", data="d", **{name: value})


def test_an_unknown_place_is_answered_with_those_there_are() -> None:
    """What was asked and all that could be asked, in one sentence."""
    sentence = "The setting activations is 'ram': input should be 'auto', 'memory', 'disk' or 'off'."
    with pytest.raises(StudyError) as caught:
        Settings.checked(model="m", data="d", activations="ram")

    assert str(caught.value) == sentence


def test_a_missing_setting_is_named() -> None:
    """Without data there is no study."""
    with pytest.raises(StudyError, match="--data is missing"):
        Settings.checked(model="m")


def test_none_keeps_the_default() -> None:
    """An option that was not given on the command line is None there."""
    assert Settings.checked(model="m", data="d", epochs=None, patience=None) == Settings(model="m", data="d")


def test_settings_are_values() -> None:
    """Settings cannot be changed behind the study's back."""
    with pytest.raises(ValueError, match="frozen"):
        Settings(model="m", data="d").epochs = 9  # type: ignore[misc]


def test_a_missing_study_file_is_refused(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(StudyError, match="cannot be read"):
        read_settings(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"model = 'a'\nmodel = 'b'"])
def test_a_broken_study_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """No TOML, no UTF-8 or a setting given twice: one sentence, no traceback."""
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(StudyError, match="is not valid TOML"):
        read_settings(path)
