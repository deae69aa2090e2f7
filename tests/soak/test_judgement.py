"""The soak's judge finds what it is there to find, and is not taken in by noise."""

import random

from tests.soak.judgement import Sample, complaints, growth_mb


def soaked(*, leak_mb: float = 0.0, lag_growth_s: float = 0.0, lag_peak_s: float = 0.0) -> list[Sample]:
    """Ten minutes of samples with noise, and with what is planted in them by their end."""
    chance = random.Random(7)
    found = []
    for at in range(0, 600, 5):
        memory = 60e6 + leak_mb * 1e6 * at / 600 + chance.gauss(0, 0.1e6)
        lag_s = 0.4 + chance.random() + lag_growth_s * at / 600 + (lag_peak_s if at == 300 else 0)
        found.append(Sample(float(at), {"capture": 50e6, "apply": memory}, lag_s))
    return found


def test_a_steady_pipeline_passes_whatever_the_noise() -> None:
    assert list(complaints(soaked())) == []
    assert list(complaints(soaked(leak_mb=0.8))) == []


def test_a_leak_of_a_megabyte_is_told_with_its_part_and_its_size() -> None:
    (found,) = complaints(soaked(leak_mb=1.5))
    assert found.startswith("apply grows by 1.")
    assert 1.3 < growth_mb(soaked(leak_mb=1.5), "apply") < 1.7


def test_lag_that_grows_is_told_though_it_is_within_its_bound() -> None:
    (found,) = complaints(soaked(lag_growth_s=9))
    assert found.startswith("lag grows")


def test_lag_beyond_its_bound_is_told() -> None:
    (found,) = complaints(soaked(lag_peak_s=20))
    assert found.startswith("lag was 2")
