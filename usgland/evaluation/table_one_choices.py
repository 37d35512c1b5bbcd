"""What a user may choose of Table 1: tests and medians of its columns."""

from collections.abc import Mapping, Sequence

from usgland.errors import UserError

# A column of numbers with fewer distinct values is one of categories.
DISTINCT = 8
OF_CATEGORIES = ("chi-square", "yates", "fisher")
OF_NUMBERS = ("welch", "student", "mann-whitney")
TESTS = (*OF_CATEGORIES, *OF_NUMBERS)


def check_choices(
    columns: Sequence[str],
    medians: Sequence[str],
    tests: Mapping[str, str],
    groups: int,
) -> None:
    """Refuses what would be passed over in silence.

    Raises:
        UserError: If a median or a test is of a column that is not shown, or a test of
            two groups is asked for of more.
    """
    for name, test in tests.items():
        if groups > 2 and test in OF_NUMBERS:
            raise UserError(
                f"--test {name}: expected two groups for {test}, or no --test, which "
                f"takes ANOVA or Kruskal-Wallis. Received: {groups} groups"
            )
    for option, names in (("--median", medians), ("--test", tests)):
        for name in names:
            if name not in columns:
                raise UserError(
                    f"{option}: expected a column of the table, one of "
                    f"{', '.join(columns)}. Received: {name!r}"
                )


def check_kind(name: str, is_number: bool, median: bool, test: str) -> None:
    """Refuses a test or a median that a column of its kind does not have.

    Raises:
        UserError: If there is one.
    """
    kind = "numbers" if is_number else "categories"
    fitting = OF_NUMBERS if is_number else OF_CATEGORIES
    if test and test not in fitting:
        raise UserError(
            f"--test {name}: expected one of {', '.join(fitting)}, for a column of "
            f"{kind}. Received: {test}"
        )
    if median and not is_number:
        raise UserError(
            f"--median: expected a column of numbers. Received: {name!r}, which is one "
            f"of categories (fewer than {DISTINCT} different numbers, or words)"
        )
