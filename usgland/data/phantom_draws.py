"""Random numbers and arithmetic that give the same bits on every machine.

Only what IEEE 754 rounds one way goes into a phantom: `+ - * /`, `sqrt`, `frexp`,
comparisons and integers, each as an array operation of its own, in a fixed order.
No libm (`exp`, `log`, `sin`, `pow`), no BLAS, no FFT, no float `sum`, no complex
numbers: their last bit depends on the machine. Random numbers are the raw words of
PCG64, whose stream NumPy promises to keep, unlike that of its distributions.
"""

import math

import numpy as np

_LN_10 = 2.302585092994046
_SQRT_HALF = 0.7071067811865476
_LN_SQRT_HALF = -0.34657359027997264


def make_bits(seed: int, patient: int = 0, image: int = 0) -> np.random.PCG64:
    """The stream of `default_rng([seed, patient, image])`, one for each image.

    Args:
        seed: In [0, 2**32), so that it is one word and no two triples collide.
        patient: 1, 2, ...; 0 is the stream of the whole set.
        image: 1, 2, ...; 0 is the stream of what a patient's images share.
    """
    return np.random.PCG64(np.random.SeedSequence([seed, patient, image]))


def uniform(bits: np.random.PCG64, low: float = 0.0, high: float = 1.0) -> float:
    """One number in [low, high)."""
    return low + (high - low) * ((bits.random_raw() >> 11) * 2.0**-53)


def uniforms(
    bits: np.random.PCG64, shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    """Numbers in [low, high), float64 of `shape`."""
    words = bits.random_raw(math.prod(shape)).reshape(shape)
    return low + (high - low) * ((words >> np.uint64(11)).astype("float64") * 2.0**-53)


def integer(bits: np.random.PCG64, low: int, high: int) -> int:
    """One whole number in [low, high], both included."""
    return low + ((bits.random_raw() >> 32) * (high - low + 1) >> 32)


def permutation(bits: np.random.PCG64, count: int) -> np.ndarray:
    """The numbers 0 to count - 1 in random order."""
    return np.argsort(bits.random_raw(count), kind="stable")


def normals(bits: np.random.PCG64, count: int) -> np.ndarray:
    """Numbers of mean 0 and variance 1 in [-6, 6]: twelve uniforms summed, exactly."""
    words = bits.random_raw(12 * count).reshape(count, 12) >> np.uint64(16)
    return words.sum(axis=1).astype("float64") * 2.0**-48 - 6.0


def scatterers(
    bits: np.random.PCG64, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """In-phase and quadrature strength of one scatterer a pixel.

    Each is the sum of two 16-bit uniforms, of mean 0 and variance 1; the point
    spread function then adds up dozens, which makes the sum close to Gaussian.

    Returns:
        Two float64 arrays `(height, width)`.
    """
    # "<u8" has one order of bytes on every machine.
    words = bits.random_raw(height * width).astype("<u8")
    quarters = words.view("<u2").reshape(height, width, 4).astype("int32")
    sums = quarters[..., 0:4:2] + quarters[..., 1:4:2] - 65535
    scaled = sums.astype("float64") / 26754.0  # 65536 / sqrt(6)
    return scaled[..., 0].copy(), scaled[..., 1].copy()


def smooth_step(value: np.ndarray) -> np.ndarray:
    """Rises from 0 at 0 to 1 at 1 with level ends; flat outside."""
    clipped = np.clip(value, 0.0, 1.0)
    return clipped * clipped * (3.0 - 2.0 * clipped)


def bump(value: np.ndarray) -> np.ndarray:
    """1 at 0, falling smoothly to 0 at -1 and 1."""
    inside = np.maximum(1.0 - value * value, 0.0)
    return inside * inside


def value_noise(
    bits: np.random.PCG64,
    height: int,
    width: int,
    cell_height: float,
    cell_width: float,
) -> np.ndarray:
    """A smooth random field in [-1, 1], float64 `(height, width)`.

    It has bumps of about one cell, whose sides are pixels. Height 1 makes a curve.
    """
    shape = (int(height / cell_height) + 3, int(width / cell_width) + 3)
    grid = uniforms(bits, shape, -1.0, 1.0)
    row, share = _cells(bits, height, cell_height)
    share = share[:, None]
    grid = grid[row] * (1.0 - share) + grid[row + 1] * share
    column, share = _cells(bits, width, cell_width)
    return grid[:, column] * (1.0 - share) + grid[:, column + 1] * share


def _cells(
    bits: np.random.PCG64, count: int, cell: float
) -> tuple[np.ndarray, np.ndarray]:
    position = np.arange(count) / cell + uniform(bits)
    index = np.floor(position).astype("int64")
    return index, smooth_step(position - index)


def log10(value: np.ndarray) -> np.ndarray:
    """Decimal logarithm of positive numbers, to about 1e-8, bit for bit repeatable.

    `ln m = ln c + 2 artanh((m - c) / (m + c))`, with `m` the mantissa and four terms
    of the series of artanh.
    """
    mantissa, exponent = np.frexp(value)
    ratio = (mantissa - _SQRT_HALF) / (mantissa + _SQRT_HALF)
    square = ratio * ratio
    series = ((square / 7.0 + 1.0 / 5.0) * square + 1.0 / 3.0) * square + 1.0
    natural = 2.0 * ratio * series + _LN_SQRT_HALF
    return natural / _LN_10 + exponent * 0.3010299956639812


def bell(radius: float | np.ndarray) -> list[np.ndarray]:
    """Taps of a bell-shaped kernel that reaches zero at `radius` pixels, above 1.

    With a radius for each row, `(rows, 1)`, so is each tap.
    """
    reach = math.ceil(float(np.max(radius))) - 1
    taps = []
    for offset in range(-reach, reach + 1):
        share = offset / np.asarray(radius, "float64")
        share = np.maximum(1.0 - share * share, 0.0)
        taps.append(share * share * share)
    return taps


def unit_energy(taps: list[np.ndarray]) -> list[np.ndarray]:
    """Scales taps so that filtered white noise keeps its variance."""
    # Python's `sum` adds in the order of the taps, unlike NumPy's.
    energy = sum((tap * tap for tap in taps), taps[0] * 0.0)
    return [tap / np.sqrt(energy) for tap in taps]


def unit_sum(taps: list[np.ndarray]) -> list[np.ndarray]:
    """Scales taps so that a filtered constant keeps its value."""
    total = sum(taps, taps[0] * 0.0)
    return [tap / total for tap in taps]


def convolve(values: np.ndarray, taps: list[np.ndarray], axis: int) -> np.ndarray:
    """Filters along one axis of `(rows, columns)`; the output is shorter by the taps.

    A sum of shifted copies in the order of the taps, so that its rounding is fixed.
    """
    size = values.shape[axis] - len(taps) + 1
    shape = (size, values.shape[1]) if axis == 0 else (values.shape[0], size)
    total, product = np.zeros(shape), np.empty(shape)  # in place: twice as fast
    for shift, tap in enumerate(taps):
        part = slice(shift, shift + size)
        np.multiply(values[part] if axis == 0 else values[:, part], tap, out=product)
        np.add(total, product, out=total)
    return total
