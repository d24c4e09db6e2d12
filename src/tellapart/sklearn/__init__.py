"""Systems as estimators of scikit-learn: `SimCLR(epochs=30).fit(X).transform(X)`.

    from tellapart.sklearn import SimCLR

    features = SimCLR(epochs=30).fit_transform(pictures)  # (n, d), each row of length 1
    make_pipeline(SimCLR(epochs=30), LogisticRegression()).fit(pictures, labels)

The parameters of an estimator are the options of its system, as `tellapart train SYSTEM --help` lists them, and three
more: `run`, `trainer` and `verbose` (see `Estimator`). X is no table of numbers but pictures, texts, pairs or
sequences; each class says which. A file or folder, as the command line takes it, may stand for X in `fit`.
"""

from tellapart.sklearn.estimator import Estimator
from tellapart.sklearn.systems import CLIP, Bilingual, Genomics, SimCLR, Word2Vec

__all__ = ["CLIP", "Bilingual", "Estimator", "Genomics", "SimCLR", "Word2Vec"]
