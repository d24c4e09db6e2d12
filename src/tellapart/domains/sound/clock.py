"""How far the sounds' clocks are ahead of the pictures', and how exact they are: given, or learned by EM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.objective import Terms

_CHUNK = 1024
_PRIOR = 1e-3
_LEAST_WIDTH = 1e-3


class Clock(nn.Module):
    """Each recorder's offset δ, perhaps with a drift, and the width σ of the differences that remain, in seconds.

    Sound i of recorder d and picture j of the same event differ by `Δ_ij = t_i − u_j ~ N(δ_d + κ_d x_i, σ²)`, where
    x runs from −1 to 1 over the recordings and κ is 0 without drift. `learn` is one step of EM. Its E-step is the
    posterior of which picture belongs to a sound, with the Gaussian as the prior and the softmax p as the likelihood:

        r_ij = w_ij p_ij / Σ_j w_ij p_ij,    w_ij = exp(−(Δ_ij − δ_d − κ_d x_i)² / 2σ²)

    The M-step is least squares with weights r: `δ_d = Σ r Δ / Σ r`, `σ² = Σ r (Δ − δ_d)² / Σ r`. Its sums run over the
    batches, and forget old ones at the rate `1 − 1/memory`.

    Args:
        offset: where δ begins, in seconds.
        sigma: where σ begins, in seconds.
        n_recorders: the number of recorders.
        stretch: the first and the last time of the sounds, between which x runs.
        drifts: whether κ is learned, too.
        memory: in steps.

    Source: Dempster, Laird & Rubin 1977 (EM); with sums that forget, Cappé & Moulines 2009 (online EM).

    >>> clock = Clock(offset=2.0, sigma=1.0, n_recorders=1, stretch=(0.0, 10.0))
    >>> clock.corrected(torch.tensor([5.0]), torch.tensor([0]))
    tensor([3.], dtype=torch.float64)
    """

    coefficients: Tensor
    sums: Tensor
    moments: Tensor
    squares: Tensor
    variance: Tensor

    def __init__(
        self,
        offset: float,
        sigma: float,
        n_recorders: int,
        stretch: tuple[float, float],
        drifts: bool = False,
        memory: int = 1,
    ) -> None:
        super().__init__()
        self.stretch, self.drifts, self.memory = stretch, drifts, memory
        self.begin = offset
        k = 1 + drifts
        # δ and κ, as what is added to the first offset; the sums are of differences from it, which are small numbers.
        self.register_buffer("coefficients", torch.zeros(n_recorders, k, dtype=torch.float64))
        self.register_buffer("variance", torch.tensor(sigma**2, dtype=torch.float64))
        # A little of what is believed at first, so that no sum is 0.
        self.register_buffer("sums", _PRIOR * torch.eye(k, dtype=torch.float64).repeat(n_recorders, 1, 1))
        self.register_buffer("moments", torch.zeros(n_recorders, k, dtype=torch.float64))
        self.register_buffer("squares", torch.full((n_recorders,), _PRIOR * sigma**2, dtype=torch.float64))

    @property
    def sigma(self) -> float:
        """σ, in seconds."""
        return self.variance.sqrt().item()

    def offsets(self) -> Float[Tensor, " recorders"]:
        """Each recorder's δ, in seconds: how far ahead it is, in the middle of the recordings."""
        return self.begin + self.coefficients[:, 0]

    def gains(self) -> Float[Tensor, " recorders"]:
        """Seconds that each recorder gains in a second."""
        first, last = self.stretch
        return 2 * self.coefficients[:, 1] / max(last - first, 1e-9)

    def notes(self, recorders: list[str]) -> list[str]:
        """What was found, in words."""
        ahead = [
            f"{name or 'the sounds'} {x:+.3f} s" for name, x in zip(recorders, self.offsets().tolist(), strict=True)
        ]
        found = [f"Learned clocks: ahead by {', '.join(ahead)}; sigma {self.sigma:.3f} s."]
        if self.drifts:
            gained = [
                f"{name or 'they'} {1e6 * x:+.1f} µs" for name, x in zip(recorders, self.gains().tolist(), strict=True)
            ]
            found.append(f"In a second they gain: {', '.join(gained)}.")
        return found

    def corrected(self, times: Float[Tensor, " n"], recorders: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The sounds' times on the pictures' clock."""
        place = self._place(times)
        return times.double() - self.begin - (place * self.coefficients.to(place.device)[recorders]).sum(dim=1)

    def posterior(
        self, logits: Float[Tensor, "n m"], corrected: Float[Tensor, " n"], picture_times: Float[Tensor, " m"]
    ) -> Float[Tensor, "n m"]:
        """r_ij: how likely each picture belongs to each sound, by the clock and by what they look and sound like."""
        apart = corrected[:, None] - picture_times.double()
        return torch.softmax(logits.double() - 0.5 * apart.square() / self.variance.to(apart.device), dim=1)

    @torch.no_grad()
    def learn(
        self,
        terms: Terms,
        times: Float[Tensor, " n"],
        recorders: Int[Tensor, " n"],
        picture_times: Float[Tensor, " m"],
    ) -> None:
        """A step of EM on a batch, with the embeddings and the temperature of its loss.

        Over several processes the sums of all count.
        """
        assert terms.given is not None
        queries, keys = (nn.functional.normalize(x.double(), dim=1) for x in terms.given[:2])
        corrected, place = self.corrected(times, recorders), self._place(times)
        tau, n = terms.given.options["temperature"], len(self.coefficients)
        found = [torch.zeros_like(x) for x in (self.sums, self.moments, self.squares)]
        for start in range(0, len(times), _CHUNK):
            rows = slice(start, start + _CHUNK)
            r = self.posterior(queries[rows] @ keys.T / tau, corrected[rows], picture_times)
            apart = times[rows, None].double() - self.begin - picture_times.double()
            x, of = place[rows], nn.functional.one_hot(recorders[rows], n).double()
            found[0] += torch.einsum("nd,na,nb->dab", of, x, x)
            found[1] += torch.einsum("nd,na,n->da", of, x, (r * apart).sum(dim=1))
            found[2] += of.T @ (r * apart.square()).sum(dim=1)
        if terms.given.group is not None:
            for part in found:
                torch.distributed.all_reduce(part, group=terms.given.group)
        for kept, new in zip((self.sums, self.moments, self.squares), found, strict=True):
            kept.mul_(1 - 1 / self.memory).add_(new)
        self._maximise()

    def _maximise(self) -> None:
        # A recorder that was not heard for long keeps what is known of it.
        least = 1e-9 * torch.eye(self.coefficients.shape[1], dtype=torch.float64, device=self.sums.device)
        self.coefficients.copy_(torch.linalg.solve(self.sums + least, self.moments + self.coefficients @ least))
        unexplained = self.squares - (self.coefficients * self.moments).sum(dim=1)
        weight = self.sums[:, 0, 0].sum()
        self.variance.copy_((unexplained.sum() / weight).clamp(min=_LEAST_WIDTH**2))

    def _place(self, times: Float[Tensor, " n"]) -> Float[Tensor, "n k"]:
        """1 and, of a clock that drifts, x in [−1, 1]."""
        first, last = self.stretch
        ones = torch.ones(len(times), 1, dtype=torch.float64, device=times.device)
        if not self.drifts:
            return ones
        x = (2 * times.double() - first - last) / max(last - first, 1e-9)
        return torch.cat([ones, x[:, None]], dim=1)
