"""What is new in the test split, and what is suspiciously old: parts that training never met, neighbours across splits.

Both come from the pretrained features after the block whose linear probe was best. Nothing here needs a label of the
test split, and nothing of it is chosen by. The same parts of the select split are there to look at every candidate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from frostline.core.errors import ModelError
from frostline.core.predictions import Predictions, load_features, save_features
from frostline.core.records import Drift, Overlap, Run, SelectSlice, Slice
from frostline.core.settings import Settings
from frostline.finals import Finals
from frostline.measure.drift import drift
from frostline.measure.slices import sliced, sliced_on_select
from frostline.train.embedding import (
    Embedding,
    Neighbour,
    cluster_names,
    confirmed,
    embedding_neighbours,
    features_at,
)
from frostline.train.flops import FlopsMeter
from frostline.train.old_head import load_old_head
from frostline.train.old_task import original_weights
from frostline.train.probes import Features
from frostline.train.race import Race
from frostline.train.start import Start

EMBEDDING = "embedding"
SAMPLE = 5
"""Pairs of neighbours that a record names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """To which part each example belongs."""

    names: Sequence[str]
    """Of the test split."""
    select_names: Sequence[str]
    in_training: Mapping[str, int]
    """Training examples by part."""
    words: str
    """What the parts are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """What the test split holds beside what training met."""

    parts: Parts | None
    overlaps: tuple[Overlap, ...] = ()
    """Neighbours across splits, and images that are nearly those of an earlier split."""
    seen_before: NDArray[np.bool_] | None = None
    """Per test example: it is nearly an image of an earlier split. None when nothing was compared."""


def find_patterns(race: Race, start: Start) -> Patterns:
    """Part the test split, by the column that was named or else by clusters, and look for neighbours."""
    by_column = _by_column(race) if race.data.slices else None
    if start.embedding_depth is None:
        return Patterns(parts=by_column)
    features = _features(race, start.embedding_depth)
    embedding = Embedding.of(train := features.pop("train"))
    if embedding.unusable:
        race.progress.say(f"no neighbours are looked for in the pretrained features. {embedding.unusable}")
        return Patterns(parts=by_column)
    near = embedding_neighbours(embedding, features)
    overlaps = [_overlap(race, split, found) for split, found in near.items() if found]
    images = _near_images(race, embedding, {"train": train, **features})
    return Patterns(
        parts=by_column or _by_cluster(race, embedding, features),
        overlaps=(*overlaps, *_image_overlaps(race, images)),
        seen_before=np.isin(race.data.rows["test"], images[:, 1]),
    )


def slices_of(finals: Finals, parts: Parts | None, *, seed: int) -> tuple[Slice, ...]:
    """The chosen candidate, part by part, beside full fine-tuning where that was trained to its end."""
    if parts is None:
        return ()
    chosen, full = finals.finalists[0], finals.reference
    other = None if full is None or full == chosen else finals.test[full]
    names = (chosen, full or "")
    return sliced(finals.test[chosen], parts.names, parts.in_training, reference=other, names=names, seed=seed)


def select_slices_of(answers: Mapping[str, Predictions], parts: Parts | None) -> tuple[SelectSlice, ...]:
    """Every candidate part by part on the select split, by the answers that the choice was made by."""
    return () if parts is None else sliced_on_select(answers, parts.select_names, parts.in_training)


def drift_of(
    race: Race, runs: Mapping[str, Run], finalists: Sequence[str], settings: Settings
) -> tuple[dict[str, Drift], int]:
    """How far each finalist moved the old head's answers to the select split, and the FLOPs of asking.

    Empty where there is no original head to ask: nothing was promised then, so nothing is said.
    """
    try:
        old = load_old_head(
            settings.old_model or settings.model,
            race.model,
            race.inputs,
            race.data.rows["select"],
            weights=original_weights(settings),
            image_size=settings.image_size,
            features=race.data.summary.features,
            seed=settings.seed,
        )
        before = old.answers()
    except ModelError as reason:
        race.progress.say(f"what fine-tuning does to the old task is not measured, nor how far it moves: {reason}")
        return {}, 0
    found = {}
    for id in finalists:
        plan = race.plans[id]
        if not plan.ends_after and plan.spared != "adapters":
            model = race.restore(runs[id])
            found[id] = drift(before, old.answers(model.module, model.head))
    return found, old.meter.total


def _features(race: Race, depth: int) -> dict[str, Features]:
    """Of every split. Those of the test split are made now, and only once."""
    features = {split: load_features(race.folder.embedding(split)) for split in ("train", "stop", "select")}
    path = race.folder.embedding("test")
    if not race.asking.is_known(EMBEDDING, "test"):
        race.networks.frozen_by(None)
        race.model.module.load_state_dict(race.beginning)
        rows, meter = race.data.rows["test"], FlopsMeter()
        made = features_at(race.model, race.blocks, race.inputs, rows, meter, race.progress, depth)
        save_features(path, made)
        race.asking.acknowledge(EMBEDDING, "test", meter.total)
    return features | {"test": load_features(path)}


def _by_column(race: Race) -> Parts:
    values, rows = race.data.slices, race.data.rows
    return Parts(
        names=[values[row] for row in rows["test"]],
        select_names=[values[row] for row in rows["select"]],
        in_training=Counter(values[row] for row in rows["train"]),
        words="by the values of the slice column",
    )


def _by_cluster(race: Race, embedding: Embedding, features: Mapping[str, Features]) -> Parts | None:
    data = race.data
    labels = data.labels[data.rows["train"]]
    asked = {split: features[split] for split in ("test", "select")}
    clusters = cluster_names(embedding, labels, data.task.labels, asked, race.seed)
    if clusters is None:
        return None
    return Parts(
        names=clusters.names["test"],
        select_names=clusters.names["select"],
        in_training=clusters.in_training,
        words=clusters.from_words,
    )


def _overlap(race: Race, split: str, found: Sequence[Neighbour]) -> Overlap:
    rows, where = race.data.rows, race.data.where
    nearest = sorted(found, key=lambda pair: pair.ratio)[:SAMPLE]
    later = rows[split]  # type: ignore[index]  # the name of a split
    return Overlap(
        kind="embedding",
        earlier="train",
        later=split,
        examples=len(found),
        share=len(found) / len(later),
        sample=tuple(f"{where[later[pair.later]]} near {where[rows['train'][pair.train]]}" for pair in nearest),
    )


def _near_images(race: Race, embedding: Embedding, features: Mapping[str, Features]) -> NDArray[np.int64]:
    """Suspected pairs (P, 2) of positions, the earlier split's first, that are alike to the pretrained model, too."""
    pairs = race.data.suspect_pairs
    if not len(pairs):
        return pairs
    width = next(iter(features.values())).shape[1]
    everything_NF = np.zeros((len(race.data), width), dtype=np.float32)
    for split, features_MF in features.items():
        everything_NF[race.data.rows[split]] = features_MF  # type: ignore[index]  # the name of a split
    found = confirmed(embedding, [(int(a), int(b)) for a, b in pairs], everything_NF, everything_NF)
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _image_overlaps(race: Race, pairs: NDArray[np.int64]) -> list[Overlap]:
    rows, where = race.data.rows, race.data.where
    overlaps = []
    for earlier, later in combinations(rows, 2):
        both = np.isin(pairs[:, 0], rows[earlier]) & np.isin(pairs[:, 1], rows[later])
        here, first = np.unique(pairs[both][:, 1], return_index=True)
        if len(here):
            sample = [pairs[both][at] for at in first[:SAMPLE]]
            overlaps.append(
                Overlap(
                    kind="near image",
                    earlier=earlier,
                    later=later,
                    examples=len(here),
                    share=len(here) / len(rows[later]),
                    sample=tuple(f"{where[there]} ~ {where[before]}" for before, there in sample),
                )
            )
    return overlaps
