import numpy as np
import pytest
from scipy.ndimage import correlate1d

from usgland.data import phantom_draws as draws


def test_the_stream_is_that_of_numpys_default_generator():
    expected = np.random.default_rng([7, 3, 2]).bit_generator.random_raw(5)
    assert np.array_equal(draws.make_bits(7, 3, 2).random_raw(5), expected)


def test_uniforms_are_the_doubles_numpy_makes_of_the_same_words():
    expected = np.random.default_rng([1, 2, 3]).random((4, 5))
    values_drawn = draws.uniforms(draws.make_bits(1, 2, 3), (4, 5), 0.0, 1.0)
    assert np.array_equal(values_drawn, expected)
    bits = draws.make_bits(1, 2, 3)
    assert [draws.uniform(bits) for _ in range(5)] == expected[0].tolist()


def test_integers_reach_both_ends_equally_often():
    bits = draws.make_bits(0)
    counts = np.bincount([draws.integer(bits, 1, 3) for _ in range(3000)])
    assert counts[0] == 0 and np.all(np.abs(counts[1:] - 1000) < 100)


def test_a_permutation_has_each_number_once():
    order = draws.permutation(draws.make_bits(0), 50)
    assert sorted(order) == list(range(50)) and list(order) != list(range(50))


def test_normals_and_scatterers_have_mean_0_and_variance_1():
    phase, quadrature = draws.scatterers(draws.make_bits(0), 200, 300)
    for values in (draws.normals(draws.make_bits(0), 20_000), phase, quadrature):
        assert values.mean() == pytest.approx(0, abs=0.02)
        assert values.var() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(phase.ravel(), quadrature.ravel())[0, 1] == pytest.approx(
        0, abs=0.02
    )


def test_log10_agrees_with_numpy():
    values = np.geomspace(1e-9, 1e9, 5000)
    assert draws.log10(values) == pytest.approx(np.log10(values), abs=2e-8)


@pytest.mark.parametrize("axis", [0, 1])
def test_convolve_agrees_with_scipy_away_from_the_border(axis):
    values = np.random.default_rng(0).random((20, 30))
    taps = draws.unit_sum(draws.bell(3.4))
    expected = correlate1d(values, np.array(taps, "float64"), axis=axis)
    inner = [slice(None), slice(None)]
    inner[axis] = slice(3, -3)
    assert draws.convolve(values, taps, axis) == pytest.approx(expected[tuple(inner)])


def test_a_kernel_may_differ_from_row_to_row():
    values = np.random.default_rng(0).random((2, 30))
    values_drawn = draws.convolve(values, draws.bell(np.array([[2.5], [3.5]])), axis=1)
    narrow = draws.convolve(values, draws.bell(2.5), axis=1)
    wide = draws.convolve(values, draws.bell(3.5), axis=1)
    assert values_drawn[0] == pytest.approx(narrow[0, 1:-1])
    assert values_drawn[1] == pytest.approx(wide[1])


def test_taps_are_scaled_to_unit_energy_and_unit_sum():
    taps = draws.bell(4.2)
    assert np.square(draws.unit_energy(taps)).sum() == pytest.approx(1)
    assert np.sum(draws.unit_sum(taps)) == pytest.approx(1)


def test_value_noise_is_smooth_and_stays_within_one():
    field = draws.value_noise(draws.make_bits(0), 60, 80, 10.0, 20.0)
    assert field.shape == (60, 80)
    assert np.abs(field).max() <= 1 and field.std() > 0.2
    # A smooth step of height 2 over a cell is steepest at 1.5 times its mean slope.
    assert np.abs(np.diff(field, axis=0)).max() <= 1.5 * 2 / 10
    assert np.abs(np.diff(field, axis=1)).max() <= 1.5 * 2 / 20
