"""Draws of patients who belong together, stratified by label."""

import numpy as np
import pandas as pd

from usgland.errors import UserError

# The best balanced of so many random draws is taken. With more, the drawn parts would
# be chosen rather than drawn; with fewer, their numbers of images differ more.
DRAWS = 64
# Column whose equal cells tie images to one part -> what a cell names.
TIES = {"patient_id": "patient", "group_id": "group", "sha256": "identical images"}


def find_components(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Joins patients that share a group or a byte-identical image.

    Args:
        rows: Rows with `patient_id`, `label` (0 or 1) and, where known, `group_id`
            and `sha256`.

    Returns:
        The component of each row, int from 0 in the order of the patients' names,
        `(rows,)`; and what each component holds, `(components, 4)`: benign and
        malignant patients, benign and malignant images. A patient with a malignant
        image is malignant.
    """
    patients, _ = pd.factorize(rows["patient_id"], sort=True)
    component = pd.Series(patients)
    ties = [
        # An unknown digest ties nothing.
        rows[column].reset_index(drop=True).replace("", pd.NA)
        for column in TIES
        if column in rows
    ]
    while True:
        before = component
        for tie in ties:
            lowest = component.groupby(tie).transform("min")
            component = lowest.fillna(component).astype("int64")
        if component.equals(before):
            break
    codes = pd.factorize(component, sort=True)[0]
    images = pd.DataFrame({"code": codes, "label": rows["label"].to_numpy()})
    components = int(codes.max(initial=-1)) + 1
    counts = [
        np.bincount(units.loc[units["label"] == label, "code"], minlength=components)
        for units in (images.groupby(patients).max(), images)
        for label in (0, 1)
    ]
    return codes, np.stack(counts, axis=1)


def draw_parts(
    counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Deals components into parts with the same share of each class.

    Components come in random order. Each goes to a part that still has no image of
    its class, else to the part that lacks most patients of it. Of several such
    draws the one is taken whose parts are nearest to their shares of the patients
    and images of each class.

    Args:
        counts: Benign and malignant patients, benign and malignant images of each
            component, `(components, 4)`.
        shares: Share of each part, `(parts,)`, sum 1. A part with share 0 is empty.
        rng: Source of randomness.

    Returns:
        The part of each component, int from 0, `(components,)`.
    """
    total = counts.sum(axis=0)
    targets = shares[:, None] * total
    draws = np.arange(DRAWS)
    parts = np.zeros((DRAWS, len(counts)), dtype="int64")
    held = np.zeros((DRAWS, len(shares), 4))
    # Components with both classes come first: later nothing could even them out.
    has_both: np.ndarray = np.all(counts[:, 2:] > 0, axis=1)
    order = rng.permuted(np.tile(np.arange(len(counts)), (DRAWS, 1)), axis=1)
    order = np.take_along_axis(
        order, np.argsort(~has_both[order], axis=1, kind="stable"), axis=1
    )
    for component in order.T:
        size = counts[component]  # (draws, 4)
        lacks = (held[..., 2:] == 0) & (size[:, None, 2:] > 0)
        need = ((targets - held)[..., :2] * size[:, None, :2]).sum(axis=2)
        # The random part decides between equals, which folds often are.
        need += rng.uniform(0, 1e-6, need.shape)
        # A part without a class cannot be scored: this is larger than any need.
        need += lacks.any(axis=2) * (total[:2].sum() + 1.0) ** 2 * 2
        need[:, shares == 0] = -np.inf
        choice = need.argmax(axis=1)
        parts[draws, component] = choice
        held[draws, choice] += size
    misses = np.abs(held - targets) / np.maximum(total, 1)
    empty = (held[..., 2:] == 0) & (targets[:, 2:] > 0)
    cost = misses.sum(axis=(1, 2)) + 10.0 * empty.sum(axis=(1, 2))
    return parts[cost.argmin()]


def draw_quotas(
    counts: np.ndarray, quotas: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fills parts with fixed numbers of patients of each class.

    As `draw_parts`, but `quotas` has the benign and malignant patients of each part,
    `(parts, 2)`, and a component that is left over gets the number of parts.

    Raises:
        UserError: If there are too few patients, or no whole components that fill
            the quotas were found.
    """
    patients = counts[:, :2]
    have, want = patients.sum(axis=0), quotas.sum(axis=0)
    text = f"{want[0]} benign and {want[1]} malignant patients for split.protocol"
    if (have < want).any():
        raise UserError(
            f"Expected at least {text}=balanced. Received: {have[0]} benign and "
            f"{have[1]} malignant; lower split.balanced_… or set "
            "split.protocol=fractions"
        )
    for _ in range(DRAWS):
        left = quotas.copy()
        parts = np.full(len(counts), len(quotas))
        for component in rng.permutation(len(counts)):
            fits = (patients[component] <= left).all(axis=1)
            if fits.any():
                parts[component] = fits.argmax()
                left[parts[component]] -= patients[component]
        if not left.any():
            return parts
    raise UserError(
        f"Expected groups that add up to exactly {text}=balanced. Received: "
        f"{len(counts)} groups of {patients.sum(axis=1).max()} patients at most, "
        "and no draw fits; change split.balanced_… a little"
    )
