"""Estimators and pandas: columns as X, and data frames as what comes out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tellapart import InputError
from tellapart.sklearn import CLIP, SimCLR
from tests.tiny.pictures import CAPTIONS, OPTIONS, PICTURE_OPTIONS, patterns, write_pairs


def test_frames_of_pairs_go_in_and_frames_of_features_come_out(tmp_path):
    folder = write_pairs(tmp_path / "pairs")
    frame = pd.DataFrame(
        {"picture": [str(folder / f"{text.replace(' ', '-')}.png") for text in CAPTIONS], "text": CAPTIONS},
        index=[f"row {i}" for i in range(len(CAPTIONS))],
    )
    estimator = CLIP(**OPTIONS).set_output(transform="pandas").fit(frame)
    found = estimator.transform(frame)
    assert list(found.columns[:2]) == ["clip0", "clip1"]
    assert list(found.index) == list(frame.index)
    np.testing.assert_allclose(found.to_numpy(), estimator.transform(frame[["picture"]]).to_numpy())
    texts = estimator.transform(frame["text"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)
    assert 0 <= estimator.score(frame) <= 1
    with pytest.raises(InputError, match=r"`X` must be a single column\. Got 3"):
        estimator.transform(frame.assign(more=1))


def test_a_pipeline_names_its_features():
    made, _ = patterns(40)
    whole = make_pipeline(SimCLR(**PICTURE_OPTIONS | {"epochs": 1}), StandardScaler()).set_output(transform="pandas")
    found = whole.fit_transform(made)
    assert found.shape == (40, 64)
    assert list(found.columns) == [f"simclr{i}" for i in range(64)]
