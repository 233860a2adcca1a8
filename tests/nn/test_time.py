"""Times as inputs, worked out by hand."""

import math

import pytest
import torch

from foreknow.graph.encode import TimeEncoding
from foreknow.nn.time import AgeEncoder, ClockEncoder

pytestmark = pytest.mark.filterwarnings("error")


def test_an_age_is_its_logarithm_and_a_bump_at_each_scale():
    """Scales of e - 1 and e**3 - 1 days: logarithms 1 and 3, two apart, which is the width of the bumps."""
    encoder = AgeEncoder(TimeEncoding(scales_days=(math.e - 1, math.e**3 - 1)))
    assert encoder.out_size == 3
    out = encoder(torch.tensor([0, math.e - 1, math.e**3 - 1]))
    bump = [math.exp(-0.5 * (d / 2) ** 2) for d in (0, 1, 2, 3)]
    expected = [[0, bump[1], bump[3]], [1 / 3, 1, bump[2]], [1, bump[2], 1]]
    assert out.tolist() == [pytest.approx(row, abs=1e-6) for row in expected]


def test_a_row_from_after_the_seed_time_counts_as_now():
    encoder = AgeEncoder(TimeEncoding())
    assert encoder(torch.tensor([-5.0])).tolist() == encoder(torch.tensor([0.0])).tolist()


@pytest.mark.parametrize("scales", [(1.0,), (7.0, 7.0), (0.01, 0.02)])
def test_few_or_close_scales_stay_finite(scales):
    encoder = AgeEncoder(TimeEncoding(scales_days=scales))
    out = encoder(torch.tensor([0, 1, 1e9]))
    assert out.shape == (3, 1 + len(scales))
    assert out.isfinite().all()


def test_ages_have_no_state_to_save():
    assert AgeEncoder(TimeEncoding()).state_dict() == {}


def test_a_clock_shows_the_cycles_the_data_has():
    phase = torch.tensor([[0.25, 0.5, 0.0]])
    hands = {"has_clock": (1, 0), "has_week": (0, -1), "has_year": (0, 1)}
    for shown in ([], ["has_clock"], ["has_week", "has_year"], list(hands)):
        encoder = ClockEncoder(TimeEncoding(**{name: name in shown for name in hands}))
        out = encoder(phase)
        assert out.shape == (1, encoder.out_size)
        expected = [hands[name][0] for name in shown] + [hands[name][1] for name in shown]
        assert out[0].tolist() == pytest.approx(expected, abs=1e-6)
