"""`options(debug=True)` names what is wrong where values are not read otherwise, as on a GPU."""

import sys

import pytest
import torch

from tellapart import edges, info_nce, listed, options

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
BROKEN = X.clone().index_fill_(0, torch.tensor([2]), torch.nan)
CASES = {
    "a NaN in the queries": ((BROKEN, X), {}, "`queries` must be finite. Got nan in row 2."),
    "a NaN in the keys": ((X, BROKEN), {}, "`keys` must be finite. Got nan in row 2."),
    "negatives": ((X, X), {"negatives": BROKEN}, "`negatives` must be finite. Got nan in row 2."),
    "a temperature": ((X, X), {"temperature": torch.tensor(torch.nan)}, "`temperature` must be positive and finite."),
    "listed": ((X, X), {"positives": listed(torch.tensor([0, 1, 2, 7]))}, "list keys between 0 and 3. Got 7."),
    "edges": ((X, X), {"positives": edges(torch.tensor([[0, 1], [0, 9]]))}, "list keys between 0 and 3. Got 9."),
}


@pytest.fixture
def values_elsewhere(monkeypatch):
    for name, module in list(sys.modules.items()):
        if name.startswith("tellapart") and hasattr(module, "at_hand"):
            monkeypatch.setattr(module, "at_hand", lambda _: False)


@pytest.mark.usefixtures("values_elsewhere")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ["dense", "tiled"])
def test_debug_names_the_argument_and_the_row(case, engine):
    vectors, given, message = CASES[case]
    with options(debug=True), pytest.raises(ValueError, match=r".*".join(message.split(" "))):
        info_nce(*vectors, engine=engine, **given)


@pytest.mark.usefixtures("values_elsewhere")
def test_without_debug_a_nan_is_the_loss():
    assert info_nce(BROKEN, X).isnan()
