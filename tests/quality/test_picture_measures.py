import cv2
import numpy as np
import pandas as pd

from tests.drawn_frames import draw_frame
from usgland.config import Config
from usgland.quality.frames import Frame
from usgland.quality.patient_records import clinical_columns, cut_lesions, read_records
from usgland.quality.picture_measures import judge, measure


def frame_of(grey):
    return Frame(np.repeat(grey[..., None], 3, axis=2), grey)


def findings_of(frames, shorter=240):
    measured = {row: measure(frame, None) for row, frame in enumerate(frames)}
    found = judge(measured, dict.fromkeys(measured, shorter))
    return {(each.row, each.kind) for each in found}


def test_a_blurred_frame_stands_out_of_its_table():
    greys = [draw_frame(seed) for seed in range(10)]
    assert findings_of(map(frame_of, greys)) == set()
    greys[5] = cv2.GaussianBlur(greys[5], (0, 0), 4)
    assert findings_of(map(frame_of, greys)) == {(5, "blurred")}


def test_the_black_around_a_frame_does_not_change_its_sharpness():
    grey = draw_frame(0)
    padded = np.pad(grey, ((40, 40), (90, 10)))
    first, second = (measure(frame_of(each), None).sharpness for each in (grey, padded))
    assert abs(first - second) < 0.02 * first


def test_faint_white_and_small_frames_are_told():
    grey = draw_frame(0)
    faint = (100 + grey // 8).astype(np.uint8)
    white = np.clip(grey * 2.5, 0, 255).astype(np.uint8)
    page = np.full((240, 320), 255, np.uint8)
    page[30:40, 30:200] = 0
    assert findings_of([frame_of(faint)]) == {(0, "contrast")}
    assert (0, "saturated") in findings_of([frame_of(white)])
    assert (0, "other") in findings_of([frame_of(page)])
    assert findings_of([frame_of(grey)], shorter=100) == {(0, "small")}


def test_colour_is_doppler_in_parts_and_a_photograph_everywhere():
    frame = frame_of(draw_frame(0))
    frame.colour[60:120, 100:180] = (220, 30, 20)
    assert findings_of([frame]) == {(0, "colour")}
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 255, (240, 320, 3), np.uint8)
    grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
    assert (0, "other") in findings_of([Frame(photograph, grey)])


def test_words_are_told_where_somebody_looks_for_them():
    frame = frame_of(draw_frame(0))
    measured = measure(frame, lambda colour: [(50, 200, 120, 220, 0.9)])
    (finding,) = judge({4: measured}, {4: 240})
    assert (finding.row, finding.kind) == (4, "words")


def test_records_name_the_reasons_of_the_paper():
    rows = pd.DataFrame(
        {
            "Prior treatment": ["no", "chemotherapy", "", ""],
            "histology": ["pleomorphic adenoma", "", "chronic sialadenitis", ""],
            "age": ["50", "60", "70", "n/a"],
        }
    )
    reasons = {(each.row, each.reason) for each in read_records(rows, ["age"])}
    assert reasons == {
        (1, "treated before the ultrasound examination"),
        (2, "inflammatory lesion"),
        (3, "incomplete medical record"),
    }


def test_a_lesion_at_the_border_is_cut():
    rows = pd.DataFrame({"frame_width": [100] * 3, "frame_height": [80] * 3})
    boxes = {0: (10, 10, 20, 20), 1: (0, 10, 20, 20), 2: (60, 20, 40, 20)}
    assert [each.row for each in cut_lesions(boxes, rows)] == [1, 2]


def test_the_columns_whose_gaps_matter_are_the_forms_or_all_that_may_be_known():
    free = ["image", "label", "Site", "frame_width", "histology", "BI-RADS", "smoker"]
    assert clinical_columns(pd.DataFrame(columns=free), Config()) == ["smoker"]
    of_form = list(Config().clinical.used())[:2]
    table = pd.DataFrame(columns=[*free, *of_form])
    assert clinical_columns(table, Config()) == of_form
