"""The clinical form: which columns, what may stand in them, who knows them when."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import pydantic

from usgland.settings import Settings

# Also the name of an input of the saved model.
ColumnName = Annotated[str, pydantic.Field(pattern="^[a-z][a-z0-9_]*$")]
Role = Literal["demographic", "image_read"]
YES_NO = {
    "yes": ("y", "true", "1", "present", "positive"),
    "no": ("n", "false", "0", "absent", "negative"),
}
CAPITALS = ("bmi",)  # names that tables write so
# Columns that know the label: what was found after the image was read, the reader's
# own verdict, and the outline, which is drawn by who knows.
LEAKS = re.compile(
    r"bi_?rads|ti_?rads|diagnos|histolog|patholog|cytolog|biops|verif|interpret|"
    r"malignan|benign|outcome|follow_?up|mask|label|\bsplit\b|\bfold\b"
)


class ClinicalColumn(Settings):
    """One column of the form."""

    # number: in `unit`, from `low` to `high`; category: one of `words`; yes_no.
    kind: Literal["number", "category", "yes_no"]
    # demographic: known without the image; image_read: a reading of the same image.
    role: Role
    unit: str | None = None
    low: float | None = None  # least plausible number
    high: float | None = None
    # Word -> other ways to write it. Case and spaces are ignored.
    words: dict[str, tuple[str, ...]] = {}
    may_be_missing: bool = True
    # Whether a missing value is a state of its own; null: clinical.missing_indicator.
    indicator: bool | None = None
    # patient: one value for all images of a patient; image: may differ.
    level: Literal["patient", "image"] = "patient"

    @pydantic.field_validator("words", mode="before")
    @classmethod
    def _list_of_words(cls, value: object) -> object:
        """Lets `words: [oval, round]` stand for words without synonyms."""
        if isinstance(value, list | tuple):
            return {str(word): () for word in value}
        return value

    @pydantic.model_validator(mode="after")
    def _fits_its_kind(self) -> "ClinicalColumn":
        if self.kind == "number":
            if self.low is None or self.high is None or not self.low < self.high:
                raise ValueError("a number needs `low` below `high`, in its unit")
            if self.words:
                raise ValueError("a number has no `words`")
        elif self.low is not None or self.high is not None or self.unit is not None:
            raise ValueError(f"a column of kind {self.kind} has no unit, low or high")
        elif self.kind == "category" and len(self.words) < 2:
            raise ValueError("a category needs two `words` or more")
        elif self.kind == "yes_no" and self.words:
            raise ValueError("a column of kind yes_no has its own words")
        spelled = [bare_word(word) for word in self.spellings()]
        twice = sorted({word for word in spelled if spelled.count(word) > 1})
        if twice:
            raise ValueError(f"the word {twice[0]!r} stands for two things or twice")
        return self

    def spellings(self) -> dict[str, str]:
        """Every way to write a word -> the word; empty for a number."""
        words: Mapping[str, tuple[str, ...]] = self.words
        if self.kind == "yes_no":
            words = YES_NO
        pairs = [(word, word) for word in words]
        pairs += [(other, word) for word, others in words.items() for other in others]
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a word is listed twice")
        return dict(pairs)

    def choices(self) -> list[str]:
        """The words, each once, in their order; empty for a number."""
        return list(dict.fromkeys(self.spellings().values()))

    def shown_name(self, column: str) -> str:
        """What a table calls it, e.g. `Age, years` for the column `age_years`."""
        ending = re.sub("[^a-z0-9]+", "_", (self.unit or "").lower())
        name = column.removesuffix(f"_{ending}").replace("_", " ")
        name = name.upper() if name in CAPITALS else name[:1].upper() + name[1:]
        return f"{name}, {self.unit}" if self.unit else name

    def expected(self) -> str:
        """What may stand in the column, for an error."""
        if self.kind == "number":
            unit = f" {self.unit}" if self.unit else ""
            return f"a number from {self.low:g} to {self.high:g}{unit}"
        return f"one of {', '.join(self.choices())}"


def bare_word(word: str) -> str:
    """What remains of a word without case and spaces around and between."""
    return " ".join(word.lower().split())


def _number(unit: str, low: float, high: float) -> ClinicalColumn:
    return ClinicalColumn(
        kind="number", role="demographic", unit=unit, low=low, high=high
    )


def _category(role: Role, **words: tuple[str, ...]) -> ClinicalColumn:
    spaced = {word.replace("_", " "): others for word, others in words.items()}
    return ClinicalColumn(kind="category", role=role, words=spaced)


def _sign() -> ClinicalColumn:
    present, absent = ("yes", "y", "true", "1"), ("no", "n", "false", "0")
    return _category("image_read", present=present, absent=absent)


# The fourteen of Table 4 of the paper. An age in months or a BMI from pounds and
# inches without its factor falls outside its range.
TABLE_4: dict[str, ClinicalColumn] = {
    "gender": _category("demographic", male=("m", "man"), female=("f", "woman")),
    "age_years": _number("years", 1, 110),
    "bmi_kg_m2": _number("kg/m2", 10, 80),
    "smoking": ClinicalColumn(kind="yes_no", role="demographic"),
    "drinking": ClinicalColumn(kind="yes_no", role="demographic"),
    "location": _category("image_read", deep=(), shallow=("superficial",)),
    "distribution": _category(
        "image_read", single=("unilateral", "solitary"), bilateral=("both sides",)
    ),
    "shape": _category("image_read", round=(), not_round=()),
    "capsule": _sign(),
    "regularity": _category("image_read", regular=(), irregular=()),
    "margin": _category(
        "image_read", clear=("well defined",), unclear=("ill defined",)
    ),
    "density": _category(
        "image_read",
        low=("hypoechoic",),
        middle=("isoechoic",),
        high=("hyperechoic",),
        mixture=("mixed",),
        cystic=("anechoic",),
    ),
    "cystic_degeneration": _sign(),
    "calcification": _sign(),
}


class ClinicalSettings(Settings):
    """The form that goes with an image; without part in `model.inputs: image`."""

    # Every column of the form; a file that names any names all. See schema.py for
    # the default, Table 4, and configs/breast_usg.yaml for another.
    columns: dict[ColumnName, ClinicalColumn] = TABLE_4
    # Which columns are used: those known without the image, its readings, or both.
    roles: tuple[Role, ...] = ("demographic", "image_read")
    leave_out: tuple[str, ...] = ()  # columns that are not used after all
    # A missing value is a state of its own that the model may learn from. False: it
    # counts as the mean, as where what is missing tells who was ill.
    missing_indicator: bool = True
    # Columns used though their name says that they know the label.
    allow_leaks: tuple[str, ...] = ()
    # Also fit image alone, form alone and a logistic regression, on the same split.
    companions: bool = True

    @pydantic.model_validator(mode="after")
    def _names_exist_and_do_not_leak(self) -> "ClinicalSettings":
        for name in (*self.leave_out, *self.allow_leaks):
            if name not in self.columns:
                raise ValueError(f"no column {name!r} among {', '.join(self.columns)}")
        for name in self.used():
            if LEAKS.search(name) and name not in self.allow_leaks:
                raise ValueError(
                    f"the column {name!r} would give the label away; leave it out, or "
                    "name it in clinical.allow_leaks, which every report will say"
                )
        return self

    def used(self) -> dict[str, ClinicalColumn]:
        """The columns that the model takes, in their order."""
        return {
            name: column
            for name, column in self.columns.items()
            if column.role in self.roles and name not in self.leave_out
        }

    def shown_names(self) -> dict[str, str]:
        """Column -> what a table calls it, with its unit."""
        return {name: column.shown_name(name) for name, column in self.columns.items()}

    def has_indicator(self, name: str) -> bool:
        """Whether a missing value of the column is a state of its own."""
        own = self.columns[name].indicator
        return self.missing_indicator if own is None else own
