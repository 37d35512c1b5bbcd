import re

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from usgland.ingest import devices, headers
from usgland.ingest.headers import PATTERNS, fields_of, shared_ids, study_days
from usgland.ingest.pseudonyms import Key
from usgland.ingest.removals import datasets_of, removed_counts, removed_table

KEY = Key(b"k" * 32)


def header(**values):
    dataset = Dataset()
    known = {"PatientID": "4711", "StudyInstanceUID": "1.2.3", "StudyDate": "20200302"}
    with headers.quietly():
        for name, value in {**known, **values}.items():
            setattr(dataset, name, value)
    return dataset


def fields(**values):
    return fields_of(header(**values), KEY)


def test_the_columns_are_pseudonyms_and_words_of_our_own():
    read = fields(
        PatientAge="034Y",
        PatientSex="F",
        Manufacturer="GE Healthcare Austria GmbH",
        ManufacturerModelName="LOGIQE9",
        TransducerData=["ML6-15-D", "UNUSED"],
        TransducerType="LINEAR",
    )
    assert read.columns() == {
        "patient_id": KEY.patient("4711"),
        "study_id": KEY.study("1.2.3"),
        "age": "34",
        "sex": "female",
        "manufacturer": "GE",
        "model": "LOGIQ E9",
        "transducer": "ML6-15-D",
        "array": "linear",
    }
    assert read.marks == ()


@pytest.mark.parametrize("name", ["Anna Muster", "4711", "1.2.3", "20200302", "=1+1"])
def test_nothing_planted_in_a_listed_attribute_gets_through(name):
    read = fields(
        PatientID=name,
        StudyInstanceUID=name,
        AccessionNumber=name,
        PatientAge=name,
        PatientSex=name,
        Manufacturer=f"{name} GE",
        ManufacturerModelName=name,
        TransducerData=[name, f"L12-5 {name}"],
        TransducerType=name,
        StudyDate="20200302",
    )
    for column, cell in read.columns().items():
        assert re.fullmatch(PATTERNS[column], cell), column
        assert name.casefold() not in cell.casefold()
    assert read.manufacturer == "GE"
    assert read.model == KEY.device(name)
    assert read.transducer == "L12-5"


@pytest.mark.parametrize(
    ("age", "birth", "expected"),
    [
        ("089Y", "", "89"),
        ("090Y", "", "90"),
        ("104Y", "19160101", "90"),
        ("012M", "", "1"),
        ("51W", "", "0"),
        ("003D", "", "0"),
        ("", "19800303", "39"),
        ("", "1980.03.02", "40"),
        ("", "19000101", "90"),
        ("", "20210101", ""),
        ("300Y", "", ""),
        ("", "", ""),
        ("", "19801399", ""),
    ],
)
def test_an_age_is_whole_years_and_over_89_folded(age, birth, expected):
    assert fields(PatientAge=age, PatientBirthDate=birth).age == expected


def test_days_count_from_a_patients_first_study():
    rows = [
        fields(StudyDate="20200302"),
        fields(StudyDate="20200301"),
        fields(StudyDate="", ContentDate="20210301"),
        fields(StudyDate="soon"),
        fields(PatientID="other", StudyDate="20220101"),
        fields(StudyDate="29990101"),
    ]
    assert study_days(rows) == ["1", "0", "365", "", "0", ""]


@pytest.mark.parametrize("patient", ["", "UNKNOWN", "Anonymous", "0", "n/a", "none"])
def test_without_a_patient_id_each_study_is_a_patient(patient):
    first = fields(PatientID=patient, StudyInstanceUID="1.2.3")
    second = fields(PatientID=patient, StudyInstanceUID="1.2.4")
    assert first.patient_id != second.patient_id
    assert first.marks == ("no_patient_id",)
    assert fields(PatientID="Anonymous_12").marks == ()


def test_without_an_uid_either_the_file_tells_studies_apart():
    bare = Dataset()
    assert (
        fields_of(bare, KEY, "a.dcm").patient_id
        != fields_of(bare, KEY, "b.dcm").patient_id
    )


@pytest.mark.parametrize(
    "other",
    [
        {"PatientBirthDate": "19700101"},
        {"PatientSex": "M"},
        {"IssuerOfPatientID": "clinic two"},
    ],
)
def test_two_patients_of_one_id_are_noticed(other):
    known = {
        "PatientBirthDate": "19690101",
        "PatientSex": "F",
        "IssuerOfPatientID": "clinic one",
    }
    rows = [fields(**known), fields(**known), fields(PatientSex="")]
    assert shared_ids(rows) == set()
    rows.append(fields(**{**known, **other}))
    assert shared_ids(rows) == {rows[0].patient_id}


def test_a_header_that_says_that_text_is_burned_in_is_marked():
    assert fields(BurnedInAnnotation="YES").marks == ("burned_in_annotation",)
    assert fields(BurnedInAnnotation="NO").marks == ()


@pytest.mark.parametrize(
    ("millimetres", "expected"),
    [
        (0.0781234567, "0.07812"),
        (0.20230514, "0.2023"),
        (float("nan"), ""),
        (float("inf"), ""),
        (0.0, ""),
        (-0.1, ""),
        (20230514.0, ""),
    ],
)
def test_a_spacing_has_four_digits(millimetres, expected):
    assert headers.rounded_spacing(millimetres) == expected


def test_an_unreadable_value_is_an_empty_cell():
    dataset = header()
    tag = pydicom.tag.Tag("PatientAge")
    wrong = pydicom.dataelem.RawDataElement(tag, "FD", 2, b"\xff\xfe", 0, True, True)
    dataset[tag] = wrong
    assert headers.text_of(dataset, "PatientAge") == ""
    assert fields_of(dataset, KEY).age == ""


def test_models_are_told_in_every_spelling():
    assert devices.known_model("Acuson S2000 ") == "ACUSON S2000"
    assert devices.known_model("logiq_e9") == "LOGIQ E9"
    assert devices.known_model("LOGIQ") == "LOGIQ"
    assert devices.known_model("JOHN LOGIQ 12345") == "LOGIQ"
    assert devices.known_model("DOE^JOHN") == ""
    assert devices.known_manufacturer("ALOKA CO., LTD.") == "Hitachi"
    assert devices.known_probe(["", "S5_1"]) == "S5-1"
    assert devices.known_array("CURVED LINEAR") == "curved"
    assert devices.known_array("Doe linear") == ""


def test_removals_are_counted_by_action_and_tag_and_never_hold_a_value():
    inner = Dataset()
    inner.PatientName = "Muster^Anna"
    dataset = header(PatientName="Muster^Anna", Rows=4)
    dataset.OtherPatientIDsSequence = Sequence([inner])
    block = dataset.private_block(0x0011, "Muster", create=True)
    block.add_new(0x10, "LO", "Muster")
    dataset.add_new(0x50000022, "LO", "Muster")
    dataset.add_new(0x60020022, "LO", "Muster")
    dataset.add_new(0x60024000, "LT", "Muster")
    dataset.add_new(0x00190514, "LO", "Muster")  # odd group: private
    dataset.add_new(0x20230514, "LO", "Muster")  # odd group: private
    dataset.add_new(0x20240514, "LO", "Muster")  # no attribute of the standard
    counts = removed_counts(dataset)
    # The actions as PS3.15, table E.1-1 prints them.
    assert counts == {
        ("Z", "(0010,0010)"): 2,
        ("Z/D", "(0010,0020)"): 1,
        ("X", "(0010,1002)"): 1,
        ("U", "(0020,000D)"): 1,
        ("Z", "(0008,0020)"): 1,
        ("X", "private attributes"): 4,
        ("X", "(50xx,xxxx)"): 1,
        ("X", "(60xx,4000)"): 1,
        ("not in the table", "unknown attributes"): 2,  # and a repeating group's
        ("not in the table", "(0028,0010)"): 1,
    }
    table = removed_table(counts, 1)
    assert "Muster" not in str(table)
    assert table["removed"]["Z"] == {"(0008,0020)": 1, "(0010,0010)": 2}


def test_nested_sequences_are_walked_without_recursion():
    dataset = Dataset()
    for depth in range(3000):
        outer = Dataset()
        outer.PatientID = str(depth)
        outer.OtherPatientIDsSequence = Sequence([dataset])
        dataset = outer
    assert sum(1 for _ in datasets_of(dataset)) == 3001
