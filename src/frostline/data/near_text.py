"""Texts that say nearly the same: MinHash finds candidates, exact Jaccard similarity decides.

Knows texts only. What becomes of near-duplicates is settled in `frostline.data.near`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.data.clusters import Clusters

ALIKE = 0.8
"""Jaccard similarity from which on two texts are near-duplicates (Lee et al. 2021)."""

PERMUTATIONS = 128
WORDS = 5
"""Words in a shingle (Lee et al. 2021)."""

CHARACTERS = 4
"""Characters in a shingle of a short text: one changed character costs four, so a message of 40 may have one."""

CLOSING = " .,!?;:\u2026"
"""What a short text may end or begin with and still say the same."""

SHORT = 8
"""Fewer words than this make a short text: of seven words, changing the middle one leaves no shingle of five."""

BANDS, ROWS = 25, 5
"""A pair as like as `ALIKE` shares a band with a probability of 1 - (1 - .8**5)**25 > .9999."""

CROWDED = 64
"""Texts of one cluster that others are compared with: thousands made from one template would take minutes otherwise."""

SEED = 1
"""Of the permutations: the same texts give the same clusters, whatever the seed of the splits."""

Shingles = frozenset[str]


def near_texts(texts: Sequence[str]) -> NDArray[np.int64]:
    """Cluster texts that say nearly the same.

    Letters of either case, punctuation between words and white space are not told apart. Two texts of eight words or
    more are compared by their sequences of five words, any other two by their sequences of four characters. A cluster
    holds whatever a chain of near-duplicates connects.

    Args:
        texts: Any number of them.

    Returns:
        For each text the position of the first one in its cluster; its own when it is like no other.

    Source: Broder (1997), On the resemblance and containment of documents; Lee et al. (2021), Deduplicating
        training data makes language models better, arXiv 2107.06499 (5-grams, .8, connected components).

    >>> near_texts(["WIN a big prize now: call 80082 today!", "see you", "win a big prize now, call 80082 today"])
    array([0, 1, 0])
    """
    words = [_words(text) for text in texts]
    clusters = Clusters(len(texts))
    long = [row for row, found in enumerate(words) if len(found) >= SHORT]
    _join_alike({row: word_shingles(words[row]) for row in long}, frozenset(), clusters)
    # Texts of fewer than 8 words can be like one of at most 8 / .8 words: those are compared with them, too.
    short = [row for row, found in enumerate(words) if len(found) < SHORT / ALIKE]
    lengthy = frozenset(row for row in short if len(words[row]) >= SHORT)
    _join_alike({row: character_shingles(texts[row]) for row in short}, lengthy, clusters)
    return clusters.numbers()


def word_shingles(words: Sequence[str]) -> Shingles:
    """Sequences of five words.

    >>> sorted(word_shingles(["a", "b", "c", "d", "e", "f"]))
    ['a b c d e', 'b c d e f']
    """
    return frozenset(" ".join(words[at : at + WORDS]) for at in range(max(1, len(words) - WORDS + 1)))


def character_shingles(text: str) -> Shingles:
    """Sequences of four characters, its margins included, so that a change at the end costs no less than one inside.

    >>> sorted(character_shingles("Hello!"))
    ['   h', '  he', ' hel', 'ello', 'hell', 'llo ', 'lo  ', 'o   ']
    """
    plain = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    margin = " " * (CHARACTERS - 1)
    framed = f"{margin}{plain.strip(CLOSING) or plain}{margin}"
    return frozenset(framed[at : at + CHARACTERS] for at in range(len(framed) - CHARACTERS + 1))


def similarity(one: Shingles, other: Shingles) -> float:
    """Jaccard similarity: what both hold, as a share of what either holds.

    >>> similarity(frozenset("abc"), frozenset("bcd"))
    0.5
    """
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFC", text).casefold())


def _join_alike(shingles: dict[int, Shingles], lengthy: frozenset[int], clusters: Clusters) -> None:
    """Join what is alike; two rows that are both `lengthy` are not compared."""
    first: dict[Shingles, int] = {}
    for row, content in shingles.items():
        if not (row in lengthy and first.get(content) in lengthy):
            clusters.join(first.setdefault(content, row), row)
    if len(first) < 2:
        return
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
    indexed: Counter[int] = Counter()
    encoded = ([shingle.encode() for shingle in content] for content in first)
    sketches = MinHash.generator(encoded, num_perm=PERMUTATIONS, seed=SEED)
    for (content, row), sketch in zip(first.items(), sketches, strict=True):
        for other in sorted(index.query(sketch)):
            apart = clusters.first_of(row) != clusters.first_of(other)
            compared = not (row in lengthy and other in lengthy)
            if apart and compared and similarity(content, shingles[other]) >= ALIKE:
                clusters.join(other, row)
        cluster = clusters.first_of(row)
        if indexed[cluster] < CROWDED:
            index.insert(row, sketch, check_duplication=False)
            indexed[cluster] += 1
