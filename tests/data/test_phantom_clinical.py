import numpy as np
import pytest
from scipy.stats import norm

from usgland.data.phantom_clinical import draw_patients, share_out
from usgland.data.phantom_draws import make_bits

# Table 4 as printed, training + testing set, benign then malignant; the rows that
# docs/phantoms.md reads the other way round are typed in that reading.
TABLE_4 = {
    "smoking": {"yes": (18 + 7, 19 + 5), "no": (48 + 14, 47 + 15)},
    "drinking": {"yes": (12 + 3, 17 + 3), "no": (54 + 18, 49 + 17)},
    "location": {"shallow": (64 + 19, 58 + 15), "deep": (2 + 2, 8 + 5)},
    "distribution": {"single": (60 + 19, 63 + 16), "bilateral": (6 + 2, 3 + 4)},
    "shape": {"round": (64 + 21, 31 + 6), "not round": (2 + 0, 35 + 14)},
    "capsule": {"absent": (0 + 0, 32 + 15), "present": (66 + 21, 34 + 5)},
    "regularity": {"regular": (60 + 17, 27 + 5), "irregular": (6 + 4, 39 + 15)},
    "margin": {"clear": (65 + 21, 35 + 6), "unclear": (1 + 0, 31 + 14)},
    "density": {
        "low": (43 + 14, 44 + 11),
        "middle": (0 + 2, 2 + 0),
        "high": (1 + 0, 0 + 1),
        "mixture": (18 + 4, 20 + 8),
        "cystic": (4 + 1, 0 + 0),
    },
    "calcification": {"absent": (63 + 21, 60 + 17), "present": (3 + 0, 6 + 3)},
}


@pytest.fixture(scope="module", params=[0, 1])
def patients(request):
    return draw_patients(make_bits(request.param), (87, 86))


@pytest.mark.parametrize("column", TABLE_4)
def test_each_class_has_the_counts_of_table_4(patients, column):
    for index, label in enumerate(("benign", "malignant")):
        words = patients.loc[patients["label"] == label, column]
        expected = {word: count[index] for word, count in TABLE_4[column].items()}
        assert words.value_counts().to_dict() == {
            k: v for k, v in expected.items() if v
        }


def test_a_row_of_table_4_that_lacks_patients_is_scaled_up(patients):
    benign = patients[patients["label"] == "benign"]
    # 50 men and 36 women of 86 are 50.6 and 36.4 of 87; 25 of 81 cysts are 26.9.
    assert (benign["gender"] == "male").sum() == 51
    assert (benign["cystic_degeneration"] == "present").sum() == 27


def test_histology_has_the_counts_of_table_1(patients):
    assert patients.groupby("label")["histology"].value_counts().to_dict() == {
        ("benign", "pleomorphic adenoma"): 41,
        ("benign", "Warthin tumor"): 26,
        ("benign", "basal cell adenoma"): 10,
        ("benign", "hydatoncus"): 10,
        ("malignant", "mucoepidermoid carcinoma"): 26,
        ("malignant", "adenocarcinoma"): 25,
        ("malignant", "acinic cell carcinoma"): 15,
        ("malignant", "adenoid cystic carcinoma"): 12,
        ("malignant", "myoepithelial carcinoma"): 4,
        ("malignant", "undifferentiated carcinoma"): 4,
    }


def test_cysts_are_in_masses_of_mixed_or_cystic_density(patients):
    has_fluid = patients["density"].isin(["mixture", "cystic"])
    assert ((patients["cystic_degeneration"] == "present") == has_fluid).all()


@pytest.mark.parametrize(
    ("column", "label", "mean", "deviation", "low", "high"),
    [
        ("age_years", "benign", 45.85, 23.47, 18, 90),
        ("age_years", "malignant", 50.74, 28.83, 18, 90),
        ("bmi_kg_m2", "benign", 23.55, 7.57, 15, 45),
        ("bmi_kg_m2", "malignant", 22.81, 8.30, 15, 45),
    ],
)
def test_ages_and_bmi_are_clipped_normals(column, label, mean, deviation, low, high):
    patients = draw_patients(make_bits(3), (3000, 3000))
    values = patients.loc[patients["label"] == label, column].to_numpy()
    assert values.min() == low and values.max() == high
    at_share = norm.ppf((np.arange(100_000) + 0.5) / 100_000, mean, deviation)
    expected = np.clip(at_share, low, high)
    assert values.mean() == pytest.approx(expected.mean(), abs=0.06 * deviation)
    assert values.std() == pytest.approx(expected.std(), rel=0.05)


def test_the_order_of_the_patients_does_not_tell_the_label(patients):
    malignant = (patients["label"] == "malignant").to_numpy()
    # 86 of 173 at random places: the mean place has a deviation of 3.8.
    assert abs(np.flatnonzero(malignant).mean() - 86) < 12
    assert patients["label"].ne(patients["label"].shift()).sum() > 60


def test_shares_are_whole_and_as_near_as_largest_remainder_gets():
    assert share_out([50, 36], 87) == [51, 36]
    assert share_out([57, 2, 1, 22, 5], 12) == [8, 0, 0, 3, 1]
    assert share_out([87, 0], 6) == [6, 0]
    assert share_out([1, 1, 1], 2) == [1, 1, 0]
