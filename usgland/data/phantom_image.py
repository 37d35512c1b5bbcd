"""One phantom image: tissue, speckle, log compression and the frame of the device.

The model is the usual one of speckle: scatterers of random strength and phase,
convolved with a point spread function; their envelope; its logarithm.

Reference:
    [Bamber and Dickinson, 1980](https://doi.org/10.1088/0031-9155/25/3/006)
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from usgland.data import phantom_draws as draws
from usgland.data.phantom_lesion import Lesion, draw_lesion, vary
from usgland.data.phantom_tissue import Anatomy, Tissue, draw_anatomy, draw_tissue

NOISE_POWER = 2e-4  # of the receiver, the gland's mean being about 1


class Device(NamedTuple):
    """A scanner: what it does to every image."""

    name: str
    height: int  # pixels, without the frame
    width: int
    pixels_per_mm: float
    axial_mm: float  # radius of the point spread function along the beam
    lateral_mm: float  # and across it, at the focus
    looks: int  # images averaged by spatial compounding
    range_db: float  # dynamic range of the display
    frame: tuple[int, int, int, int]  # black pixels above, below, left, right
    ticks: bool  # a depth scale on the right


DEVICES = (
    Device("device_a", 336, 448, 9.6, 0.40, 0.85, 2, 60.0, (0, 0, 0, 0), False),
    Device("device_b", 392, 384, 10.0, 0.36, 0.80, 2, 64.0, (16, 12, 18, 30), True),
    Device("device_c", 324, 400, 9.4, 0.46, 1.00, 2, 66.0, (0, 8, 0, 0), False),
    Device("device_d", 440, 340, 10.6, 0.34, 0.70, 3, 58.0, (10, 10, 10, 24), True),
)


def draw_patient(
    values: Mapping[str, Any], bits: np.random.PCG64
) -> tuple[Device, Anatomy, Lesion]:
    """Draws what all images of a patient share; the device ignores the values."""
    device = DEVICES[draws.integer(bits, 0, len(DEVICES) - 1)]
    anatomy = draw_anatomy(float(values["bmi_kg_m2"]), bits)
    return device, anatomy, draw_lesion(values, bits)


def draw_image(
    device: Device, anatomy: Anatomy, lesion: Lesion, bits: np.random.PCG64
) -> tuple[np.ndarray, np.ndarray]:
    """Makes one image of a patient, in which the lesion is varied a little.

    Returns:
        Grey levels uint8 `(height, width)`, and the lesion's mask, 0 or 255, likewise.
    """
    height = device.height + draws.integer(bits, -10, 10)
    width = device.width + draws.integer(bits, -14, 14)
    scale = device.pixels_per_mm * draws.uniform(bits, 0.94, 1.06)
    lesion = vary(lesion, bits)
    tissue, mask = draw_tissue(anatomy, lesion, height, width, scale, bits)
    power = speckle_power(tissue, device, scale, bits)
    level_db = 10.0 * draws.log10(power) + _gain(tissue, device, scale, bits)
    share = level_db / (device.range_db * draws.uniform(bits, 0.92, 1.08)) + 0.56
    grey = np.clip(np.rint(255.0 * share), 0.0, 255.0).astype("uint8")
    return _frame(grey, mask, device, scale)


def speckle_power(
    tissue: Tissue, device: Device, scale: float, bits: np.random.PCG64
) -> np.ndarray:
    """Power of the echo after the point spread function, `(height, width)`.

    The mean of `device.looks` images with scatterers of their own; with one look the
    amplitude of even tissue has the Rayleigh distribution of full speckle.
    """
    axial = draws.unit_energy(draws.bell(max(device.axial_mm * scale, 1.5)))
    # Across, the beam is narrowest at its focus, in the middle of the depth.
    rows = tissue.echo.shape[0] + len(axial) - 1
    off_focus = np.abs(np.arange(rows)[:, None] / rows - 0.45)
    radius = np.maximum(device.lateral_mm * scale * (0.85 + 0.9 * off_focus), 1.5)
    lateral = draws.unit_energy(draws.bell(radius))
    pad = (len(axial) // 2,) * 2, (len(lateral) // 2,) * 2
    echo, line = (np.pad(part, pad, mode="edge") for part in (tissue.echo, tissue.line))
    # A smooth surface adds up in phase: one unit of line echoes like the gland.
    line = line * 0.45
    power = np.full(tissue.echo.shape, NOISE_POWER)
    for _ in range(device.looks):
        phase, quadrature = draws.scatterers(bits, *echo.shape)
        for field in (phase * echo + line, quadrature * echo):
            field = draws.convolve(field, lateral, axis=1)
            field = draws.convolve(field, axial, axis=0)
            power = power + field * field / (2.0 * device.looks)
    return power


def _gain(
    tissue: Tissue, device: Device, scale: float, bits: np.random.PCG64
) -> np.ndarray:
    """Gain in dB: shadows, enhancement, and the depth gain left uncorrected."""
    height, width = tissue.echo.shape
    # Whole thousandths of a dB add up down the beam exactly.
    steps = np.rint(tissue.gain_db_per_mm * (1000.0 / scale)).astype("int64")
    along = np.cumsum(steps, axis=0).astype("float64") / 1000.0
    # A beam is wider than a pixel, so that the edges of shadows are soft.
    beam = draws.unit_sum(draws.bell(device.lateral_mm * scale))
    reach = len(beam) // 2
    along = draws.convolve(
        np.pad(along, ((0, 0), (reach, reach)), mode="edge"), beam, axis=1
    )
    depth_mm = np.arange(height)[:, None] / scale
    slope = draws.uniform(bits, -0.16, 0.08) * (depth_mm - 16.0)
    uneven = 1.2 * draws.value_noise(bits, height, width, 12 * scale, 12 * scale)
    return along + slope + uneven + draws.uniform(bits, -4.0, 4.0)


def _frame(
    grey: np.ndarray, mask: np.ndarray, device: Device, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    above, below, left, right = device.frame
    pad = (above, below), (left, right)
    framed = np.pad(grey, pad)
    if device.ticks:
        for centimetre in range(int(grey.shape[0] / scale / 10.0) + 1):
            row = above + int(centimetre * 10.0 * scale)
            framed[row : row + 2, -right + 6 : -right + 13] = 170
    return framed, np.pad(mask.astype("uint8") * 255, pad)
