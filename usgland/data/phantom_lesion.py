"""The lesion of a phantom: its outline, inside, capsule and calcifications.

Everything follows the clinical values; the label and the histology never come here.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from usgland.data.phantom_draws import bump, integer, smooth_step, uniform, value_noise

# Density -> lowest and highest amplitude of the echo, the gland being 1.
ECHO = {
    "low": (0.16, 0.30),
    "middle": (0.40, 0.60),
    "high": (1.40, 2.00),
    "mixture": (0.22, 0.45),
    "cystic": (0.12, 0.20),
}
FLUID_ECHO = 0.012


class Lesion(NamedTuple):
    """A lesion in units of its own ellipse: radius 1, height downwards."""

    radius_mm: float  # geometric mean of the two half axes
    height_to_width: float
    tilt: float  # sine of the angle by which it is turned
    waves: tuple[tuple[float, float], ...]  # cosine, sine of 2, 3, ... waves a turn
    blur_mm: float  # half the width of the margin
    ragged_mm: float  # how far echoes stray over the margin
    gap_mm: float  # from the surface of the gland to the top of the lesion
    across: float  # centre, from -1 to 1 over the width it may take
    echo: float  # amplitude, the gland being 1
    patches: float  # relative variation of that amplitude inside
    capsule: float  # strength of the capsule line, 0 without one
    gain_db_per_mm: float  # enhancement (or loss) behind solid tissue
    cysts: tuple[tuple[float, float, float, float], ...]  # centre, half axes
    specks: tuple[tuple[float, float, float], ...]  # centre, radius in mm


class LesionMaps(NamedTuple):
    """What a lesion does to the tissue, each float64 `(height, width)`."""

    inside: np.ndarray  # share of lesion, in [0, 1], soft at the margin
    mask: np.ndarray  # inside the drawn outline: bool
    echo: np.ndarray  # amplitude where it is lesion
    line: np.ndarray  # coherent echo of capsule, cyst walls, calcifications
    gain_db_per_mm: np.ndarray  # what the beam gains on its way down


def draw_lesion(values: Mapping[str, Any], bits: np.random.PCG64) -> Lesion:
    """Draws what all images of a patient share; `values` are the words of Table 4."""
    is_round = values["shape"] == "round"
    waves = _draw_waves(is_round, values["regularity"] == "regular", bits)
    if is_round:
        ratio = uniform(bits, 0.78, 1.06)
    else:
        ratio = (0.75, 1.35)[integer(bits, 0, 1)] * uniform(bits, 0.92, 1.08)
    clear = values["margin"] == "clear"
    cystic = values["density"] == "cystic"
    return Lesion(
        radius_mm=uniform(bits, 4.6, 8.2),
        height_to_width=ratio,
        tilt=uniform(bits, -0.35, 0.35),
        waves=waves,
        blur_mm=uniform(bits, 0.15, 0.30) if clear else uniform(bits, 1.0, 1.8),
        ragged_mm=0.1 if clear else uniform(bits, 0.9, 1.6),
        gap_mm=(
            uniform(bits, 0.8, 3.0)
            if values["location"] == "shallow"
            else uniform(bits, 7.0, 10.0)
        ),
        across=uniform(bits, -1.0, 1.0),
        echo=uniform(bits, *ECHO[values["density"]]),
        patches=0.55 if values["density"] == "mixture" else uniform(bits, 0.1, 0.3),
        capsule=uniform(bits, 1.5, 2.4) if values["capsule"] == "present" else 0.0,
        gain_db_per_mm=uniform(bits, -0.20, 0.20),
        cysts=_draw_cysts(values["cystic_degeneration"] == "present", cystic, bits),
        specks=_draw_specks(values["calcification"] == "present", bits),
    )


def _draw_waves(
    is_round: bool, regular: bool, bits: np.random.PCG64
) -> tuple[tuple[float, float], ...]:
    lobe, jag = (0.015 if is_round else 0.075), (0.0 if regular else 0.030)
    sizes = [lobe] * 4 + [jag] * 9
    waves = [(uniform(bits, -s, s), uniform(bits, -s, s)) for s in sizes]
    return tuple(waves if not regular else waves[:4])


def _draw_cysts(
    degenerated: bool, cystic: bool, bits: np.random.PCG64
) -> tuple[tuple[float, float, float, float], ...]:
    if cystic:
        return ((0.0, 0.0, uniform(bits, 0.78, 0.86), uniform(bits, 0.78, 0.86)),)
    if not degenerated:
        return ()
    return tuple(
        (
            uniform(bits, -0.45, 0.45),
            uniform(bits, -0.45, 0.45),
            uniform(bits, 0.18, 0.42),
            uniform(bits, 0.15, 0.36),
        )
        for _ in range(integer(bits, 1, 3))
    )


def _draw_specks(
    calcified: bool, bits: np.random.PCG64
) -> tuple[tuple[float, float, float], ...]:
    if not calcified:
        return ()
    centre = uniform(bits, -0.35, 0.35), uniform(bits, -0.35, 0.35)
    return tuple(
        (
            centre[0] + uniform(bits, -0.35, 0.35),
            centre[1] + uniform(bits, -0.35, 0.35),
            uniform(bits, 0.25, 0.60),
        )
        for _ in range(integer(bits, 3, 8))
    )


def vary(lesion: Lesion, bits: np.random.PCG64) -> Lesion:
    """The same lesion in another slice: size, outline and place change a little."""
    return lesion._replace(
        radius_mm=lesion.radius_mm * uniform(bits, 0.88, 1.05),
        height_to_width=lesion.height_to_width * uniform(bits, 0.94, 1.06),
        tilt=lesion.tilt + uniform(bits, -0.12, 0.12),
        waves=tuple(
            (cosine * uniform(bits, 0.6, 1.4), sine * uniform(bits, 0.6, 1.4))
            for cosine, sine in lesion.waves
        ),
        gap_mm=lesion.gap_mm + uniform(bits, -0.6, 0.6),
        across=lesion.across + uniform(bits, -0.25, 0.25),
        cysts=tuple(
            (x, y, wide * uniform(bits, 0.8, 1.1), high * uniform(bits, 0.8, 1.1))
            for x, y, wide, high in lesion.cysts
        ),
        specks=tuple(
            (x + uniform(bits, -0.05, 0.05), y + uniform(bits, -0.05, 0.05), radius)
            for x, y, radius in lesion.specks
        ),
    )


def map_lesion(
    lesion: Lesion,
    right_mm: np.ndarray,
    down_mm: np.ndarray,
    pixels_per_mm: float,
    bits: np.random.PCG64,
) -> LesionMaps:
    """Puts a lesion on the grid of distances right of its centre and below it.

    They are `(1, width)` and `(height, 1)`; the scale is for the random patches.
    """
    height, width = down_mm.shape[0], right_mm.shape[1]
    x, y, outside_mm, steep = _outline(lesion, right_mm, down_mm)

    def noise(cell_mm: float) -> np.ndarray:
        cell = cell_mm * pixels_per_mm
        return value_noise(bits, height, width, cell, cell)

    strayed = outside_mm + lesion.ragged_mm * noise(0.9)
    inside = 1.0 - smooth_step(0.5 + strayed / (2.0 * lesion.blur_mm))
    echo = lesion.echo * (1.0 + lesion.patches * noise(1.8))
    gain = np.full((height, width), lesion.gain_db_per_mm)
    # The line is strongest where the beam meets the capsule square on, and goes
    # astray with the margin.
    capsule = bump((strayed + 0.1) / 0.35) * (0.4 + 0.6 * steep)
    line = lesion.capsule * capsule * (0.7 + 0.3 * noise(2.5))
    for centre_x, centre_y, wide, high in lesion.cysts:
        u, v = (x - centre_x) / wide, (y - centre_y) / high
        fluid = 1.0 - smooth_step((np.sqrt(u * u + v * v) - 0.94) / 0.12)
        echo = echo + (FLUID_ECHO - echo) * fluid
        gain = gain + (0.65 - gain) * fluid
    # A sharp edge along the beam refracts it away, which leaves a thin shadow.
    edge = bump(outside_mm / 0.5) * (1.0 - steep) * (1.0 - steep)
    gain = gain * inside - min(0.25 / lesion.blur_mm, 1.0) * 1.2 * edge
    for centre_x, centre_y, radius_mm in lesion.specks:
        reach = radius_mm / lesion.radius_mm
        u, v = (x - centre_x) / reach, (y - centre_y) / reach
        speck = bump(np.sqrt(u * u + v * v))
        line = line + 9.0 * speck
        gain = gain - 22.0 * speck
    return LesionMaps(inside, outside_mm < 0.0, echo, line, gain)


def _outline(
    lesion: Lesion, right_mm: np.ndarray, down_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Place in the lesion's own units, mm outside the outline, steepness there."""
    sine = lesion.tilt
    cosine = math.sqrt(1.0 - sine * sine)
    stretch = math.sqrt(lesion.height_to_width)
    x = (cosine * right_mm + sine * down_mm) / (lesion.radius_mm / stretch)
    y = (cosine * down_mm - sine * right_mm) / (lesion.radius_mm * stretch)
    distance = np.maximum(np.sqrt(x * x + y * y), 1e-6)
    across, down = x / distance, y / distance
    # The addition theorem gives cosine and sine of 2, 3, ... times the angle.
    edge, wave_cosine, wave_sine = np.ones_like(across), across, down
    for weight_cosine, weight_sine in lesion.waves:
        wave_cosine, wave_sine = (
            wave_cosine * across - wave_sine * down,
            wave_sine * across + wave_cosine * down,
        )
        edge = edge + weight_cosine * wave_cosine + weight_sine * wave_sine
    away_mm = np.sqrt(right_mm * right_mm + down_mm * down_mm)
    return x, y, away_mm * (1.0 - edge / distance), down * down
