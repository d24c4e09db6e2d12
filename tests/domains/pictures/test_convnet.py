"""The small convolutional network."""

import pytest
import torch

from tellapart.domains.pictures import ConvNet
from tests.forked import warm


@pytest.mark.parametrize("size", [8, 16, 33, 64])
def test_pictures_of_any_size_are_embedded_and_in_evaluation_each_on_its_own(size):
    model = ConvNet(dim=6, width=4)
    pictures = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8)
    model(pictures)
    model.eval()
    together = model(pictures)
    assert together.shape == (5, 6)
    torch.testing.assert_close(model(pictures[2:3])[0], together[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_either_number_of_channels_are_the_same_as_bytes_and_as_shares(channels):
    model = ConvNet(dim=6, width=4, channels=channels).eval()
    pictures = torch.randint(0, 256, (3, channels, 8, 8), dtype=torch.uint8)
    assert torch.equal(model(pictures), model(pictures.float() / 255))


@pytest.mark.parametrize("size", [8, 9])
def test_a_shortcut_is_a_convolution_of_every_second_place(size):
    block = ConvNet(None, width=3).stages[0].double()
    x = torch.randn(2, 3, size, size, dtype=torch.float64, requires_grad=True)
    strided = torch.nn.functional.conv2d(x, block.shortcut.weight, stride=2)
    expected = torch.relu(block.body(x) + strided)
    found, sources = block(x), (x, block.shortcut.weight)
    torch.testing.assert_close(found, expected)
    cotangent = torch.randn_like(found)
    gradients = [torch.autograd.grad(y, sources, cotangent) for y in (found, expected)]
    torch.testing.assert_close(*gradients)


def learn_from_large_pictures():
    torch.set_num_threads(2)
    for width, size in ((4, 64), (8, 64), (12, 96)):
        model = ConvNet(None, width, channels=1)
        model(torch.rand(2, 1, size, size)).sum().backward()
        assert model.first.weight.grad.isfinite().all()


def test_a_narrow_network_learns_from_large_pictures():
    """A 1×1 convolution of stride 2 ended the process here, hence a process of its own."""
    process = warm().Process(target=learn_from_large_pictures)
    process.start()
    process.join(300)
    assert process.exitcode == 0
