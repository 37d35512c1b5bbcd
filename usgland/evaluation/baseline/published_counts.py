"""A published Table 1 as YAML: groups, sizes, counts and moments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pydantic

from usgland.evaluation.baseline.characteristics import TableOne, table_from_counts
from usgland.settings import Settings, read_yaml, validate

Count = Annotated[int, pydantic.Field(ge=0)]


class PublishedCounts(Settings):
    """What a file of `usgland table1 --from-counts` holds.

    For example `{groups: [benign, malignant], n: [66, 66], counts: {gender: {male:
    [41, 35], female: [25, 31]}}, moments: {age: [[46.2, 23.8], [46.6, 28.4]]}}`.
    """

    groups: Annotated[tuple[str, ...], pydantic.Field(min_length=2)]
    n: tuple[pydantic.PositiveInt, ...]
    counts: dict[str, dict[str, tuple[Count, ...]]] = {}
    moments: dict[str, tuple[tuple[float, pydantic.NonNegativeFloat], ...]] = {}

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "PublishedCounts":
        wanted = len(self.groups)
        if len(self.n) != wanted:
            raise ValueError(f"expected n of {wanted} groups, not of {len(self.n)}")
        for name, words in self.counts.items():
            for word, counts in words.items():
                if len(counts) != wanted:
                    raise ValueError(f"{name}, {word}: expected {wanted} counts")
            for size, *column in zip(self.n, *words.values(), strict=True):
                if sum(column) > size:
                    raise ValueError(
                        f"{name}: expected counts that sum to {size} or fewer, not to "
                        f"{sum(column)}"
                    )
        for name, pairs in self.moments.items():
            if len(pairs) != wanted:
                raise ValueError(f"{name}: expected {wanted} pairs of mean and SD")
        return self


def read_published_counts(
    path: Path, *, tests: Mapping[str, str] | None = None, seed: int = 0
) -> TableOne:
    """The table of a YAML file of published counts."""
    names = list(PublishedCounts.model_fields)
    published = validate(PublishedCounts, read_yaml(path), str(path), lambda _: names)
    counted = (published.groups, published.n, published.counts, published.moments)
    return table_from_counts(*counted, tests=tests, seed=seed)
