"""What `usgland check` finds among images whose copies and marks are known.

    python scripts/benchmark_check.py SHARED/data [--no-words] [--seed 0]

Prints recall and precision of copies in BUSI, in BrEaST and of copies that are made of
BrEaST's frames, and sensitivity and specificity of words and callipers on 60 images of
BUSI that were labelled by eye. SHARED/data has busi/ and breast_usg/ with manifest.csv,
and busi/duplicates.csv: pairs that others found and viewed. Five pairs that count as
false there look like one acquisition; they are left out of both.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from usgland.evaluation.statistics.intervals import proportion_interval
from usgland.machine import usable_cores
from usgland.quality.drawn_marks import are_callipers, calliper_marks, words_among
from usgland.quality.duplicates import find_duplicates
from usgland.quality.fingerprints import comparable, fingerprint
from usgland.quality.frames import read_frame

LABELLED = Path(__file__).parent.parent / "tests/reference/busi_marks.csv"
DOUBTFUL = (
    *(("benign_108", "benign_114"), ("benign_061", "benign_094")),
    *(("benign_125", "benign_126"), ("benign_114", "benign_116")),
    ("malignant_027", "malignant_028"),
)
EACH = 40  # copies of a kind


def found_pairs(pictures):
    """Pairs of numbers of grey pictures, and the seconds that it took."""
    start = time.perf_counter()
    with ThreadPoolExecutor(usable_cores()) as pool:
        greys = list(pool.map(comparable, pictures))
        prints = list(pool.map(fingerprint, greys))
    pairs = {(p.first, p.second) for p in find_duplicates(prints, greys.__getitem__)}
    return pairs, time.perf_counter() - start


def read_all(folder):
    images = pd.read_csv(folder / "manifest.csv")["image"].to_list()
    return images, [read_frame(folder / image).grey for image in images]


def figures_of_busi(folder):
    """Recall, precision, pairs and seconds against the pairs that others found."""
    start = time.perf_counter()
    images, pictures = read_all(folder)
    reading = time.perf_counter() - start
    pairs, seconds = found_pairs(pictures)
    listed = pd.read_csv(folder / "duplicates.csv")
    doubtful = {
        tuple(f"images/{name}.jpg" for name in sorted(pair)) for pair in DOUBTFUL
    }
    true = set(
        map(tuple, np.sort(listed[["image_a", "image_b"]].to_numpy(str), axis=1))
    )
    true -= doubtful
    found = {tuple(sorted((images[a], images[b]))) for a, b in pairs} - doubtful
    hits = len(found & true)
    return hits / len(true), hits / len(found), len(found), reading + seconds


def crop(grey, rng):
    share, (height, width) = rng.uniform(0.6, 0.95), grey.shape
    rows, columns = int(height * share), int(width * share)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    return grey[top : top + rows, left : left + columns]


def flip(grey, rng):
    return grey[:, ::-1] if rng.random() < 0.7 else grey[::-1]


def pad(grey, rng):
    sides = [int(rng.uniform(0, 0.25) * side) for side in np.repeat(grey.shape, 2)]
    level = int(rng.choice([0, 0, 0, 40, 255]))
    return np.pad(grey, (sides[:2], sides[2:]), constant_values=level)


def shift(grey, rng):
    height, width = grey.shape
    x, y = rng.uniform(-0.15, 0.15, 2) * (width, height)
    return cv2.warpAffine(
        grey, np.array([[1, 0, x], [0, 1, y]], np.float32), (width, height)
    )


def gamma(grey, rng):
    power = rng.choice([0.5, 0.6, 0.7, 1.4, 1.6, 2.0])
    return (255 * (grey / 255) ** power).astype(np.uint8)


def jpeg(grey, rng):
    options = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))]
    return cv2.imdecode(cv2.imencode(".jpg", grey, options)[1], cv2.IMREAD_GRAYSCALE)


def callipers(grey, rng):
    grey, (height, width) = grey.copy(), grey.shape
    for _ in range(2):
        ends = [(rng.uniform(0.2, 0.8, 2) * (width, height)).astype(int) for _ in "ab"]
        for x, y in ends:
            cv2.drawMarker(grey, (int(x), int(y)), 255, cv2.MARKER_CROSS, 12, 1)
        for place in np.linspace(*ends, 40).astype(int):
            grey[place[1], place[0]] = 255
    return grey


CHANGES = (crop, flip, pad, shift, gamma, jpeg, callipers)


def figures_of_made(folder, seed):
    """Recall by kind of change, of all, and precision."""
    rng = np.random.default_rng(seed)
    _, pictures = read_all(folder)
    frames = len(pictures)
    made = []
    for change in CHANGES:
        for frame in rng.choice(frames, EACH, replace=False):
            made.append((int(frame), change.__name__))
            pictures.append(np.ascontiguousarray(change(pictures[frame], rng)))
    source = [*range(frames), *(frame for frame, _ in made)]
    pairs, _ = found_pairs(pictures)
    hits = [(frame, frames + n) in pairs for n, (frame, _) in enumerate(made)]
    recall = pd.Series(hits).groupby([kind for _, kind in made], sort=False).mean()
    precision = np.mean([source[a] == source[b] for a, b in pairs])
    false = sum(b < frames for _, b in pairs)
    return recall, float(np.mean(hits)), float(precision), false


def figures_of_marks(folder, words):
    """Who was called what, by the labels, of callipers and words."""
    labelled, called = pd.read_csv(LABELLED), {"callipers": [], "words": []}
    for image in labelled["image"]:
        frame = read_frame(folder / image)
        marks = calliper_marks(frame.colour)
        called["callipers"].append(are_callipers(marks))
        if words:
            from usgland.ingest.burned_text import text_boxes

            boxes = text_boxes(frame.colour)
            called["words"].append(words_among(boxes, frame.grey.shape, marks) > 0)
    return labelled, {
        name: np.array(values) for name, values in called.items() if values
    }


def show_share(what, right):
    interval = proportion_interval(int(right.sum()), len(right))
    bounds = f"{interval.low:.2f} to {interval.high:.2f}"
    print(f"  {what} {right.sum()} of {len(right)}: {right.mean():.2f} ({bounds})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--no-words", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recall, precision, pairs, seconds = figures_of_busi(options.data / "busi")
    print(f"BUSI: recall {recall:.3f}, precision {precision:.3f} of {pairs} pairs")
    print(f"  780 images in {seconds:.0f} s on {usable_cores()} cores")
    by_kind, recall, precision, false = figures_of_made(
        options.data / "breast_usg", options.seed
    )
    print(f"BrEaST: {false} false pairs among its frames")
    print(f"Made of BrEaST: recall {recall:.3f}, precision {precision:.3f}")
    print("  " + ", ".join(f"{kind} {share:.3f}" for kind, share in by_kind.items()))
    labelled, called = figures_of_marks(options.data / "busi", not options.no_words)
    for name, calls in called.items():
        truth = labelled[name].to_numpy(bool)
        print(f"{name} on {len(labelled)} images of BUSI")
        show_share("sensitivity", calls[truth])
        show_share("specificity", ~calls[~truth])


if __name__ == "__main__":
    main()
