"""Views of pictures."""

import torch

from tellapart.views import jitter


def test_no_strength_changes_nothing():
    pictures = torch.randint(0, 256, (4, 3, 9, 9), dtype=torch.uint8)
    assert torch.equal(jitter(pictures, 0), pictures)


def test_every_picture_gets_a_change_of_its_own_and_stays_a_picture():
    pictures = torch.full((6, 3, 16, 16), 255, dtype=torch.uint8)
    pictures[:, :, 4:12, 4:12] = 40
    moved = jitter(pictures, 0.15)
    assert moved.dtype == torch.uint8
    assert moved.shape == pictures.shape
    for i in range(1, 6):
        assert not torch.equal(moved[0], moved[i])
    # Little is lost: the ink that is left is that of a square scaled by at most 1 ± 0.15 and faded likewise.
    ink, before = (255.0 - moved.float()).sum(dim=(1, 2, 3)), (255.0 - pictures.float()).sum(dim=(1, 2, 3))
    assert ((ink / before > 0.85**3 - 0.1) & (ink / before < 1.15 / 0.85**2 + 0.1)).all()


def test_a_step_of_the_generator_decides_all():
    pictures = torch.randint(0, 256, (4, 3, 9, 9), dtype=torch.uint8)
    torch.manual_seed(3)
    first = jitter(pictures, 0.2)
    torch.manual_seed(3)
    assert torch.equal(jitter(pictures, 0.2), first)
