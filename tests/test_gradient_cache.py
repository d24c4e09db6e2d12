"""A batch in chunks against the whole batch at once."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tellapart import nt_xent
from tellapart.gradient_cache import chunked


def encoder_of(dtype=torch.float64, dropout=0.0):
    torch.manual_seed(0)
    layers = nn.Linear(6, 32), nn.GELU(), nn.Dropout(dropout), nn.LayerNorm(32), nn.Linear(32, 4)
    return nn.Sequential(*layers).to(dtype)


def gradients(encoder, loss):
    return torch.autograd.grad(loss, list(encoder.parameters()))


@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_value_and_gradients_are_those_of_the_whole_batch(chunk):
    encoder, (a, b) = encoder_of(), torch.randn(2, 8, 6, dtype=torch.float64)
    whole = nt_xent(encoder(a), encoder(b))
    pieces = nt_xent(*(chunked(encoder, x, chunk=chunk) for x in (a, b)))
    torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(encoder, pieces), gradients(encoder, whole), rtol=1e-10, atol=1e-14)


def test_in_float32_gradients_agree_to_rounding():
    encoder, (a, b) = encoder_of(torch.float32), torch.randn(2, 64, 6)
    whole = gradients(encoder, nt_xent(encoder(a), encoder(b)))
    pieces = gradients(encoder, nt_xent(*(chunked(encoder, x, chunk=7) for x in (a, b))))
    exact = encoder_of().requires_grad_()
    expected = gradients(exact, nt_xent(*(exact(x.double()) for x in (a, b))))
    for found, plain, truth in zip(pieces, whole, expected, strict=True):
        error = (found - truth).abs().max()
        assert error <= 4 * (plain - truth).abs().max() + 1e-7 * truth.abs().max()


def test_dropout_drops_the_same_when_a_chunk_is_encoded_again():
    """Each chunk alone, with gradients kept from its only pass, is the truth."""
    encoder, x = encoder_of(dropout=0.5), torch.randn(9, 6, dtype=torch.float64)
    torch.manual_seed(5)
    once = torch.cat([encoder(part) for part in x.split(4)])
    torch.manual_seed(5)
    again = chunked(encoder, x, chunk=4)
    torch.testing.assert_close(again, once, rtol=0, atol=0)
    torch.manual_seed(99)  # whatever was drawn in between
    torch.rand(17)
    weight = torch.randn_like(once)
    torch.testing.assert_close(gradients(encoder, (again * weight).sum()), gradients(encoder, (once * weight).sum()))


def test_autocast_is_the_same_when_a_chunk_is_encoded_again():
    seen = []
    encoder, x = encoder_of(torch.float32), torch.randn(4, 6)
    encoder[0].register_forward_hook(lambda *seen_: seen.append(seen_[-1].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = chunked(encoder, x, chunk=2).float().sum()
    loss.backward()
    assert seen == [torch.bfloat16] * 4


def test_running_statistics_are_updated_once():
    x = torch.randn(6, 5)
    norm = nn.BatchNorm1d(5)
    expected = copy.deepcopy(norm)
    for part in x.split(3):
        expected(part)
    chunked(norm, x, chunk=3).square().sum().backward()
    torch.testing.assert_close(norm.state_dict(), expected.state_dict())


def test_each_parameter_is_handed_its_gradient_once_a_step():
    """Data-parallel training reduces a gradient when it is handed over."""
    encoder, count = encoder_of(), []
    for parameter in encoder.parameters():
        parameter.register_post_accumulate_grad_hook(count.append)
    nt_xent(*(chunked(encoder, x, chunk=2) for x in torch.randn(2, 8, 6, dtype=torch.float64))).backward()
    assert len(count) == len(list(encoder.parameters()))


class _Largest(TorchDispatchMode):
    """The most rows any tensor of the encoder's hidden width had."""

    def __init__(self):
        super().__init__()
        self.rows = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(x, torch.Tensor) and x.ndim == 2 and x.shape[1] == 32:
                self.rows = max(self.rows, len(x))
        return result


def test_no_activation_of_more_than_a_chunk_exists():
    encoder, x = encoder_of(), torch.randn(40, 6, dtype=torch.float64)
    with _Largest() as largest:
        chunked(encoder, x, chunk=8).square().sum().backward()
    assert largest.rows == 8


def test_one_chunk_at_a_time_is_alive():
    """Activations of a chunk are gone when those of the next are made, in both passes."""
    alive, most = 0, 0

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            nonlocal alive, most
            if again:
                alive += len(x)
                most = max(most, alive)
            y = x * 2
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            nonlocal alive
            (y,) = ctx.saved_tensors
            alive -= len(y)
            return 2 * g

    x = torch.randn(12, 3, requires_grad=True)
    again = False
    loss = chunked(Counted.apply, x, chunk=3).square().sum()
    again = True
    loss.backward()
    assert (alive, most) == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chunk": 0}, "`chunk` must be at least 1. Got 0"),
        (
            {"chunk": 2, "encoder": lambda x: x.sum(0, keepdim=True)},
            "`encoder` must return one embedding for each of 2",
        ),
    ],
)
def test_a_mistake_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        chunked(**{"encoder": lambda x: x, "inputs": torch.ones(4, 2, requires_grad=True)} | arguments)
