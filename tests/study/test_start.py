"""Claims about epoch 0: taken from known features only where the head's answer is the network's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import frostline as fl
from factories import write_messages
from frostline.core.progress import Silent
from frostline.study import prepare
from frostline.train.evaluate import fit, predict
from frostline.train.flops import FlopsMeter
from frostline.train.race import Race


@contextmanager
def prepared(model: str, folder: Path) -> Iterator[Race]:
    study = fl.Study(model=model, data=write_messages(folder / "m.csv"), positive="spam", out=folder / "study")
    with study.folder.opened(study.settings, resume=False) as ledger:
        yield prepare(study.settings, study.folder, ledger, Silent())[0]


@pytest.mark.parametrize("model", ["factories:tiny_text", "factories:sharpened_text"])
def test_epoch_0_is_what_the_network_answers(model: str, tmp_path: Path) -> None:
    """Also of a network that does something to the logits behind its head: there the head alone would answer wrong."""
    with prepared(model, tmp_path) as race:
        before = race.start().before
        rows = race.data.rows["stop"]
        answered = fit(predict(race.model, race.inputs, rows, FlopsMeter()), race.data.labels[rows])

    assert before.stop_loss == pytest.approx(answered.loss, rel=1e-4)
    assert before.stop_accuracy == answered.accuracy


def test_the_second_pass_is_spared_only_where_the_head_is_enough(tmp_path: Path) -> None:
    """Who is sharpened behind the head pays for one more pass over the stop split, the plain network does not."""
    spent = {}
    for model in ("factories:tiny_text", "factories:sharpened_text"):
        (tmp_path / model[-14:]).mkdir()
        with prepared(model, tmp_path / model[-14:]) as race:
            start = race.start()
            spent[model] = start.flops - start.forward_flops
            stop_pass = start.forward_flops * len(race.data.rows["stop"]) / len(race.data.rows["train"])

    more = spent["factories:sharpened_text"] - spent["factories:tiny_text"]
    assert more == pytest.approx(stop_pass, rel=0.2)
