"""The YAML file of published measures: what it may say, checked strictly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic

from usgland.errors import UserError
from usgland.evaluation.audit.printed import Rounding, printed_bounds
from usgland.settings import Settings, read_yaml, shipped_file, validate

PAPER = "audit_paper.yaml"
TEMPLATE = "audit_template.yaml"


def _quoted(value: object) -> object:
    if isinstance(value, bool | int | float):
        raise ValueError(
            'expected a number in quotes, such as "0.850", as its decimals count'
        )
    return value


def _readable(text: str) -> str:
    printed_bounds(text)
    return text


def _no_limit(text: str) -> str:
    if text[:1] in "<>":
        raise ValueError("expected a number, not a limit")
    return text


def _at_most_one(text: str) -> str:
    if printed_bounds(text).low > 1:
        raise ValueError('expected at most 1 or 100%, such as "0.85" or "85%"')
    return text


def _from_zero(text: str) -> str:
    if printed_bounds(text).high < 0:
        raise ValueError("expected a number from 0")
    return text


Printed = Annotated[
    str, pydantic.BeforeValidator(_quoted), pydantic.AfterValidator(_readable)
]
PrintedNumber = Annotated[Printed, pydantic.AfterValidator(_no_limit)]
Kappa = Annotated[PrintedNumber, pydantic.AfterValidator(_at_most_one)]
PrintedShare = Annotated[Kappa, pydantic.AfterValidator(_from_zero)]
P = Annotated[
    Printed, pydantic.AfterValidator(_at_most_one), pydantic.AfterValidator(_from_zero)
]
Count = Annotated[int, pydantic.Field(ge=0, le=100_000)]
Size = Annotated[int, pydantic.Field(ge=1, le=100_000)]  # of a group of a table
# Of a class: every confusion matrix of so many is looked at.
Cases = Annotated[int, pydantic.Field(ge=1, le=5_000)]
Share = Annotated[float, pydantic.Field(gt=0, lt=1)]


class CasesStated(Settings):
    """What rows were measured on, as the paper states it."""

    unit: Literal["patient", "image", "lesion"] = "patient"
    malignant: Cases | None = None  # None: not stated
    benign: Cases | None = None
    total: Annotated[int, pydantic.Field(ge=2, le=2_000)] | None = None  # of both

    @pydantic.model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.malignant is None) != (self.benign is None):
            raise ValueError("expected malignant and benign, or neither")
        if self.total is not None and self.malignant is not None:
            raise ValueError("expected total only without malignant and benign")
        return self


class MeasureRow(Settings):
    """One row of a table of diagnostic measures."""

    cases: str  # a name among `cases`
    sensitivity: PrintedShare
    specificity: PrintedShare
    accuracy: PrintedShare | None = None
    f1: PrintedShare | None = None
    kappa: Kappa | None = None
    auc: PrintedShare | None = None

    def printed(self) -> dict[str, str]:
        """Measure -> its text, of those that are printed."""
        return self.model_dump(exclude={"cases"}, exclude_none=True)


class Comparison(Settings):
    """A printed P value of two rows."""

    a: str  # names among `rows`
    b: str
    figure: Literal["sensitivity", "specificity", "accuracy", "auc"]
    p: P
    where: str = ""


class TableRow(Settings):
    """One row of a published table of two or more groups."""

    counts: tuple[tuple[Count, ...], ...] | None = None  # a list a group
    # Mean and SD a group.
    moments: tuple[tuple[PrintedNumber, PrintedNumber], ...] | None = None
    # Shares of n, a list a group; alone or beside counts.
    percents: tuple[tuple[PrintedShare, ...], ...] | None = None
    p: P | None = None
    # Of what moments are of: values are multiples of it, and where they can lie.
    step: Annotated[float, pydantic.Field(gt=0)] | None = None
    range: tuple[float | None, float | None] = (None, None)

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> Self:
        others = self.counts is not None or self.percents is not None
        if others == (self.moments is not None):
            raise ValueError(
                "expected either counts, with or without percents, or moments"
            )
        for name in ("counts", "percents"):
            groups = getattr(self, name)
            if groups is not None and len({len(group) for group in groups}) != 1:
                raise ValueError(f"expected as many {name} in each group")
        if self.counts is not None and self.percents is not None:
            sizes = [
                [len(x) for x in groups] for groups in (self.counts, self.percents)
            ]
            if sizes[0] != sizes[1]:
                raise ValueError("expected as many percents as counts")
        if self.moments is None and (self.step or self.range != (None, None)):
            raise ValueError("expected step and range beside moments")
        deviations = [deviation for _, deviation in self.moments or ()]
        if any(float(deviation) < 0 for deviation in deviations):
            raise ValueError(
                f"expected SDs of 0 or more, not {', '.join(map(str, deviations))}"
            )
        low, high = self.range
        if low is not None and high is not None and not low < high:
            raise ValueError(f"expected a range that rises, not {low:g} to {high:g}")
        return self

    def groups(self) -> int:
        """How many groups it is of."""
        return len(self.counts or self.percents or self.moments or ())


class PublishedTable(Settings):
    """A published table of the groups' characteristics."""

    groups: Annotated[tuple[str, ...], pydantic.Field(min_length=2)]
    n: tuple[Size, ...]
    rows: dict[str, TableRow]

    @pydantic.model_validator(mode="after")
    def _as_many_groups(self) -> Self:
        wanted = len(self.groups)
        if len(self.n) != wanted:
            raise ValueError(f"expected n of {wanted} groups, not of {len(self.n)}")
        for name, row in self.rows.items():
            if row.groups() != wanted:
                raise ValueError(
                    f"{name}: expected {wanted} groups, not {row.groups()}"
                )
        return self


class AuditFile(Settings):
    """Published measures, as `configs/audit_paper.yaml` explains them."""

    title: str
    rounding: Rounding = "either"
    largest: Annotated[int, pydantic.Field(ge=1, le=1000)] = 200
    prevalences: tuple[Share, ...] = ()
    cases: dict[str, CasesStated] = {}
    rows: dict[str, MeasureRow] = {}
    comparisons: tuple[Comparison, ...] = ()
    tables: dict[str, PublishedTable] = {}
    repeated: dict[str, dict[str, Printed]] = {}

    @pydantic.model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, row in self.rows.items():
            if row.cases not in self.cases:
                raise ValueError(
                    f"rows.{name}.cases: expected a name among cases "
                    f"({', '.join(self.cases) or 'none'}), not {row.cases}"
                )
        for comparison in self.comparisons:
            for side in (comparison.a, comparison.b):
                if side not in self.rows:
                    raise ValueError(
                        f"comparisons: expected names among rows, not {side!r}"
                    )
        return self


def read_audit_file(path: Path) -> AuditFile:
    """Reads published measures; the error names every problem."""
    return validate(AuditFile, read_yaml(path), str(path), _known_names)


def paper_path(name: str = PAPER) -> Path:
    """Where `configs/audit_paper.yaml` lies: in a checkout or an installed package.

    With `TEMPLATE`, the example to fill in.
    """
    path = shipped_file(name)
    if not path.is_file():
        raise UserError(
            f"Expected {name} in the installation. Received: none. Name a file: "
            "`usgland audit FILE`"
        )
    return path


def _known_names(where: Sequence[int | str]) -> list[str]:
    """What may stand in place of the last name of a dotted one."""
    parts = (CasesStated, MeasureRow, Comparison, PublishedTable, TableRow)
    models = parts if len(where) > 1 else (AuditFile,)
    names = [name for model in models for name in model.model_fields]
    return [".".join(map(str, (*where[:-1], name))) for name in names]
