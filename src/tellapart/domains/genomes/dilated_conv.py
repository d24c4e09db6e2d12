"""A network of dilated convolutions for stretches of DNA of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.domains.genomes.bases import lengths, reverse_complement, shares

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

_STEM, _STRIDE = 9, 3
_PIECE = 2**14 * _STRIDE  # bases of a long sequence that are computed at a time, for the sake of memory


class DilatedConv(nn.Module):
    """Reads to features: convolutions over one-hot bases, and the mean over the read.

    A convolution over 9 bases, averaged over every 3 places; then one residual convolution for each dilation d, which
    combines places d apart:

        h₀ = mean over 3 of max(0, W₀ * x),    hᵢ = hᵢ₋₁ + max(0, Wᵢ *_d hᵢ₋₁),    f(x) = mean over the read of h

    Ambiguous bases are shared among those that they may be. Beyond a read's ends there is nothing: a read shorter than
    the receptive field is embedded from what there is of it, and padding it to the length of another changes nothing.

    With `both_strands` the features are f(x) + f(x̄) of the read and its reverse complement: by construction those of
    either strand, for twice the work.

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
        # Of two dimensions, one of them 1, for the sake of this layout, in which the first takes a quarter of the time.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n width"]:
        """Features of reads; each must have a base."""
        features = self._mean(reads)
        return features + self._mean(reverse_complement(reads)) if self.both_strands else features

    def _mean(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n width"]:
        """A long sequence piece by piece: each with as many bases on both sides as its places depend on."""
        own_type = self.first.weight.dtype
        precise = torch.promote_types(own_type, torch.float32)
        total = torch.zeros(len(reads), self.dim, dtype=precise, device=reads.device)
        for start in range(0, reads.shape[1], _PIECE):
            first = max(0, start - self.halo)
            places = self._places(reads[:, first : start + _PIECE + self.halo])
            own = places[..., (start - first) // _STRIDE :][..., : _PIECE // _STRIDE]
            total = total + own.sum((2, 3), dtype=precise)
        return (total * _STRIDE / lengths(reads)[:, None]).to(own_type)

    def _places(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n width 1 places"]:
        reads = nn.functional.pad(reads, (0, -reads.shape[1] % _STRIDE))
        bases = shares(reads).to(self.first.weight.dtype).permute(0, 2, 1)[:, :, None]
        here = (reads != 0)[:, None, None]
        there = None if here.all() else here  # To hide padding takes a third of the time, and mostly there is none.
        places = nn.functional.avg_pool2d(_positive(self.first(bases), there), (1, _STRIDE))
        there = None if there is None else there[..., ::_STRIDE]
        for layer in self.rest:
            places = places + _positive(layer(places), there)
        if places.requires_grad:  # What a sum sends back has the other layout, and takes twice as long all the way.
            places.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return places


def _positive(values: Float[Tensor, "n c 1 places"], there: Bool[Tensor, "n 1 1 places"] | None) -> Tensor:
    """max(0, ·), in place, and zero where there is no base."""
    values = nn.functional.relu(values, inplace=True)
    return values if there is None else values * there
