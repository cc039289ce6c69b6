"""Claims about slices: counted as by hand, tested as scipy and statsmodels do, small ones together, new ones first."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from sklearn.metrics import accuracy_score, precision_score, recall_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from builders import BINARY, TOPICS
from frostline.core.predictions import Predictions
from frostline.core.records import Slice, Task
from frostline.measure.compare import compare
from frostline.measure.independent import fisher_midp, newcombe
from frostline.measure.measures import measure
from frostline.measure.slices import BEYOND, FEW, FEW_NEW, MOST, slice_metrics, sliced, sliced_on_select

rate = st.integers(1, 60).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def answers(seed: int, examples: int, task: Task = BINARY, *, wrong: float = 0.2) -> Predictions:
    random, classes = np.random.default_rng(seed), len(task.labels)
    true_N = random.integers(0, classes, examples)
    shifted_N = (true_N + random.integers(1, classes, examples)) % classes
    return Predictions(
        task=task, true_N=true_N, predicted_N=np.where(random.random(examples) < wrong, shifted_N, true_N)
    )


def parts(
    given: Predictions,
    names: list[str],
    trained: dict[str, int] | None = None,
    reference: Predictions | None = None,
) -> tuple[Slice, ...]:
    trained = dict.fromkeys(names, 10) if trained is None else trained
    return sliced(given, names, trained, reference=reference, names=("depth-4", "full"), seed=0)


# ---------------------------------------------------------------- two independent rates


@given(first=rate, second=rate, confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_interval_is_that_of_statsmodels(first: tuple[int, int], second: tuple[int, int], confidence: float) -> None:
    """Newcombe's tenth method, within [-1, 1]."""
    theirs = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff", alpha=1 - confidence)

    assert newcombe(first, second, confidence=confidence) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "printed"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ],
)
def test_interval_is_the_one_printed_in_its_paper(
    first: tuple[int, int], second: tuple[int, int], printed: tuple[float, float]
) -> None:
    """Examples of Newcombe (1998), table II, method 10."""
    assert newcombe(first, second) == pytest.approx(printed, abs=6e-5)


@given(first=rate, second=rate)
def test_p_value_counts_the_tables_that_are_as_rare(first: tuple[int, int], second: tuple[int, int]) -> None:
    """Every table with these margins, enumerated in whole numbers; half of the observed one; below the exact test."""
    (hits, size), (others, rest) = first, second
    successes = hits + others
    ways = {k: comb(size, k) * comb(rest, successes - k) for k in range(size + 1) if 0 <= successes - k <= rest}
    as_rare = sum(count for count in ways.values() if count <= ways[hits])
    if len(ways) == 1:
        assert fisher_midp(first, second) == 1
        return
    expected = Fraction(2 * as_rare - ways[hits], 2 * sum(ways.values()))
    exact = fisher_exact([[hits, size - hits], [others, rest - others]]).pvalue

    assert fisher_midp(first, second) == pytest.approx(float(expected), abs=1e-9)
    assert fisher_midp(first, second) == pytest.approx(exact - ways[hits] / (2 * sum(ways.values())), abs=1e-9)


@given(first=rate, second=rate)
def test_swapping_the_rates_mirrors_the_interval(first: tuple[int, int], second: tuple[int, int]) -> None:
    """Law: the other order gives the mirrored limits and the same p-value."""
    low, high = newcombe(first, second)

    assert newcombe(second, first) == pytest.approx((-high, -low))
    assert fisher_midp(second, first) == pytest.approx(fisher_midp(first, second))


def test_equal_rates_are_rarely_told_apart() -> None:
    """Of 1,500 pairs of slices with one rate, about one in twenty has a p-value below .05, and no more."""
    random = np.random.default_rng(0)
    drawn = zip(random.binomial(40, 0.85, 1_500).tolist(), random.binomial(200, 0.85, 1_500).tolist(), strict=True)
    rejected = np.mean([fisher_midp((here, 40), (there, 200)) < 0.05 for here, there in drawn])

    assert 0.02 < rejected < 0.065


# ---------------------------------------------------------------- slices


@pytest.mark.parametrize("task", [BINARY, TOPICS], ids=["two classes", "four classes"])
def test_each_slice_is_measured_alone_and_against_all_others(task: Task) -> None:
    """Metrics are those of scikit-learn on its rows; the difference is its recall (or accuracy) minus the others'."""
    given = answers(0, 300, task)
    names = [("sms", "mail", "chat")[n % 3] for n in range(300)]
    average = {"pos_label": 1} if task is BINARY else {"average": "macro"}

    for part in parts(given, names):
        inside = np.array(names) == part.name
        true, predicted = given.true_N, given.predicted_N
        metrics = part.measures.metrics
        assert metrics["recall"].value == pytest.approx(recall_score(true[inside], predicted[inside], **average))
        assert metrics["precision"].value == pytest.approx(precision_score(true[inside], predicted[inside], **average))
        score = recall_score if task is BINARY else accuracy_score
        expected = score(true[inside], predicted[inside]) - score(true[~inside], predicted[~inside])
        rest = part.against_rest
        assert rest.value == pytest.approx(expected)
        assert rest.low is not None and rest.high is not None and rest.low < expected < rest.high
        assert part.examples == inside.sum() == part.measures.examples


def test_p_values_are_corrected_over_the_slices() -> None:
    """Benjamini and Hochberg as in statsmodels, over the slices that have one."""
    names = [f"s{n % 7}" for n in range(400)]
    found = parts(answers(3, 400), names)
    p_values = [part.against_rest.p for part in found]
    theirs = multipletests(p_values, method="fdr_bh")[1]

    assert [part.against_rest.adjusted_p for part in found] == pytest.approx(list(theirs))


def test_a_slice_without_positives_has_no_difference() -> None:
    """Nothing can be missed there: undefined, not 0, and the others are corrected without it."""
    true_N = np.array([0] * 20 + [0, 1] * 40)
    given = Predictions(task=BINARY, true_N=true_N, predicted_N=true_N)
    found = {part.name: part for part in parts(given, ["quiet"] * 20 + ["sms", "mail"] * 20 + ["mail", "sms"] * 20)}

    assert found["quiet"].against_rest.value is None and found["quiet"].against_rest.adjusted_p is None
    assert found["quiet"].measures.metrics["recall"].value is None
    assert found["sms"].against_rest.value == 0 and found["sms"].against_rest.p == 1


def test_what_training_never_met_comes_first_and_small_ones_last() -> None:
    """Order: new, then by size; fewer than five examples each are taken together, new ones apart from known ones."""
    names = ["large"] * 40 + ["middle"] * 20 + ["new"] * 6 + ["a", "a", "b"] + ["x", "y", "y"]
    trained = {"large": 90, "middle": 50, "a": 2, "b": 3}
    found = parts(answers(0, len(names)), names, trained)

    assert [(part.name, part.examples, part.in_training) for part in found] == [
        ("new", 6, 0),
        ("large", 40, 90),
        ("middle", 20, 50),
        (FEW_NEW, 3, 0),
        (FEW, 3, 5),
    ]


@pytest.mark.parametrize("many", [MOST, MOST + 1, 90])
def test_there_are_never_more_than_fifty(many: int) -> None:
    """The rest is taken together under a name that says so, and no example is lost."""
    names = [f"s{n % many:02d}" for n in range(6 * many)]
    found = parts(answers(0, len(names)), names)

    assert len(found) <= MOST
    assert sum(part.examples for part in found) == len(names)
    assert (found[-1].name == BEYOND) == (many > MOST)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=80), st.sets(st.sampled_from("abcdefgh")))
def test_slices_share_out_the_examples(names: list[str], trained: set[str]) -> None:
    """Law: every example is in one slice, and every training example of a name that occurs is counted once."""
    found = parts(answers(1, len(names)), names, dict.fromkeys(trained, 10))
    if not found:
        assert len({name if names.count(name) >= 5 else name in trained for name in names}) == 1
        return

    assert sum(part.examples for part in found) == len(names)
    assert sum(part.in_training for part in found) == 10 * len(trained & set(names))
    assert max(Counter(part.name for part in found).values()) == 1


def test_the_reference_is_compared_inside_the_slice() -> None:
    """The paired comparison is the one of `compare` on its rows; without a reference there is none."""
    chosen, full = answers(0, 120), answers(0, 120, wrong=0.1)
    names = ["sms", "mail"] * 60
    [part] = [part for part in parts(chosen, names, reference=full) if part.name == "sms"]
    rows = np.arange(0, 120, 2)
    expected = compare(chosen.take(rows), full.take(rows), names=("depth-4", "full"), split="test", seed=0)

    assert part.against_reference == expected
    assert all(part.against_reference is None for part in parts(chosen, names))


def test_planted_weak_slice_is_found_and_its_clean_twin_is_not() -> None:
    """Half of the spam missed in one slice of five is far below the rest; with the same rate nothing is found."""
    names = [f"s{n % 5}" for n in range(1_000)]
    clean = answers(5, 1_000, wrong=0.1)
    weak_N = np.where((np.arange(1_000) % 5 == 2) & (np.arange(1_000) % 10 == 2), 0, clean.predicted_N)
    weak = Predictions(task=BINARY, true_N=clean.true_N, predicted_N=weak_N)

    def below(given: Predictions) -> list[str]:
        found = ((part.name, part.against_rest) for part in parts(given, names))
        return [name for name, rest in found if (rest.value or 0) < -0.05 and (rest.adjusted_p or 0) < 0.1]

    assert below(weak) == ["s2"]
    assert below(clean) == []


def test_one_slice_says_nothing() -> None:
    """All examples in one part: there is no rest, and the whole is measured anyway."""
    assert parts(answers(0, 30), ["sms"] * 30) == ()


def test_names_that_do_not_fit_are_refused() -> None:
    """One name an example, and the same examples for both models."""
    with pytest.raises(ValueError, match="30 examples have 29 names"):
        parts(answers(0, 30), ["sms"] * 29)
    with pytest.raises(ValueError, match="same examples"):
        parts(answers(0, 30), ["sms", "mail"] * 15, reference=answers(1, 30))


# ---------------------------------------------------------------- every candidate, on the select split


@pytest.mark.parametrize("task", [BINARY, TOPICS], ids=["two classes", "four classes"])
def test_each_candidate_is_measured_on_its_own_rows(task: Task) -> None:
    """Values are those of scikit-learn on the rows of a part, the whole estimate that of the usual measures."""
    given = {name: answers(seed, 240, task, wrong=0.1 * seed) for seed, name in enumerate(("full", "depth-4"), start=1)}
    names = [("sms", "mail", "chat", "sms")[n % 4] for n in range(240)]

    for part in sliced_on_select(given, names, {"sms": 50, "mail": 20}):
        inside = np.array(names) == part.name
        assert part.metrics.keys() == given.keys()
        for candidate, predictions in given.items():
            true, said, found = predictions.true_N[inside], predictions.predicted_N[inside], part.metrics[candidate]
            oracle = (
                {"recall": recall_score(true, said), "precision": precision_score(true, said)}
                if task is BINARY
                else {"accuracy": accuracy_score(true, said)}
            )
            assert {metric: estimate.value for metric, estimate in found.items()} == pytest.approx(oracle)
            whole = measure(predictions.take(inside), "select").metrics
            assert found == {metric: whole[metric] for metric in slice_metrics(task)}


@given(
    names=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=80),
    trained=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40)),
)
def test_both_splits_are_parted_by_the_same_rules(names: list[str], trained: dict[str, int]) -> None:
    """Names, order, sizes and examples in training are those that the test split would get; no example is lost."""
    given = answers(0, len(names))
    on_test, on_select = parts(given, names, trained), sliced_on_select({"full": given}, names, trained)

    assert [(part.name, part.examples, part.in_training) for part in on_select] == [
        (part.name, part.examples, part.in_training) for part in on_test
    ]
    assert not on_select or sum(part.examples for part in on_select) == len(names)


def test_a_part_without_positives_says_why_recall_is_undefined() -> None:
    """Undefined with its reason, never 0."""
    true_N = np.array([0] * 20 + [0, 1] * 20)
    given = Predictions(task=BINARY, true_N=true_N, predicted_N=true_N)
    found = {p.name: p.metrics["full"] for p in sliced_on_select({"full": given}, ["quiet"] * 20 + ["sms"] * 40, {})}

    assert found["quiet"]["recall"].value is None and found["quiet"]["recall"].undefined
    assert found["sms"]["recall"].value == 1


def test_a_name_too_few_is_refused() -> None:
    """Names of another split would be silently wrong."""
    with pytest.raises(ValueError, match="20 examples have 19 names"):
        sliced_on_select({"full": answers(0, 20)}, ["sms"] * 19, {})
