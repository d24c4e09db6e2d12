"""What a system of sentences and translations is made of besides its objective: encoders, batches, data, uses."""

from tellapart.sentences.batch import Batch, Reading
from tellapart.sentences.encoder import Bag, make_encoder
from tellapart.sentences.options import SentenceOptions
from tellapart.sentences.study import Study
from tellapart.sentences.use import Uses

__all__ = ["Bag", "Batch", "Reading", "SentenceOptions", "Study", "Uses", "make_encoder"]
