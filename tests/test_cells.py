"""Attention learns by the cells about its peak alone: the same proposals and gradients as by all of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from air_lightning.inference import ResidualAttention
from air_lightning.inference.attention import SURROUND, _averaging
from air_lightning.inference.cells import Neighbourhoods
from renderers import GlimpseRenderer


def test_cells_about_one_of_them() -> None:
    maps = torch.arange(24.0).view(1, 1, 4, 6).expand(3, 1, 4, 6)
    around = Neighbourhoods((4, 6), 1)(torch.tensor([0, 9, 23]))  # a corner, the second row's fourth, the other corner
    assert around.of(maps)[1, 0].tolist() == [[2, 3, 4], [8, 9, 10], [14, 15, 16]]
    assert around.inside[0].tolist() == [[False] * 3, [False, True, True], [False, True, True]]
    assert around.inside[1].all() and around.inside[2].sum() == 4
    assert around.of(maps)[0, 0, 1:, 1:].tolist() == [[0, 1], [6, 7]]
    assert around.of(maps)[2, 0, :2, :2].tolist() == [[16, 17], [22, 23]]


@pytest.mark.parametrize("reader", [8, 0])
def test_cells_about_the_peak_have_all_of_the_gradient(reader: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slots of images whose brightest places are a corner, an edge and the middle."""
    torch.manual_seed(0)
    network = ResidualAttention(
        GlimpseRenderer((2, 30, 38)), channels=8, reader=reader, glimpse=8, signed=True
    ).double()
    images, canvas = 0.2 * torch.rand(3, 2, 30, 38).double(), torch.zeros(3, 2, 30, 38).double()
    for image, (top, left) in zip(images, ((0, 0), (24, 16), (12, 20))):
        image[:, top : top + 6, left : left + 6] += 0.8
    for p in network.parameters():
        p.data += 0.05 * torch.randn_like(p)
    weights = torch.randn(3, 100).double()

    def proposed() -> tuple[Tensor, dict[str, Tensor]]:
        state, parts = network.initial(images), []
        for seen in (canvas, canvas + 0.1 * images):
            proposal, state = network.propose(images, seen, state)
            parts += [part.flatten(1) for part in (proposal.presence_logit.unsqueeze(1), proposal.mean, proposal.sd)]
        values = torch.cat(parts, 1)
        network.zero_grad()
        (values * weights[:, : values.shape[1]]).sum().backward()
        return values.detach(), {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}

    assert network._looks_again(images)
    values, gradients = proposed()
    monkeypatch.setattr(network, "_looks_again", lambda _: False)
    by_all, expected = proposed()
    torch.testing.assert_close(values, by_all)
    torch.testing.assert_close(gradients, expected)
    assert all(gradients[f"map.{n}.weight"].abs().max() > 1e-3 for n in (0, 2, 4)), gradients.keys()


def test_what_surrounds_a_cell_is_a_mean_over_cells_and_zeros_beyond() -> None:
    energy = torch.rand(3, 13, 17)
    expected = F.avg_pool2d(energy, SURROUND, 1, SURROUND // 2)
    torch.testing.assert_close(_averaging(13, SURROUND) @ energy @ _averaging(17, SURROUND), expected)
