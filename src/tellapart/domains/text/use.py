"""What can be done with a trained encoder: measure it, make vectors of sentences, find translations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tellapart.domains.text.encoder import embed
from tellapart.domains.text.load import load_sentences
from tellapart.domains.text.study import Study, recall_of_others
from tellapart.runs import Embeddings, Gallery, Hit

if TYPE_CHECKING:
    from tellapart.domains.text.encoder import Embed
    from tellapart.evaluation import Table
    from tellapart.runs import Run


class Uses:
    """The commands for runs of one system, whose model is `make(config, tokeniser)`, with an `encoder`."""

    def __init__(self, make: Callable[[Any, str], Any]) -> None:
        self.make = make

    def encoders(self, config: Any, run: Run) -> tuple[Embed, Embed]:
        """What embeds sentences as before training, and as now, in the usual precision.

        Raises:
            InputError: the run is not trained, or damaged.
        """

        def make() -> Any:
            return self.make(config, "" if config.encoder == "bag" else run.read_tokeniser())

        before, after = run.before_and_after(make)
        return partial(embed, before.encoder), partial(embed, after.encoder)

    def evaluate(self, config: Any, run: Run, data: str | None) -> Table:
        """How often a translation is found first: of the run's held-out pairs, or of all pairs of other data.

        Raises:
            InputError: the run is not trained, or the data missing, broken or changed.
        """
        encoders = self.encoders(config, run)
        if data is not None:
            return recall_of_others(data, *encoders)
        table = Study.of_run(config, run).measure(*encoders)
        run.save_results(table.as_dict())
        return table

    def embed(self, config: Any, run: Run, source: str) -> Embeddings:
        """Embed sentences of either language, or both sides of translations: unit vectors.

        Raises:
            InputError: the run is not trained, or `source` holds no text.
        """
        _, encode = self.encoders(config, run)
        texts = load_sentences(source)
        return Embeddings(texts, ["sentence"] * len(texts), encode(texts))

    def search(self, config: Any, run: Run, query: str, k: int) -> list[Hit]:
        """The k translations of the run that match a sentence best, with their cosine similarity.

        Raises:
            InputError: the run is not trained.
        """
        _, encode = self.encoders(config, run)
        return Gallery.load(run.gallery).best(encode([query])[0], k)
