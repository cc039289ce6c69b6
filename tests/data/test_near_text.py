"""Near-duplicate texts: what is found, what is not, and that hashing misses nothing that counts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.data.near_text import (
    ALIKE,
    SHORT,
    character_shingles,
    near_texts,
    similarity,
    word_shingles,
)

WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in "nrst"]
LONG = "the parcel with your new phone is on its way and will be with you on monday between nine and noon"


def near(one: str, other: str) -> bool:
    first, second = near_texts([one, other])
    return bool(first == second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LONG, LONG.replace("monday", "MONDAY,") + "!!!"),
        (LONG, f"hello {LONG}"),
        ("Sorry, I'll call later in the meeting.", "sorry,  I'll call later in the meeting"),
        ("Gud mrng dear hav a nice day", "Gud mrng dear have a nice day"),
        ("Ok...", "ok"),
        ("today we all go to the lake again", "today we all go to the lake again now"),  # 8 and 9 words
        ("we all go to the big lake", "we all go to the big lake!"),
        ("cafe\u0301 au lait, a croissant and the bill please", "café au lait, a croissant and the bill please"),
    ],
)
def test_nearly_the_same_is_found(one: str, other: str) -> None:
    """Case, punctuation, white space, spelling of accents, or a word more among many."""
    assert near(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LONG, LONG.replace("parcel", "invoice").replace("monday", "friday")),
        ("message 1", "message 10"),
        ("yes I can", "yes I can not"),
        ("I agree", "I disagree"),
        ("👍", "👎"),
        ("great 👍", "great 👎"),
        ("WIN a phone today", "see you at six"),
        ("!!!", "???"),
    ],
)
def test_what_differs_is_kept_apart(one: str, other: str) -> None:
    """Other words, other numbers, a negation, another sign."""
    assert not near(one, other)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_hashing_finds_the_clusters_that_all_pairs_give(seed: int) -> None:
    """The oracle compares every pair exactly; with 100 variants of long texts the clusters are the same."""
    rng = np.random.default_rng(seed)
    stems = [list(rng.choice(WORDS, size=rng.integers(12, 60))) for _ in range(12)]
    texts = []
    for _ in range(100):
        words = list(stems[rng.integers(len(stems))])
        for _ in range(rng.integers(0, 3)):
            words[rng.integers(len(words))] = str(rng.choice(WORDS))
        texts.append(" ".join(words))

    group = list(range(len(texts)))
    sets = [word_shingles(text.split()) for text in texts]
    for one, other in combinations(range(len(texts)), 2):
        if similarity(sets[one], sets[other]) >= ALIKE:
            old, new = max(group[one], group[other]), min(group[one], group[other])
            group = [new if number == old else number for number in group]

    assert near_texts(texts).tolist() == group


@given(texts=st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=30))
@settings(deadline=None, max_examples=30)
def test_clusters_are_numbered_by_their_first_member(texts: list[str]) -> None:
    """Whatever the texts: equal ones are together, and asking again changes nothing."""
    clusters = near_texts(texts)

    assert all(clusters[number] == number <= row for row, number in enumerate(clusters))
    assert all(clusters[texts.index(text)] == clusters[row] for row, text in enumerate(texts))
    assert np.array_equal(clusters, near_texts(texts))


def test_nothing_and_one_text() -> None:
    """The smallest inputs."""
    assert near_texts([]).tolist() == []
    assert near_texts(["ok"]).tolist() == [0]


def test_an_edit_at_the_end_costs_as_much_as_one_inside() -> None:
    """The margins of a short text count, so that numbered texts are not taken for one."""
    text = "abcdefghijklmnop"
    inside = similarity(character_shingles(text), character_shingles(text.replace("h", "x")))
    at_end = similarity(character_shingles(text), character_shingles(text[:-1] + "x"))

    assert inside == at_end
    assert SHORT > 5


def test_thousands_of_short_texts_are_told_apart_or_together() -> None:
    """5,000 different messages, and 5,000 made from one template."""
    rng = np.random.default_rng(0)
    different = [" ".join(rng.choice(WORDS, size=14)) for _ in range(5000)]
    template = [f"{LONG} {LONG} number {number}" for number in range(5000)]

    assert len(set(near_texts(different).tolist())) == 5000
    assert len(set(near_texts(template).tolist())) == 1
