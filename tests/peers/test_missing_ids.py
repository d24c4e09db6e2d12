"""Columns of pandas as ids: what is missing equals nothing."""

import pandas as pd
import pytest
import torch

from tellapart import same


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series(["a", None, "b"]).map({"b": "a"}),
        pd.Series([None, None, 3], dtype="Int64"),
        [pd.NA, pd.NaT, "a"],
    ],
)
def test_a_missing_id_of_pandas_equals_itself_alone(ids):
    related = same(ids).tile(slice(0, 3), slice(0, 3))
    assert torch.equal(related.int(), torch.eye(3, dtype=torch.int32))
