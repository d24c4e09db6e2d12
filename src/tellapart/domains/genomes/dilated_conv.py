"""A network of dilated convolutions for DNA of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart._traced import is_exporting
from tellapart.domains.genomes.bases import lengths, reverse_complement, shares

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

_STEM, _STRIDE = 9, 3
_PIECE = 2**14 * _STRIDE  # bases of a long sequence computed at a time, to bound the memory


class DilatedConv(nn.Module):
    """Reads to features: convolutions over one-hot bases, and the mean over the read.

    A convolution over 9 bases is averaged over every 3 places. Then follows one residual convolution for each dilation
    d, which combines places d apart:

        h₀ = mean over 3 of max(0, W₀ * x),    hᵢ = hᵢ₋₁ + max(0, Wᵢ *_d hᵢ₋₁),    f(x) = mean over the read of h

    Ambiguous bases have equal shares of those that they may be. Places beyond a read's ends are zero, so padding
    changes nothing, and a read may be shorter than the receptive field.

    With `both_strands` the features are f(x) + f(x̄) of the read and its reverse complement: the same for both strands
    by construction, for twice the work.

    Shapes: `UInt8[Tensor, "n length"]`, as in `tellapart.domains.genomes.bases`, to `Float[Tensor, "n width"]`.

    Source: dilated convolutions, Yu & Koltun 2016, §2; residual ones, He et al. 2016.

    >>> from tellapart.domains.genomes.bases import encode, padded
    >>> reads = padded([encode("ACGTNACCA"), encode("AC")])
    >>> DilatedConv(width=8, dilations=(1, 2))(reads).shape
    torch.Size([2, 8])
    """

    def __init__(self, width: int, dilations: tuple[int, ...], *, both_strands: bool = True) -> None:
        super().__init__()
        self.dim, self.both_strands = width, both_strands
        self.first = nn.Conv2d(4, width, (1, _STEM), padding=(0, _STEM // 2))
        self.rest = nn.ModuleList(
            nn.Conv2d(width, width, (1, 3), padding=(0, dilation), dilation=(1, dilation)) for dilation in dilations
        )
        self.halo = _STRIDE * (sum(dilations) + 2)
        # 2-d convolutions of height 1, because this layout makes the first four times as fast.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n width"]:
        """Features of reads, each of at least one base."""
        features = self._mean(reads)
        return features + self._mean(reverse_complement(reads)) if self.both_strands else features

    def _mean(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n width"]:
        """The mean over each read, in pieces, each with the bases on both sides that its places depend on."""
        dtype = self.first.weight.dtype
        precise = torch.promote_types(dtype, torch.float32)
        total = torch.zeros(reads.shape[0], self.dim, dtype=precise, device=reads.device)
        # A graph has one piece, for it cannot count them: its reads are at most as long.
        starts = [0] if is_exporting() else range(0, reads.shape[1], _PIECE)
        for start in starts:
            first = max(0, start - self.halo)
            places = self._places(reads[:, first : start + _PIECE + self.halo])
            inner = places[..., (start - first) // _STRIDE :][..., : _PIECE // _STRIDE]
            total = total + inner.sum((2, 3), dtype=precise)
        return (total * _STRIDE / lengths(reads)[:, None]).to(dtype)

    def _places(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n width 1 places"]:
        # A graph knows no remainder: it pads for the worst, and the mean drops what is not whole.
        missing = _STRIDE - 1 if is_exporting() else -reads.shape[1] % _STRIDE
        reads = nn.functional.pad(reads, (0, missing))
        bases = shares(reads).to(self.first.weight.dtype).permute(0, 2, 1)[:, :, None]
        is_base = (reads != 0)[:, None, None]
        # Masking takes a third of the time, and is seldom needed; a graph cannot tell.
        mask = None if not is_exporting() and is_base.all() else is_base
        places = nn.functional.avg_pool2d(_positive(self.first(bases), mask), (1, _STRIDE))
        # Padding is at the end alone, so that a place has a base if its first one is.
        mask = None if mask is None else nn.functional.avg_pool2d(mask.float(), (1, _STRIDE)) > 0
        for layer in self.rest:
            places = places + _positive(layer(places), mask)
        if places.requires_grad:  # A sum's gradient has the other layout, which makes the backward pass half as fast.
            places.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return places


def _positive(values: Float[Tensor, "n c 1 places"], mask: Bool[Tensor, "n 1 1 places"] | None) -> Tensor:
    """max(0, ·), in place, and zero outside the mask."""
    values = nn.functional.relu(values, inplace=True)
    return values if mask is None else values * mask
