"""Families of queries and keys that claims are tested on, float64."""

import itertools
import math
from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from tellapart import info_nce, paired

generators = st.integers(0, 2**31).map(lambda seed: torch.Generator().manual_seed(seed))
temperatures = st.floats(-2, 2).map(lambda exponent: 10**exponent)


@dataclass
class Family:
    """Problems of one kind: n queries among n + more keys, of d entries and of some length."""

    queries: torch.Tensor
    keys: torch.Tensor
    temperature: float

    @property
    def n(self):
        return len(self.queries)

    @property
    def m(self):
        return len(self.keys)

    def logits(self, score):
        """All logits, each by its definition."""
        q, k = self.queries[:, None], self.keys[None]
        scores = {
            "dot": lambda: (q * k).sum(2),
            "cosine": lambda: (q * k).sum(2) / (q.norm(dim=2) * k.norm(dim=2)),
            "sqeuclidean": lambda: -(q - k).square().sum(2),
        }
        return scores[score]() / self.temperature


@st.composite
def line_ups(draw, least_keys=2):
    """Any queries and keys; the keys lie near the queries or anywhere."""
    n, d = draw(st.integers(1, 6)), draw(st.integers(2, 9))
    m = n + draw(st.integers(max(0, least_keys - n), 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    queries, keys = (torch.randn(size, d, generator=generator, dtype=torch.float64) for size in (n, m))
    keys[:n] += draw(st.sampled_from([0.0, 1.0, 5.0])) * queries
    lengths = draw(st.sampled_from([0.1, 1.0, 3.0]))
    return Family(lengths * queries, lengths * keys, draw(temperatures))


def own(values):
    """Each query's own entry, and all the others as a matrix."""
    n, m = values.shape
    others = ~torch.eye(n, m, dtype=torch.bool)
    return values.diagonal(), values[others].view(n, m - 1)


def rounding(positive, negatives):
    """How far log Z⁻ can be off that is read from a loss: `ε exp(S⁺ − log Z⁻)`, at most log K, and the logits' ulps."""
    ulps = 32 * torch.finfo(positive.dtype).eps * (1 + torch.maximum(positive.abs(), negatives.abs().amax(1)))
    of_loss = ulps * (positive - negatives.logsumexp(1)).exp()
    return ulps + of_loss.clamp(max=math.log(negatives.shape[1]))


def expected_loss(table, scores, k, tau):
    """The exact mean of InfoNCE's loss over every choice of one true pair and k draws from q, of a table of scores.

    One query for each, weighed by how probable it is; queries hold a row of scores, keys are unit vectors.
    """
    n, m = scores.shape
    each = torch.tensor(list(itertools.product(range(n), *[range(m)] * (k + 1))))
    x, y, others = each[:, 0], each[:, 1], each[:, 2:]
    weights = table.joint[x, y] * table.log_q.exp()[others].prod(1)
    unit = torch.eye(m, dtype=torch.float64)
    options = {"exclude": ~paired(), "negatives": unit[others], "score": "dot", "temperature": tau}
    losses = info_nce(scores[x], unit[y], reduction="none", engine="dense", **options)
    return (weights * losses).sum()
