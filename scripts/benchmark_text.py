"""Text drawn on real frames: how much of it is touched, and how many clean are flagged.

    PYTHONPATH=. python scripts/benchmark_text.py ../shared/data/breast_usg/images

Prints both with 95% Wilson intervals. The 40 frames and all that is drawn come from
seeds; thresholds were tuned on other frames (`--tuning`).
"""

import argparse
import time
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from usgland.evaluation.statistics.intervals import proportion_interval
from usgland.ingest.burned_text import Box, text_boxes

SEED, FRAMES, TEXTS = 16, 40, 5
GREYS = (200, 230, 255)  # as scanners write; darker text drowns in bright tissue
LINES = (
    *("DOE^JANE", "MUSTER, ANNA", "ID 00471182", "14.05.2023", "10:42:31", "LT BREAST"),
    *("Dr. Novak", "Clinic 3", "L12-5 / MI 0.9", "RADIAL 3H", "DOB 02/11/1961"),
    *("Nguyen Thi Lan", "MRN 8841-02", "axilla", "Kowalska M.", "F 044Y"),
)
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSerif.ttf",
)


def draw_texts(
    grey: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[Box]]:
    """Draws lines of 9 to 24 pixels that do not overlap; their boxes, ink only."""
    picture = Image.fromarray(grey)
    pen = ImageDraw.Draw(picture)
    boxes: list[Box] = []
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    while len(boxes) < TEXTS:
        size = int(rng.integers(9, 25))
        font = ImageFont.truetype(str(fonts / rng.choice(FONTS)), size)
        line = str(rng.choice(LINES))
        left, top, right, bottom = font.getbbox(line)
        x = int(rng.integers(0, max(1, grey.shape[1] - right)))
        y = int(rng.integers(0, max(1, grey.shape[0] - bottom)))
        box = Box(x + int(left), y + int(top), x + int(right), y + int(bottom), 1.0)
        if box.x1 > grey.shape[1] or any(overlap(box, b, 12) for b in boxes):
            continue
        pen.text((x, y), line, font=font, fill=int(rng.choice(GREYS)))
        boxes.append(box)
    return np.asarray(picture), boxes


def overlap(first: Box, second: Box, margin: int = 0) -> bool:
    return (
        first.x0 < second.x1 + margin
        and second.x0 < first.x1 + margin
        and first.y0 < second.y1 + margin
        and second.y0 < first.y1 + margin
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tuning", type=int, default=0, help="that many other frames")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.png"))
    order = np.random.default_rng(SEED).permutation(len(files))
    chosen = order[:FRAMES]
    if arguments.tuning:
        chosen = order[FRAMES : FRAMES + arguments.tuning]
    rng = np.random.default_rng([SEED, arguments.tuning])
    touched = drawn = flagged = 0
    start = time.perf_counter()
    for index in chosen:
        grey = cv2.imread(str(files[index]), cv2.IMREAD_GRAYSCALE)
        clean = text_boxes(grey, threads=arguments.threads)
        if clean:
            print(f"clean, but flagged: {files[index].name} {clean}")
        flagged += bool(clean)
        picture, boxes = draw_texts(grey, rng)
        answer = text_boxes(picture, threads=arguments.threads)
        for box in boxes:
            hit = any(overlap(box, other) for other in answer)
            if not hit:
                print(f"missed: {files[index].name} {box} of {grey.shape}")
            touched += hit
            drawn += 1
    seconds = (time.perf_counter() - start) / (2 * len(chosen))
    for name, count, total in (
        ("lines of text touched", touched, drawn),
        ("clean frames flagged", flagged, len(chosen)),
    ):
        interval = proportion_interval(count, total)
        share = count / total
        print(
            f"{name}: {count} of {total} ({share:.3f}, 95% CI "
            f"{interval.low:.3f} to {interval.high:.3f})"
        )
    print(f"{seconds:.2f} s a picture, {arguments.threads} threads")


if __name__ == "__main__":
    main()
