"""The design of a reader study: who reads which cases how, and in which order.

An arm is what readers are shown beside the image: nothing (`unaided`), the clinical
form (`clinical`), the model's answer (`model`) or both (`clinical+model`). A session is
the reading of all cases in an arm.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pydantic

from usgland.errors import UserError
from usgland.settings import Settings

UNAIDED, FORM, MODEL = "unaided", "clinical", "model"
PARTS = (FORM, MODEL)
ARMS = (UNAIDED, FORM, MODEL, f"{FORM}+{MODEL}")
FEWEST_CASES = 2  # one benign, one malignant
CALLS = ("benign", "malignant")
LONGEST_NUMBER = 20  # signs of a descriptor that is a number


class ModelAnswer(Settings):
    """What the arm with the model shows of a case."""

    probability: float  # P(malignant)
    malignant: bool


class Case(Settings):
    """A case as readers see it: nothing in it says whose it is, or its label."""

    name: str  # as the owner's table calls it
    file: str  # of the image, relative to the study's folder
    sha256: str  # of its bytes
    form: tuple[tuple[str, str], ...] = ()  # shown name and value
    model: ModelAnswer | None = None


class Asked(Settings):
    """A descriptor that readers are asked for."""

    column: str
    title: str
    words: tuple[str, ...] = ()  # empty for a number
    low: float | None = None
    high: float | None = None

    def takes(self, value: str) -> bool:
        """Whether a reader may answer so."""
        if self.words:
            return value in self.words
        try:
            number = float(value) if len(value) <= LONGEST_NUMBER else math.nan
        except ValueError:
            return False
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return math.isfinite(number) and low <= number <= high


class Session(Settings):
    """One reader's reading of all cases in an arm."""

    arm: str
    cases: tuple[str, ...]  # names, in their order


class Design(Settings):
    """All that is decided before anyone reads."""

    format: Literal[1] = 1
    study: str  # four signs, with which the keys of its readers begin
    made: str  # day, ISO 8601
    arms: tuple[str, ...]
    washout_days: float = pydantic.Field(ge=0)
    way_back: bool  # whether a reader may change a call until the session ends
    seed: int
    synthetic: bool
    threshold: str = ""  # of the model, on P(malignant), in words
    asked: tuple[Asked, ...] = ()
    cases: tuple[Case, ...]
    sessions: dict[str, tuple[Session, ...]]  # of each reader
    keys: dict[str, str]  # of each reader, the digest of the key
    truth_sha256: str  # of the owner's table of cases

    def text(self) -> str:
        """What design.json holds."""
        return json.dumps(self.model_dump(), indent=1, ensure_ascii=False) + "\n"

    def case(self, name: str) -> Case:
        return next(case for case in self.cases if case.name == name)


def parse_arms(text: str) -> tuple[str, ...]:
    """Reads `unaided,clinical`.

    Raises:
        UserError: If an arm is unknown or named twice.
    """
    arms = tuple(word.strip() for word in text.split(","))
    wrong = [arm for arm in arms if arm not in ARMS]
    if wrong or len(set(arms)) < len(arms):
        raise UserError(
            f"--design: expected some of {', '.join(ARMS)}, each once, with commas "
            f"between. Received: {text!r}"
        )
    return arms


def parts_of(arm: str) -> frozenset[str]:
    """What an arm shows beside the image."""
    return frozenset() if arm == UNAIDED else frozenset(arm.split("+"))


def shown_beside(case: Case, arm: str) -> dict[str, Any]:
    """What an arm shows beside the image, and nothing else of the case."""
    shown: dict[str, Any] = {}
    parts = parts_of(arm)
    if FORM in parts:
        shown["values"] = case.form
    if MODEL in parts and case.model is not None:
        shown["answer"] = {
            "probability": case.model.probability,
            "call": CALLS[case.model.malignant],
        }
    return shown


def draw_patients(labels: Mapping[str, int], number: int, seed: int) -> list[str]:
    """Draws patients, malignant ones in the share that they have.

    Args:
        labels: Patient -> 0 benign, 1 malignant.
        number: How many to draw.
        seed: Of the draw.

    Raises:
        UserError: If there are fewer, or of one label alone.
    """
    names = sorted(labels)
    groups = [[name for name in names if labels[name] == label] for label in (0, 1)]
    if not FEWEST_CASES <= number <= len(names) or not all(groups):
        raise UserError(
            f"--cases: expected {FEWEST_CASES} to {len(names)}, the patients of the "
            f"manifest, benign and malignant ones. Received: {number} of "
            f"{len(groups[0])} benign and {len(groups[1])} malignant"
        )
    malignant = round(number * len(groups[1]) / len(names))
    malignant = min(max(malignant, 1, number - len(groups[0])), number - 1)
    rng = np.random.default_rng(seed)
    drawn = [
        name
        for group, size in zip(groups, (number - malignant, malignant), strict=True)
        for name in rng.choice(group, size, replace=False)
    ]
    return sorted(map(str, drawn))


def cross(
    readers: Sequence[str], arms: Sequence[str], cases: Sequence[str], seed: int
) -> dict[str, tuple[Session, ...]]:
    """Gives each reader the arms in an order, and the cases of each arm in another.

    The orders of the arms are the rows of a Latin square that is balanced for what
    comes before what; readers take them in turn, so that each arm is the first, the
    second, ... equally often, but for one reader. Orders of cases are drawn anew for
    each reader and session.

    Reference:
        [Williams, 1949](https://doi.org/10.1071/CH9490149), the squares.
    """
    rng = np.random.default_rng(seed)
    rows = _balanced_rows(len(arms))
    squares = [rows[start:][: len(arms)] for start in range(0, len(rows), len(arms))]
    rows = [square[i] for square in squares for i in rng.permutation(len(arms))]
    turns = rng.permutation(len(readers))
    return {
        reader: tuple(
            Session(
                arm=arms[place],
                cases=tuple(cases[i] for i in rng.permutation(len(cases))),
            )
            for place in rows[turn % len(rows)]
        )
        for reader, turn in zip(readers, turns, strict=True)
    }


def _balanced_rows(size: int) -> list[list[int]]:
    """Rows in which each number follows each other one equally often.

    Of an odd size twice as many as it has numbers: the rows and their mirror images.
    Each run of `size` rows is a Latin square.
    """
    zigzag = [0]
    for step in range(1, size):
        zigzag.append((step + 1) // 2 if step % 2 else size - step // 2)
    rows = [[(place + shift) % size for place in zigzag] for shift in range(size)]
    return rows if size % 2 == 0 else rows + [row[::-1] for row in rows]


def digest(content: bytes | str) -> str:
    """SHA-256 as hex."""
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()
