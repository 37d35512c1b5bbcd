"""What is drawn: cases in their shares, arms and cases in balanced orders."""

import itertools
from collections import Counter

import pytest

from usgland.errors import UserError
from usgland.study.design import ARMS, cross, draw_patients, parse_arms, parts_of


def test_arms_are_read_with_what_they_show():
    assert parse_arms("unaided, clinical+model") == ("unaided", "clinical+model")
    assert parts_of("unaided") == set()
    assert parts_of("clinical+model") == {"clinical", "model"}


@pytest.mark.parametrize("text", ["", "unaided,unaided", "unaided,aided"])
def test_an_arm_that_is_unknown_or_named_twice_is_refused(text):
    with pytest.raises(UserError, match="--design: expected some of unaided, clin"):
        parse_arms(text)


def test_patients_are_drawn_in_the_shares_that_they_have():
    labels = {f"p{n}": int(n < 88) for n in range(266)}  # the paper's 88 of 266
    drawn = draw_patients(labels, 41, 0)
    assert len(set(drawn)) == 41
    assert sum(labels[name] for name in drawn) == 14  # 41 * 88 / 266 = 13.6
    assert drawn == draw_patients(labels, 41, 0) != draw_patients(labels, 41, 1)


def test_both_labels_are_drawn_however_rare_one_is():
    for rare in (0, 1):
        labels = {f"p{n}": rare if n == 0 else 1 - rare for n in range(40)}
        for number in (2, 5, 40):
            drawn = draw_patients(labels, number, 3)
            assert len(drawn) == number
            assert {labels[name] for name in drawn} == {0, 1}


@pytest.mark.parametrize("number", [1, 5])
def test_more_patients_than_there_are_and_one_are_refused(number):
    with pytest.raises(UserError, match="--cases: expected 2 to 4, .*3 benign and 1"):
        draw_patients({"a": 0, "b": 0, "c": 0, "d": 1}, number, 0)


def test_patients_of_one_label_are_refused():
    with pytest.raises(UserError, match="benign and malignant ones"):
        draw_patients({"a": 1, "b": 1}, 2, 0)


@pytest.mark.parametrize("arms", [ARMS[:n] for n in (1, 2, 3, 4)])
def test_each_arm_stands_at_each_place_equally_often_but_for_one_reader(arms):
    for readers, seed in itertools.product((1, 2, 3, 4, 6, 7), (0, 1)):
        names = [f"R{n}" for n in range(readers)]
        sessions = cross(names, arms, ["a", "b"], seed)
        for place in range(len(arms)):
            counts = Counter(sessions[name][place].arm for name in names)
            assert max(counts.values()) - min(counts.get(a, 0) for a in arms) <= 1
        for name in names:
            assert {session.arm for session in sessions[name]} == set(arms)


@pytest.mark.parametrize("arms", [ARMS[:n] for n in (2, 3, 4)])
def test_each_arm_follows_each_other_one_equally_often(arms):
    readers = [f"R{n}" for n in range(12)]
    sessions = cross(readers, arms, ["a"], 0)
    pairs = Counter(
        (first.arm, second.arm)
        for reader in readers
        for first, second in itertools.pairwise(sessions[reader])
    )
    assert len(pairs) == len(arms) * (len(arms) - 1)
    assert len(set(pairs.values())) == 1


def test_each_session_has_an_order_of_its_own_of_all_cases():
    cases = [f"c{n}" for n in range(41)]
    sessions = cross(["R1", "R2", "R3"], ("unaided", "clinical"), cases, 0)
    orders = [session.cases for both in sessions.values() for session in both]
    assert len(set(orders)) == 6
    assert all(sorted(order) == sorted(cases) for order in orders)
    again = cross(["R1", "R2", "R3"], ("unaided", "clinical"), cases, 0)
    assert again == sessions
