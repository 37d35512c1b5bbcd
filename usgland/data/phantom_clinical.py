"""The clinical values of the phantoms: the counts of Tables 1 and 4 of the paper.

Counts are those of the training and the test set together. Where the printed order
of a row is implausible the two words are swapped and the counts are kept;
docs/phantoms.md says where and why.
"""

import numpy as np
import pandas as pd

from usgland.data.phantom_draws import normals, permutation

# Column -> how many patients have each word: benign, malignant.
WORDS: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "gender": ({"male": 50, "female": 36}, {"male": 46, "female": 40}),
    "smoking": ({"yes": 25, "no": 62}, {"yes": 24, "no": 62}),
    "drinking": ({"yes": 15, "no": 72}, {"yes": 20, "no": 66}),
    "location": ({"deep": 4, "shallow": 83}, {"deep": 13, "shallow": 73}),
    "distribution": ({"single": 79, "bilateral": 8}, {"single": 79, "bilateral": 7}),
    "shape": ({"round": 85, "not round": 2}, {"round": 37, "not round": 49}),
    "capsule": ({"present": 87, "absent": 0}, {"present": 39, "absent": 47}),
    "regularity": ({"regular": 77, "irregular": 10}, {"regular": 32, "irregular": 54}),
    "margin": ({"clear": 86, "unclear": 1}, {"clear": 41, "unclear": 45}),
    "density": (
        {"low": 57, "middle": 2, "high": 1, "mixture": 22, "cystic": 5},
        {"low": 55, "middle": 2, "high": 1, "mixture": 28, "cystic": 0},
    ),
    "calcification": ({"present": 3, "absent": 84}, {"present": 9, "absent": 77}),
}

# Column -> mean and standard deviation of both sets together (benign, malignant), the
# limits beyond which a value is no longer plausible, and how many decimals it has.
NUMBERS = {
    "age_years": (((45.85, 23.47), (50.74, 28.83)), (18.0, 90.0), 0),
    "bmi_kg_m2": (((23.55, 7.57), (22.81, 8.30)), (15.0, 45.0), 1),
}

HISTOLOGY = (
    {
        "pleomorphic adenoma": 41,
        "Warthin tumor": 26,
        "basal cell adenoma": 10,
        "hydatoncus": 10,
    },
    {
        "mucoepidermoid carcinoma": 26,
        "adenocarcinoma": 25,
        "adenoid cystic carcinoma": 12,
        "acinic cell carcinoma": 15,
        "myoepithelial carcinoma": 4,
        "undifferentiated carcinoma": 4,
    },
)

# The columns stand in the order of Table 4.
CLINICAL = (
    *("gender", "age_years", "bmi_kg_m2", "smoking", "drinking", "location"),
    *("distribution", "shape", "capsule", "regularity", "margin", "density"),
    *("cystic_degeneration", "calcification"),
)


def draw_patients(
    bits: np.random.PCG64, patients_per_class: tuple[int, int]
) -> pd.DataFrame:
    """Draws the patients of both classes, in random order.

    Within a class each column is a random order of the exact counts, independent of
    the other columns, but for cystic degeneration, which follows the density.

    Returns:
        One row a patient: label (benign or malignant), histology and `CLINICAL`.
    """
    classes = (_draw_class(bits, *part) for part in enumerate(patients_per_class))
    patients = pd.concat(classes, ignore_index=True)
    return patients.iloc[permutation(bits, len(patients))].reset_index(drop=True)


def _draw_class(bits: np.random.PCG64, label: int, count: int) -> pd.DataFrame:
    columns: dict[str, list] = {
        "label": [("benign", "malignant")[label]] * count,
        "histology": _shuffle(bits, HISTOLOGY[label], count),
    }
    for name, (moments, (low, high), decimals) in NUMBERS.items():
        mean, deviation = moments[label]
        values = np.clip(mean + deviation * normals(bits, count), low, high)
        columns[name] = np.round(values, decimals).tolist()
    for name, counts in WORDS.items():
        columns[name] = _shuffle(bits, counts[label], count)
    # 27 benign and 28 malignant masses are of mixed or cystic density, exactly as many
    # as have cystic degeneration: Table 4 reports the same finding twice.
    columns["cystic_degeneration"] = [
        "present" if density in ("mixture", "cystic") else "absent"
        for density in columns["density"]
    ]
    rows = pd.DataFrame(columns)[["label", "histology", *CLINICAL]]
    return rows.astype({"age_years": int})


def _shuffle(bits: np.random.PCG64, counts: dict[str, int], count: int) -> list[str]:
    words = np.repeat(list(counts), share_out(list(counts.values()), count))
    return words[permutation(bits, count)].tolist()


def share_out(counts: list[int], total: int) -> list[int]:
    """Scales counts to a total in whole numbers, by largest remainder.

    Whole-number arithmetic; equal remainders go to the earlier count.
    """
    whole = sum(counts)
    shares = [count * total // whole for count in counts]
    remainders = [count * total % whole for count in counts]
    order = sorted(range(len(counts)), key=lambda index: -remainders[index])
    for index in order[: total - sum(shares)]:
        shares[index] += 1
    return shares
