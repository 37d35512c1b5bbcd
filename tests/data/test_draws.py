import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgland.data.draws import draw_parts, draw_quotas, find_components
from usgland.errors import UserError

NAMES = st.sampled_from("abcdef")
ROWS = st.lists(st.tuples(NAMES, NAMES, NAMES, st.integers(0, 1)), min_size=1)


def make_rows(tuples):
    return pd.DataFrame(
        tuples, columns=["patient_id", "group_id", "sha256", "label"], dtype=object
    ).astype({"label": "int64"})


def reach(rows, start):
    """The rows that a walk over shared names reaches from one."""
    records = rows[["patient_id", "group_id", "sha256"]].to_dict("records")
    seen, todo = {start}, [start]
    while todo:
        here = records[todo.pop()]
        for other, record in enumerate(records):
            tied = any(here[key] == record[key] != "" for key in here)
            if tied and other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


@given(ROWS)
def test_components_are_what_a_walk_reaches(tuples):
    rows = make_rows(tuples)
    components, counts = find_components(rows)
    for row in range(len(rows)):
        assert set(np.flatnonzero(components == components[row])) == reach(rows, row)
    assert counts[:, 2].sum() == (rows["label"] == 0).sum()
    assert counts[:, 3].sum() == (rows["label"] == 1).sum()
    malignant = rows.groupby("patient_id")["label"].max()
    assert counts[:, 1].sum() == malignant.sum()
    assert counts[:, 0].sum() == (1 - malignant).sum()


def test_an_unknown_digest_ties_nothing():
    rows = make_rows([("a", "a", "", 0), ("b", "b", "", 1)])
    assert find_components(rows)[0].tolist() == [0, 1]


def test_components_do_not_need_groups_and_digests():
    rows = make_rows([("a", "x", "x", 0), ("b", "x", "x", 1), ("a", "x", "x", 1)])
    components, counts = find_components(rows[["patient_id", "label"]])
    assert components.tolist() == [0, 1, 0]
    assert counts.tolist() == [[0, 1, 1, 1], [0, 1, 0, 1]]


def single_patients(benign, malignant, images=1):
    rows = [[1, 0, images, 0]] * benign + [[0, 1, 0, images]] * malignant
    return np.array(rows)


@given(
    st.integers(3, 60),
    st.integers(3, 60),
    st.sampled_from([(0.65, 0.15, 0.2), (0.5, 0.25, 0.25), (0.2, 0.2, 0.2, 0.2, 0.2)]),
    st.integers(0, 99),
)
def test_single_patients_are_shared_out_within_one(benign, malignant, shares, seed):
    counts = single_patients(benign, malignant)
    parts = draw_parts(counts, np.array(shares), np.random.default_rng(seed))
    for label, total in enumerate((benign, malignant)):
        shared = np.array([counts[parts == k, label].sum() for k in range(len(shares))])
        if total >= len(shares):
            assert shared.min() >= 1
        # A seat for every part may cost the largest a few patients.
        if total * min(shares) >= 1:
            assert np.abs(shared - np.array(shares) * total).max() <= 1


def test_images_are_balanced_as_well_as_patients():
    rng = np.random.default_rng(0)
    images = rng.geometric(0.3, 200)
    counts = single_patients(130, 70) * [1, 1, 0, 0]
    counts[:130, 2], counts[130:, 3] = images[:130], images[130:]
    for seed in range(5):
        parts = draw_parts(counts, np.full(5, 0.2), np.random.default_rng(seed))
        share = np.array([counts[parts == k].sum(axis=0) for k in range(5)])
        share = share / counts.sum(axis=0)
        assert np.abs(share[:, 2:] - 0.2).max() < 0.06


def test_one_large_group_does_not_empty_a_part():
    counts = np.array([[0, 50, 0, 50], [0, 1, 0, 1], [0, 1, 0, 1], [9, 0, 9, 0]])
    counts = np.concatenate([counts, single_patients(9, 0)])
    parts = draw_parts(counts, np.array([0.65, 0.15, 0.2]), np.random.default_rng(0))
    assert sorted(parts[:3].tolist()) == [0, 1, 2]
    assert parts[0] == 0


def test_a_part_without_a_share_stays_empty():
    counts = single_patients(9, 9)
    parts = draw_parts(counts, np.array([0.8, 0.0, 0.2]), np.random.default_rng(0))
    assert set(parts.tolist()) == {0, 2}


def test_every_patient_has_the_same_chance():
    counts = single_patients(10, 10)
    counts[0, 2] = 6  # many images, but no reason to train always
    hits = np.zeros(20)
    for seed in range(300):
        hits += draw_parts(counts, np.full(2, 0.5), np.random.default_rng(seed)) == 0
    # 300 fair coins: 150 with a standard deviation of 8.7.
    assert np.abs(hits - 150).max() < 40


def test_quotas_are_filled_to_the_patient():
    counts = np.concatenate([single_patients(96, 87), [[2, 1, 4, 1]] * 4])
    quotas = np.array([[21, 20], [66, 66]])
    parts = draw_quotas(counts, quotas, np.random.default_rng(0))
    assert counts[parts == 0, :2].sum(axis=0).tolist() == [21, 20]
    assert counts[parts == 1, :2].sum(axis=0).tolist() == [66, 66]
    assert counts[parts == 2, :2].sum() == 96 + 87 + 12 - 173


def test_too_few_patients_for_the_quotas_are_counted():
    message = (
        "at least 87 benign and 86 malignant patients .* Received: 87 benign and 85 "
        "malignant; lower split.balanced_"
    )
    with pytest.raises(UserError, match=message):
        quotas = np.array([[21, 20], [66, 66]])
        draw_quotas(single_patients(87, 85), quotas, np.random.default_rng(0))


def test_groups_that_cannot_fill_the_quotas_are_an_error():
    counts = np.array([[2, 2, 2, 2]] * 9)
    message = "add up to exactly 4 benign .* 9 groups of 4 patients at most"
    with pytest.raises(UserError, match=message):
        draw_quotas(counts, np.array([[1, 1], [3, 3]]), np.random.default_rng(0))
