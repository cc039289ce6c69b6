"""The words of the report, explained where they stand and in one list at its end."""

from __future__ import annotations

from collections.abc import Mapping

GLOSSARY: Mapping[str, str] = {
    "Block": "The smallest named part of the model that is frozen or trained as a whole.",
    "Frozen, trainable": "A frozen block stays bit for bit as pretrained; a trainable one learns the new task.",
    "Freeze depth": "How many blocks are frozen in one run from the input on. Depth 0 is full fine-tuning.",
    "Candidate": "One freeze plan that was tried.",
    "Put back": (
        "First blocks of a trained network that were given their pretrained weights again, as in "
        "depth-2@rewound: a freeze after the fact."
    ),
    "Linear probe": (
        "A linear classifier on the untouched pretrained features after a block: what the model knows there "
        "without training."
    ),
    "Splits": (
        "Train fits the weights. Stop is the validation split: it says when to stop. Select chooses the plan. "
        "Test is sealed until the end and judges what was chosen."
    ),
    "Recall": "Of all examples that truly are of the class, the share that was found.",
    "Precision": "Of all answers naming the class, the share that is right.",
    "F1": "The harmonic mean of recall and precision; high only when both are.",
    "Balanced accuracy, MCC": (
        "Measures that answering the majority class cannot win: it gets 50 % of the one with two classes, and "
        "none of the other."
    ),
    "95 % interval": (
        "The range of true values that fits what was measured: made this way again and again, 95 of 100 such "
        "ranges would hold the truth."
    ),
    "Floor": (
        "A demand, such as recall of at least 80 %. It is held against the lower bound, not against the measured value."
    ),
    "Tied": "The difference is within the noise of the select split; among the tied, the cheapest is taken.",
    "Verdict": (
        "READY: every floor is met and nothing stands against it. NOT READY: a floor is ruled out or an issue "
        "stands. INCONCLUSIVE: too little evidence either way. INVALID: the evidence itself cannot be "
        "trusted."
    ),
}
"""What a word means, in the order of the list; words of one meaning with commas."""

MEANINGS: Mapping[str, str] = {word: GLOSSARY[words] for words in GLOSSARY for word in words.split(", ")}
"""The same by each word, as headings of tables write it."""
