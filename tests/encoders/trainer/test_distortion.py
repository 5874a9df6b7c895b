import pytest
import torch

from olrsearch.encoders.trainer.distortion import jitter_colour, turn_and_zoom


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _disc(height: int = 48, width: int = 36, radius: float = 10.0) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2 < radius**2
    return inside.float().expand(64, 3, -1, -1)


def test_nothing_changes_where_nothing_is_asked():
    planes = torch.rand(4, 3, 20, 16, generator=_generator()) * 255
    same = turn_and_zoom(planes, zoom=0.0, rotation=0.0, generator=_generator())
    torch.testing.assert_close(same, planes, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(jitter_colour(planes, strength=0.0, generator=_generator()), planes)


def test_turning_keeps_a_disc_round_and_as_large():
    turned = turn_and_zoom(_disc(), zoom=0.0, rotation=180.0, generator=_generator())
    assert (turned - _disc()).abs().mean() < 0.02


def test_zoom_scales_areas_between_its_limits():
    areas = turn_and_zoom(_disc(), zoom=0.2, rotation=0.0, generator=_generator())[:, 0].sum((1, 2))
    ratios = areas / _disc()[0, 0].sum()
    assert 1 / 1.44 - 0.05 < ratios.min().item() < 0.8
    assert 1.25 < ratios.max().item() < 1.44 + 0.05


def test_a_quarter_turn_is_a_quarter_turn():
    planes = torch.zeros(1, 3, 21, 21)
    planes[:, :, 2, 10] = 1.0  # above the centre
    for seed in range(200):
        turned = turn_and_zoom(planes, zoom=0.0, rotation=90.0, generator=_generator(seed))
        row, column = divmod(int(turned[0, 0].argmax()), 21)
        assert (row - 10) ** 2 + (column - 10) ** 2 == pytest.approx(64, abs=12)
        assert row <= 11  # never to the other side


def test_colours_stay_in_range_and_differ_by_image():
    planes = torch.rand(1, 3, 8, 8, generator=_generator()).expand(32, -1, -1, -1) * 255
    kept = planes.clone()
    changed = jitter_colour(planes, strength=0.4, generator=_generator())
    torch.testing.assert_close(planes, kept)
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert changed.mean((1, 2, 3)).std() > 5
    again = jitter_colour(planes, strength=0.4, generator=_generator())
    torch.testing.assert_close(changed, again)
