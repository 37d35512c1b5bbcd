"""What the beam meets in a phantom: skin, fat, gland, muscle, bone, vein, lesion."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from usgland.data import phantom_draws as draws
from usgland.data.phantom_lesion import FLUID_ECHO, Lesion, LesionMaps, map_lesion


class Anatomy(NamedTuple):
    """What the images of one patient share besides the lesion."""

    skin_mm: float
    fat_mm: float
    gland_mm: float  # thickness of the gland
    side: float  # -1 or 1: where the mandible lies
    bone: bool
    vein: bool


class Tissue(NamedTuple):
    """What the beam meets, each float64 `(height, width)`."""

    echo: np.ndarray  # amplitude of the scatterers, the gland being about 1
    line: np.ndarray  # coherent echo of smooth surfaces
    gain_db_per_mm: np.ndarray  # what the beam gains on its way, loss negative


def draw_anatomy(bmi_kg_m2: float, bits: np.random.PCG64) -> Anatomy:
    """Draws what all images of a patient share besides the lesion."""
    # The BMI shows in the fat under the skin.
    fat_mm = 3.2 + 0.12 * (bmi_kg_m2 - 23.0)
    return Anatomy(
        skin_mm=draws.uniform(bits, 1.4, 2.0),
        fat_mm=min(max(fat_mm + draws.uniform(bits, -0.6, 0.6), 1.8), 6.0),
        gland_mm=draws.uniform(bits, 19.0, 23.0),
        side=(-1.0, 1.0)[draws.integer(bits, 0, 1)],
        bone=draws.uniform(bits) < 0.45,
        vein=draws.uniform(bits) < 0.6,
    )


def draw_tissue(
    anatomy: Anatomy,
    lesion: Lesion,
    height: int,
    width: int,
    scale: float,
    bits: np.random.PCG64,
) -> tuple[Tissue, np.ndarray]:
    """Lays out skin, fat, gland, muscle, bone, vein and lesion, `scale` pixels a mm.

    Returns:
        The tissue, and the mask of the lesion, bool `(height, width)`.
    """
    y = (np.arange(height)[:, None] + 0.5) / scale
    x = (np.arange(width)[None, :] + 0.5) / scale - width / scale / 2.0

    def noise(cell_height_mm: float, cell_width_mm: float) -> np.ndarray:
        cells = cell_height_mm * scale, cell_width_mm * scale
        return draws.value_noise(bits, height, width, *cells)

    def curve(cell_mm: float) -> np.ndarray:
        return draws.value_noise(bits, 1, width, scale, cell_mm * scale)

    skin = anatomy.skin_mm + 0.12 * curve(6.0) + 0.05 * curve(1.5)
    top = skin + anatomy.fat_mm + 0.5 * curve(9.0)
    tilt = draws.uniform(bits, -0.06, 0.06)
    bottom = top + anatomy.gland_mm + 1.2 * curve(12.0) + tilt * x

    fat = 0.36 + 0.16 * noise(0.8, 5.0)
    gland = 1.0 + 0.30 * noise(2.5, 5.0) + 0.25 * noise(0.6, 1.4)
    muscle = 0.38 + 0.2 * noise(0.6, 6.0)
    echo = fat + (gland - fat) * draws.smooth_step((y - top) / 0.4 + 0.5)
    echo = echo + (muscle - echo) * draws.smooth_step((y - bottom) / 0.8 + 0.5)
    echo = echo + (0.9 - echo) * (y < skin)

    line = _surfaces(y, skin, top, bottom, noise)
    tissue = Tissue(echo, line, np.zeros((height, width)))
    tissue = _add_bone(tissue, anatomy, x, y, bottom, bits)
    centre_x, centre_y = _place(lesion, x, y, top, bottom)
    tissue = _add_vein(tissue, anatomy, x, y, top, centre_x, lesion.radius_mm, bits)
    maps = map_lesion(lesion, x - centre_x, y - centre_y, scale, bits)
    return _add_lesion(tissue, maps), maps.mask


def _surfaces(
    y: np.ndarray,
    skin: np.ndarray,
    top: np.ndarray,
    bottom: np.ndarray,
    noise: Callable[[float, float], np.ndarray],
) -> np.ndarray:
    """Coherent echoes of skin, fat septa, fasciae and ducts."""
    rough = 0.75 + 0.25 * noise(1.5, 1.5)
    entry = 2.6 * draws.bump((y - 0.35) / 0.35) + 1.7 * draws.bump((y - skin) / 0.35)
    septa = 1.2 * draws.bump(noise(0.9, 6.0) / 0.12) * ((y > skin) & (y < top))
    fascia = 1.3 * draws.bump((y - top) / 0.3) + 0.8 * draws.bump((y - bottom) / 0.4)
    ducts = 0.7 * draws.bump((noise(0.8, 3.0) - 0.75) / 0.12)
    fibres = 0.7 * draws.bump((noise(0.9, 7.0) - 0.45) / 0.12)
    ducts = ducts * ((y > top) & (y < bottom))
    return rough * (entry + septa + fascia + ducts + fibres * (y > bottom))


def _place(
    lesion: Lesion, x: np.ndarray, y: np.ndarray, top: np.ndarray, bottom: np.ndarray
) -> tuple[float, float]:
    """Centre of the lesion in mm: inside the gland, and the whole of it in view."""
    stretch = math.sqrt(lesion.height_to_width)
    half_width, half_height = lesion.radius_mm / stretch, lesion.radius_mm * stretch
    room = max(float(x[0, -1]) - 1.2 * half_width, 0.0)
    centre_x = min(max(lesion.across, -1.0), 1.0) * min(room, 9.0)
    column = int(np.argmin(np.abs(x[0] - centre_x)))
    centre_y = float(top[0, column]) + max(lesion.gap_mm, 0.3) + half_height
    lowest = min(float(bottom[0, column]), float(y[-1, 0])) - 1.1 * half_height
    return centre_x, min(centre_y, lowest)


def _add_bone(
    tissue: Tissue,
    anatomy: Anatomy,
    x: np.ndarray,
    y: np.ndarray,
    bottom: np.ndarray,
    bits: np.random.PCG64,
) -> Tissue:
    """The mandible: a bright arc behind the gland at one side, black below."""
    start = draws.uniform(bits, 3.0, 8.0)
    depth = draws.uniform(bits, 0.6, 2.5)
    if not anatomy.bone:
        return tissue
    inward = x * anatomy.side - start
    surface = bottom + depth + 0.025 * (inward - 2.0) * (inward - 2.0)
    here = draws.smooth_step(inward / 1.5)
    line = tissue.line + 3.2 * draws.bump((y - surface) / 0.5) * here
    below = draws.smooth_step((y - surface) / 0.3) * here
    gain = tissue.gain_db_per_mm - 9.0 * below
    return Tissue(tissue.echo * (1.0 - 0.8 * below), line, gain)


def _add_vein(
    tissue: Tissue,
    anatomy: Anatomy,
    x: np.ndarray,
    y: np.ndarray,
    top: np.ndarray,
    lesion_x: float,
    lesion_mm: float,
    bits: np.random.PCG64,
) -> Tissue:
    """The retromandibular vein: an echo-free oval beside the lesion."""
    away = lesion_mm * 1.3 + draws.uniform(bits, 2.0, 5.0)
    depth = draws.uniform(bits, 8.0, 15.0)
    wide, high = draws.uniform(bits, 1.3, 2.4), draws.uniform(bits, 0.8, 1.4)
    if not anatomy.vein:
        return tissue
    centre_x = lesion_x + (away if lesion_x < 0 else -away)
    u, v = (x - centre_x) / wide, (y - top - depth) / high
    distance = np.sqrt(u * u + v * v)
    fluid = 1.0 - draws.smooth_step((distance - 0.9) / 0.2)
    steep = v * v / np.maximum(distance * distance, 1e-6)
    wall = draws.bump((distance - 1.1) / 0.25) * steep
    echo = tissue.echo + (FLUID_ECHO - tissue.echo) * fluid
    line = tissue.line * (1.0 - fluid) + 0.7 * wall
    return Tissue(echo, line, tissue.gain_db_per_mm + 0.5 * fluid)


def _add_lesion(tissue: Tissue, maps: LesionMaps) -> Tissue:
    return Tissue(
        tissue.echo + (maps.echo - tissue.echo) * maps.inside,
        tissue.line * (1.0 - maps.inside) + maps.line,
        tissue.gain_db_per_mm * (1.0 - maps.inside) + maps.gain_db_per_mm,
    )
