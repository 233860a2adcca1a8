"""Heads, counted layer by layer."""

import pytest
import torch
from torch import nn

from foreknow.nn.heads import Head

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "none"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_head_maps_vectors_to_outputs(num_layers, norm):
    head = Head(4, 3, num_layers=num_layers, norm=norm)
    assert head(torch.randn(5, 4)).shape == (5, 3)
    assert head(torch.randn(1, 4)).shape == (1, 3)  # one row in training: no variance, no error
    assert head.eval()(torch.randn(0, 4)).shape == (0, 3)
    assert sum(isinstance(m, nn.Linear) for m in head.modules()) == num_layers


def test_a_head_of_one_layer_without_norm_is_linear():
    head = Head(4, 2, norm="none")
    x = torch.randn(6, 4)
    assert torch.equal(head(x), x @ head.out.weight.T + head.out.bias)


def test_dropout_follows_every_layer_but_the_last_which_it_precedes():
    head = Head(4, 1, num_layers=3, dropout=0.5)
    assert [type(m) for m in head.layers if not isinstance(m, nn.BatchNorm1d)] == [
        *(nn.Linear, nn.ReLU, nn.Dropout) * 2,
        nn.Dropout,
    ]
    assert {m.p for m in head.modules() if isinstance(m, nn.Dropout)} == {0.5}


def test_dropout_acts_in_training_only():
    head, x = Head(64, 1, norm="none", num_layers=2, dropout=0.5), torch.ones(1, 64)
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))
