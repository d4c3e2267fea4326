"""ALiBi slopes and biases."""

from __future__ import annotations

import pytest
import torch

from genoseq.nets.ops.alibi import alibi_bias, alibi_bias_reference, alibi_slopes


def test_slopes_of_powers_of_two_are_geometric() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]
    assert alibi_slopes(1).tolist() == [2.0**-8]
    found = alibi_slopes(16)
    torch.testing.assert_close(found[1:] / found[:-1], torch.full((15,), 2**-0.5))


def test_slopes_of_dnabert_2() -> None:
    # 12 heads: the eight slopes of 8 heads, then the 1st, 3rd, 5th and 7th of 16 heads
    expected = [2.0**-h for h in range(1, 9)] + [2.0**-h for h in (0.5, 1.5, 2.5, 3.5)]
    torch.testing.assert_close(alibi_slopes(12), torch.tensor(expected))


@pytest.mark.parametrize("heads", [3, 5, 7, 11, 13, 20])
def test_any_number_of_heads_gets_slopes_of_its_own(heads: int) -> None:
    slopes = alibi_slopes(heads)
    assert len(slopes) == heads == len(set(slopes.tolist()))
    assert (slopes > 0).all()
    assert (slopes < 1).all()


def test_no_heads() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        alibi_slopes(0)


def test_blocks_are_parts_of_the_whole() -> None:
    slopes = alibi_slopes(3)
    whole = alibi_bias_reference(slopes, 9)
    torch.testing.assert_close(alibi_bias(slopes, range(9), range(9)), whole)
    torch.testing.assert_close(alibi_bias(slopes, range(4, 7), range(2, 9)), whole[:, 4:7, 2:9])


def test_biases_are_symmetric_and_zero_at_no_distance() -> None:
    bias = alibi_bias(alibi_slopes(4), range(6), range(6))
    assert torch.equal(bias, bias.transpose(1, 2))
    assert (bias.diagonal(dim1=1, dim2=2) == 0).all()


def test_under_a_causal_mask_only_the_key_matters() -> None:
    # The paper's causal form adds slope * key; a softmax does not see the difference, which is the same along a row.
    slopes = alibi_slopes(2)
    scores = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(2))
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    ours = (scores + alibi_bias(slopes, range(5), range(5))).masked_fill(hidden, -torch.inf).softmax(-1)
    keys = (scores + slopes[:, None, None] * torch.arange(5)).masked_fill(hidden, -torch.inf).softmax(-1)
    torch.testing.assert_close(ours, keys)
