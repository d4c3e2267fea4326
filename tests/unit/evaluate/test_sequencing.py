from __future__ import annotations

import numpy as np
import pytest

from genoseq.errors import UsageError
from genoseq.evaluate.sequencing import PERFECT_QUALITY, QualityProfile


@pytest.mark.parametrize("mean", [0.0002, 0.002, 0.01, 0.05])
def test_the_mean_error_rate_is_the_one_asked_for_and_the_qualities_are_honest(mean: float) -> None:
    profile = QualityProfile(length=150, mean_error=mean)
    quality, wrong = profile.draw(np.random.default_rng(5), 20000)
    assert profile.expected_error(profile._level) == pytest.approx(mean, rel=0.02)
    assert wrong.mean() == pytest.approx(mean, rel=0.06)
    assert (0.1 ** (quality / 10.0)).mean() == pytest.approx(mean, rel=0.03)
    for value in np.unique(quality):
        bases = quality == value
        expected = 10 ** (-int(value) / 10) * bases.sum()
        if expected > 500:
            assert wrong[bases].sum() == pytest.approx(expected, rel=0.2)


def test_errors_rise_along_the_read() -> None:
    _, wrong = QualityProfile(length=150, mean_error=0.02).draw(np.random.default_rng(1), 20000)
    first, last = wrong[:, :50].mean(), wrong[:, 100:].mean()
    assert last > 2 * first


def test_no_errors_means_one_high_quality() -> None:
    quality, wrong = QualityProfile(length=40, mean_error=0.0).draw(np.random.default_rng(1), 3)
    assert not wrong.any()
    assert (quality == PERFECT_QUALITY).all()


@pytest.mark.parametrize("mean", [-0.1, 0.00001, 0.3])
def test_a_rate_that_qualities_cannot_show_is_refused(mean: float) -> None:
    with pytest.raises(UsageError, match="sequencing error rate"):
        QualityProfile(length=100, mean_error=mean)
