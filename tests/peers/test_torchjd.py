"""The rules that combine two gradients against torchjd's aggregators, which take any number: `make peers`."""

import pytest
import torch
from torchjd.aggregation import PCGrad, Sum, UPGrad
from torchjd.linalg import QuadprogProjector

from tellapart.diagnostics import inner_products
from tellapart.training import combine

# Without its regularisation, which moves the answer by about 1e-4 of the gradients' length.
UPGRAD = UPGrad(projector=QuadprogProjector(norm_eps=0.0, reg_eps=0.0))
RULES = {"sum": Sum(), "pcgrad": PCGrad(), "upgrad": UPGRAD}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(20))
def test_a_rule_is_torchjds_aggregator(rule, seed):
    random = torch.Generator().manual_seed(seed)
    jacobian = torch.randn(2, 7, dtype=torch.float64, generator=random)
    jacobian[1] *= 10.0 ** (seed % 5 - 2)  # of lengths that differ a hundredfold
    if seed % 2:  # a conflict, by all but chance
        jacobian[1] -= 2 * jacobian[1].norm() / jacobian[0].norm() * jacobian[0]
        assert jacobian[0] @ jacobian[1] < 0
    a, b = [jacobian[0]], [jacobian[1]]
    (found,) = combine(a, b, inner_products(a, b), rule)
    torch.testing.assert_close(found, RULES[rule](jacobian), rtol=1e-6, atol=1e-6)
