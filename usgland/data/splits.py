"""Who trains, who chooses, who tests.

What is drawn is never an image but a component: all patients that are tied by a
`group_id` or by byte-identical images. So nothing drawn here can put a patient or
a group into two roles, and roles that were given are checked for it.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from usgland.config import SplitSettings
from usgland.data import given_splits
from usgland.data.conflicts import find_conflicts
from usgland.data.draws import draw_parts, draw_quotas, find_components
from usgland.data.given_splits import ROLES, UNUSED, is_given
from usgland.data.manifest import CLASSES, NO_LESION
from usgland.errors import UserError
from usgland.table_files import Problem, normalize_word, raise_problems

TABLE = ("image", "patient_id", "group_id", "label", "role", "fold", "sha256")
# Of a network that is taught by others: the logit that they gave an image.
TEACHER = "teacher_logit"
# First numbers of the seeds, so that no two draws share their random numbers.
ROLE_DRAW, FOLD_DRAW, VAL_DRAW, ROUND_DRAW = 0, 1, 2, 3
NO_FOLD = -1  # of an image without a lesion whose patient is in no fold


def make_splits(rows: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Gives each image a role.

    The first of these that is there decides: `settings.file`; the column `split`
    (without `val` in it, that is drawn from `train`); the column `fold`, whose
    first fold tests; a draw by `settings.protocol`. The draw does not depend on the
    order of the rows. All of this is about images of lesions: those without one train,
    unless their patient does not or they were not meant to; then they are unused.
    With a `val_fraction` of 0 nothing is held back: whoever was to choose trains, too.

    Returns:
        The rows in their order with `role`: train, val, test, or unused for
        patients that the balanced draw leaves over.

    Raises:
        UserError: If a patient, group or image would stand in two roles, a part
            lacks a class, or what was given cannot be followed.
    """
    shown = _check_rows(rows)
    lesions = rows[shown]
    barred = np.zeros(len(rows), bool)  # what the others may not train for
    if settings.file is not None:
        followed = given_splits.follow_file(settings.file, rows, "role")
        roles = given_splits.read_roles(followed[shown], "role", str(settings.file))
        barred = ~given_splits.may_train(followed["role"])
    elif is_given(lesions, "split"):
        roles = given_splits.read_roles(lesions, "split", "The column `split`")
        barred = ~given_splits.may_train(rows["split"])
        if "val" not in set(roles) and settings.val_fraction > 0:
            # A conflict may not hide behind the draw from the training patients.
            raise_problems("The column `split`", find_conflicts(lesions, roles))
            roles = _take_val(lesions, roles, settings)
    elif is_given(lesions, "fold"):
        return fold_roles(make_folds(rows, settings), 0, settings)
    else:
        roles = _draw_roles(lesions, settings)
    if settings.val_fraction == 0:
        # A conflict may not hide behind the joining of the two parts.
        raise_problems("Split", find_conflicts(lesions, roles))
        roles = np.where(roles == "val", "train", roles)
    check_splits(
        lesions.assign(role=roles),
        val_needed=settings.val_fraction > 0,
        test_needed=settings.test_fraction > 0,
    )
    return rows.assign(role=_roles_of_all(rows, shown, roles, barred))


def make_folds(rows: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Gives each image a fold for cross-validation.

    The folds of `settings.file`, else the values of the column `settings.by`, else
    those of the column `fold`, numbered anew from 0 in their order, or else a draw of
    `settings.folds` folds with as equal shares of each class as whole components allow.
    A column `split` has no part in it.

    Returns:
        The rows in their order with `fold`, int from 0. An image without a lesion has
        that of its site or patient, or else `NO_FOLD`.

    Raises:
        UserError: If a patient, group or image would stand in two folds, a fold
            lacks a class, or what was given cannot be followed.
    """
    shown = _check_rows(rows)
    lesions = rows[shown]
    components, counts = find_components(rows)
    hint = "lower split.folds or add patients"
    others: Iterable[int] | None = None  # folds of the images without a lesion
    if settings.file is not None:
        followed = given_splits.follow_file(settings.file, rows, "fold")
        folds = given_splits.read_folds(followed[shown], str(settings.file))
        words = followed["fold"].map(normalize_word)
        known = dict(zip(words[shown], folds, strict=True))
        others = [known.get(word, NO_FOLD) for word in words[~shown]]
        if settings.by is not None:
            _check_sites(rows, folds, shown, settings)
    elif settings.by is not None:
        folds, others = given_splits.read_sites(rows, settings.by, shown)
        hint = "leave the rows of that fold out (column `exclusion`), or join two"
    elif is_given(lesions, "fold"):
        folds = given_splits.read_folds(lesions, "The column `fold`")
    else:
        parts, counts = find_components(lesions)
        shares = np.full(settings.folds, 1 / settings.folds)
        rng = np.random.default_rng((settings.seed, FOLD_DRAW))
        folds = draw_parts(counts, shares, rng)[parts]
    drawn = settings.file is None and settings.by is None
    drawn = drawn and not is_given(lesions, "fold")
    count = settings.folds if drawn else len(set(folds))
    if others is None:
        fold_of = dict(zip(components[shown], folds, strict=True))
        others = [fold_of.get(part, NO_FOLD) for part in components[~shown]]
    result = np.full(len(rows), NO_FOLD)
    result[shown], result[~shown] = folds, list(others)
    names = fold_names(rows.assign(fold=result), settings)
    needed = [names.get(fold, f"fold {fold}") for fold in range(count)]
    of_lesions = [names[fold] for fold in folds]
    empty = _find_empty_classes(lesions, of_lesions, needed, hint)
    of_all = [names.get(fold, UNUSED) for fold in result]
    raise_problems("Folds", find_conflicts(rows, of_all) + empty)
    return rows.assign(fold=result)


def _check_sites(
    rows: pd.DataFrame, folds: np.ndarray, shown: np.ndarray, settings: SplitSettings
) -> None:
    """Refuses to call folds of a file by sites that they are not."""
    sites, _ = given_splits.read_sites(rows, str(settings.by), shown)
    pairs = set(zip(folds.tolist(), sites.tolist(), strict=True))
    if not len(pairs) == len(set(folds)) == len(set(sites)):
        raise UserError(
            f"{settings.file}: expected a fold for each {settings.by} beside "
            f"split.by={settings.by}. Received: {len(set(folds))} folds that part the "
            f"images otherwise; leave split.file or split.by out"
        )


def fold_names(rows: pd.DataFrame, settings: SplitSettings) -> dict[int, str]:
    """Fold -> what it is called: `fold 2`, or, by the values of a column, `site North`.

    `rows` have `fold`.
    """
    if settings.by is None or settings.by not in rows:
        numbers = sorted(set(rows["fold"]) - {NO_FOLD})
        return {number: f"fold {number}" for number in numbers}
    sites = site_names(rows, settings.by)
    return {number: f"{settings.by} {name}" for number, name in sites.items()}


def site_names(rows: pd.DataFrame, column: str) -> dict[int, str]:
    """Fold -> the value of the column in its first row, however others spell it."""
    first = rows.drop_duplicates("fold").set_index("fold")[column]
    return {number: first[number] for number in sorted(set(rows["fold"]) - {NO_FOLD})}


def fold_roles(rows: pd.DataFrame, fold: int, settings: SplitSettings) -> pd.DataFrame:
    """Gives the roles of one round of cross-validation, whose test part is `fold`.

    `val_fraction` of the other patients choose; of 0, all of them train.

    Raises:
        ValueError: If there is no such fold.
        UserError: If a part lacks a class.
    """
    shown = _check_rows(rows)
    lesions = rows[shown]
    if fold not in set(lesions["fold"]):
        raise ValueError(
            f"`fold` must be one of {sorted(set(lesions['fold']))}. Received: {fold}"
        )
    roles = np.where(lesions["fold"] == fold, "test", "train")
    roles = _take_val(lesions, roles, settings, fold)
    check_splits(lesions.assign(role=roles), val_needed=settings.val_fraction > 0)
    barred = (rows["fold"] == fold).to_numpy()
    return rows.assign(role=_roles_of_all(rows, shown, roles, barred))


def draw_rounds(
    rows: pd.DataFrame, settings: SplitSettings, count: int
) -> list[pd.DataFrame]:
    """Parts who trains into so many rounds, each of which tests on some of them.

    What the networks of all rounds say of their tests, they say of whom they have not
    learned from, and together it is about everybody who trains. Nobody else has a part
    in it.

    Args:
        rows: Manifest rows with `role`.
        settings: Gives the seed.
        count: How many rounds.

    Returns:
        For each round the rows in their order, with `role`: train, test or unused.

    Raises:
        UserError: If a part of a round lacks a class.
    """
    shown = _check_rows(rows)
    learning = (rows["role"] == "train").to_numpy()
    parts, counts = find_components(rows[learning & shown])
    rng = np.random.default_rng((settings.seed, ROUND_DRAW))
    rounds = np.full(len(rows), -1)
    rounds[learning & shown] = draw_parts(counts, np.full(count, 1 / count), rng)[parts]
    tables, problems = [], []
    for number in range(count):
        roles = np.where(rounds == number, "test", "train").astype("U6")
        roles[~learning] = UNUSED
        names = [f"round {number + 1}, {role}" for role in roles[shown]]
        needed = [f"round {number + 1}, {role}" for role in ("train", "test")]
        hint = "add patients, or hold some back with split.val_fraction"
        problems += _find_empty_classes(rows[shown], names, needed, hint)
        roles = _roles_of_all(rows, shown, roles[shown], ~learning)
        tables.append(rows.assign(role=roles))
    raise_problems("Nothing is held back", problems)
    return tables


def splits_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What `splits.csv` holds: the columns of `TABLE`, and `TEACHER` if it is there.

    A role or fold that was not set is empty. The digest of the file's bytes tells an
    image again under another name, or another image under the same.
    """
    missing = {name: "" for name in ("role", "fold", "sha256") if name not in rows}
    names = [*TABLE, TEACHER] if TEACHER in rows else [*TABLE]
    return rows.assign(**missing)[names]


def check_splits(
    rows: pd.DataFrame, *, val_needed: bool = True, test_needed: bool = True
) -> None:
    """Checks that the roles share nobody and hold both classes.

    The unused may belong to anybody. Of what is not needed there may be no images.
    """
    roles = rows["role"].to_list()
    lacking = {"val": not val_needed, "test": not test_needed}
    needed = [role for role in ROLES if role in roles or not lacking.get(role)]
    hint = "add patients or change the settings of `split`"
    if "val" not in roles:
        hint += " (split.val_fraction=0 does without a validation part)"
    if "test" not in roles:
        hint += " (split.test_fraction=0 does without a test part)"
    empty = _find_empty_classes(rows, roles, needed, hint)
    raise_problems("Split", find_conflicts(rows, roles) + empty)


def _check_rows(rows: pd.DataFrame) -> np.ndarray:
    """Which rows show a lesion, bool `(rows,)`."""
    labels = set(rows["label"])
    if not labels <= {0, 1, NO_LESION} or labels == {NO_LESION}:
        raise ValueError(
            f"`label` must be 0 or 1, or {NO_LESION} without a lesion. "
            f"Received: {labels}"
        )
    return (rows["label"] != NO_LESION).to_numpy()


def _roles_of_all(
    rows: pd.DataFrame, shown: np.ndarray, roles: np.ndarray, barred: np.ndarray
) -> np.ndarray:
    """Roles of all rows, from those of the rows with a lesion.

    Others train, unless who they are tied to chooses or tests, or they are `barred`.
    """
    result = np.full(len(rows), "train", "U6")
    result[shown] = roles
    if not shown.all():
        components, _ = find_components(rows)
        held_out = np.isin(components, components[np.isin(result, ("val", "test"))])
        result[~shown & (held_out | barred)] = UNUSED
    return result


def _draw_roles(rows: pd.DataFrame, settings: SplitSettings) -> np.ndarray:
    components, counts = find_components(rows)
    rng = np.random.default_rng((settings.seed, ROLE_DRAW))
    if settings.protocol == "balanced":
        train = settings.balanced_train_per_class
        test = (settings.balanced_test_benign, settings.balanced_test_malignant)
        parts = draw_quotas(counts, np.array([test, (train, train)]), rng)
        roles = np.array(["test", "train", UNUSED])[parts][components]
        return _take_val(rows, roles, settings)
    train_share = 1 - settings.test_fraction - settings.val_fraction
    if train_share <= 0:
        raise UserError(
            "Expected split.test_fraction + split.val_fraction below 1. Received: "
            f"{settings.test_fraction} + {settings.val_fraction}"
        )
    shares = np.array([train_share, settings.val_fraction, settings.test_fraction])
    return np.array(ROLES)[draw_parts(counts, shares, rng)][components]


def _take_val(
    rows: pd.DataFrame, roles: np.ndarray, settings: SplitSettings, *fold: int
) -> np.ndarray:
    """Makes val of `val_fraction` of the training patients."""
    train = roles == "train"
    result = roles.astype("U6")
    if train.any():
        components, counts = find_components(rows[train])
        shares = np.array([1 - settings.val_fraction, settings.val_fraction])
        rng = np.random.default_rng((settings.seed, VAL_DRAW, *fold))
        parts = draw_parts(counts, shares, rng)[components]
        result[train] = np.array(["train", "val"])[parts]
    return result


def _find_empty_classes(
    rows: pd.DataFrame, parts: Iterable[str], needed: Iterable[str], hint: str
) -> list[Problem]:
    counts = pd.crosstab(np.array(list(parts)), rows["label"].to_numpy())
    counts = counts.reindex(list(needed), columns=[0, 1], fill_value=0)
    return [
        (
            0,
            f"{part}: expected benign and malignant images. Received: {benign} "
            f"{CLASSES[0]} and {malignant} {CLASSES[1]}; {hint}",
        )
        for part, benign, malignant in counts.itertuples()
        if not benign or not malignant
    ]
