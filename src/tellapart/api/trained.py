"""What can be done with a run that was trained, from Python: the abilities of its system."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart import reading, systems
from tellapart.api.record import Record
from tellapart.errors import require_option
from tellapart.evaluation import Table
from tellapart.runs import Query, check_suffix, gathered, open_run, write_embeddings

if TYPE_CHECKING:
    from tellapart.runs import Embeddings, Found, Hit, TensorEncoder
    from tellapart.systems import Made, Samples


class Trained(Record):
    """A run folder, and what can be done with it. Made by `train` and `load`.

    A method for what the system cannot do raises `InputError`, which names what it can.
    """

    def embed(self, x: Any, broken: reading.Broken | None = None) -> Embeddings:
        """Unit vectors, with a name for each; `np.asarray` makes them an array.

        Args:
            x: what the system is of, a thing or several: a file or folder, as on the command line; or, for
                - pictures: Pillow pictures, NumPy arrays or tensors (uint8, or floating-point in [0, 1]; `(n, h, w)`,
                  `(n, h, w, c)` or `(n, c, h, w)`, or of one picture `(h, w)` or `(h, w, c)`), or a list or column of
                  picture files, Pillow pictures or arrays; clip also takes a list or column of texts;
                - sentences: a list or column of them;
                - DNA: the letters of a sequence, or a list or column of such;
                - micrographs: an array or tensor `(h, w)` or `(h, w, 3)`, or a list of these or of files;
                - words: a list or column of them;
                - videos: uint8 arrays, `(h, w, 3)` or `(n, h, w, 3)`; each cell of a frame has a vector;
                - a graph: a `Data` of torch_geometric, or a dict of its tensors.
            broken: what is done with broken items, "skip" or "stop"; by default what the run's training did.

        Raises:
            InputError: something that the system cannot embed.
        """
        return self._use("embed", x, then=gathered, broken=broken)  # type: ignore[no-any-return]

    def embed_into(self, path: str | Path, x: Any, broken: reading.Broken | None = None) -> tuple[int, int] | None:
        """Embed into a file, with no more in memory than a part at a time; how many vectors, and of which length.

        A call that was stopped goes on where it was, if it is repeated: what is done lies in `PATH.partial` until then.
        Of processes that `torchrun` starts each embeds a share. The first writes the file, and the others return
        `None`.

        Args:
            path: a `.parquet`, `.npz` (put together in memory), `.csv` or `.zarr` (a new folder).
            x: as for `embed`.
            broken: as for `embed`.

        Raises:
            InputError: another ending, something that the system cannot embed, or that cannot be written.
        """
        systems.ability(self.system, "embed")
        check_suffix(Path(path))
        written = partial(write_embeddings, path=Path(path), run=self._run)
        return self._use("embed", x, then=written, broken=broken)  # type: ignore[no-any-return]

    def search(self, query: Any, k: int = 5) -> list[Hit]:
        """The k items of the run that are most like a query, best first.

        Args:
            query: words or a picture for clip; a sentence for bilingual; words, such as "king - man + woman", for
                word2vec; the name of a node for graph; a sequence, or a file with one, for genomics; a place of a
                video, such as "120,80,60", for pixels; a file or the name of a place for microstructure; the name of a
                pair or an array for attention; otherwise a picture, as a file, of Pillow or as an array.
            k: how many, at least 1.

        Raises:
            InputError: a query that the system cannot look for, or k < 1.
        """
        systems.ability(self.system, "search")
        require_option("query", not isinstance(query, str) or bool(query.strip()), "not be empty", repr(query))
        _check_count("k", k)
        asked = Query("query", str(query) if isinstance(query, Path) else query)
        return self._use("search", [asked], k)[0].hits  # type: ignore[no-any-return]

    def search_many(self, queries: Any, k: int = 5, broken: reading.Broken | None = None) -> list[Found]:
        """The k items of the run that are most like each of many queries: `query`, its name, and `hits`, best first.

        A query that cannot be looked for is left out and counted.

        Args:
            queries: a list or a column of what `search` takes; or a file or a folder: of texts or names a `.txt`, a
                line each, or a table with a column `query` or `text`; for systems of pictures a folder of them; for
                genomics FASTA or FASTQ.
            k: how many, at least 1.
            broken: what is done with queries that cannot be looked for, "skip" or "stop"; by default what the run's
                training did with broken items.

        Raises:
            InputError: no such file, more queries that cannot be looked for than others, one with "stop", or k < 1.
        """
        function = systems.ability(self.system, "search")
        _check_count("k", k)
        ask = systems.load(self.system).ask
        self._run.check_trained()
        with reading.accounted(broken or self.config.broken) as account:
            if isinstance(queries, (str, Path)):
                require_option("query", bool(str(queries).strip()), "not be empty", repr(str(queries)))
                assert ask is not None
                asked = ask(self._finished, str(queries))
            else:
                asked = [Query(x if isinstance(x, str) else str(row), x) for row, x in enumerate(queries)]
            found: list[Found] = function(self._finished, asked, k)
            if account.counts:
                account.tell()
        return found

    def cluster(self, x: Any, n: int | None = None) -> Made:
        """The groups of all that is in a source: `table` counts them, and `save` writes them.

        Groups are written as CSV or Parquet; those of genomics also as a folder with a FASTA file a group, and those of
        micrographs as a picture.

        Args:
            x: as for `embed`.
            n: how many groups, by k-means; by default HDBSCAN finds them.

        Raises:
            InputError: the system does not cluster, something that it cannot embed, or more groups than items.
        """
        systems.ability(self.system, "cluster")
        if n is not None:
            _check_count("n", n)
        return self._use("cluster", x, n)  # type: ignore[no-any-return]

    def match(self, a: Any, b: Any, height: int | None = None) -> Made:
        """Where each pixel of one picture is in another: `flow` and `confidence`, which `save` writes.

        Args:
            a: a picture file; a frame of a video, as "VIDEO:FRAME"; or a uint8 array `(h, w, 3)`.
            b: another.
            height: pictures that are higher are scaled down to it to be compared; by default that of training.

        Raises:
            InputError: the system does not match, something is no picture, or a height that none can have.
        """
        return self._use("match", a, b, height)  # type: ignore[no-any-return]

    def propagate(self, video: Any, mask: Any, height: int | None = None) -> Made:
        """The labels of a mask carried through a video: `labels`, a mask a frame, which `save` writes.

        Args:
            video: a video file, a folder of frames, or a uint8 array `(n, h, w, 3)`.
            mask: labels of the first frame's pixels: a grey picture or one with a palette, or a uint8 array `(h, w)`.
            height: frames that are higher are scaled down to it, but for an array's; by default that of training. A
                greater one tells smaller objects apart, and takes longer.

        Raises:
            InputError: the system does not propagate, or something is missing, broken or does not fit.
        """
        return self._use("propagate", video, mask, height)  # type: ignore[no-any-return]

    def evaluate(
        self, data: str | Path | None = None, broken: reading.Broken | None = None, columns: str | None = None
    ) -> Table:
        """Measure on the run's held-out data, and keep the result in the run; or on other data.

        Args:
            data: other data; by default the run's own.
            broken: what is done with broken items, "skip" or "stop"; by default what the run's training did.
            columns: what the columns of a table of other data are called, as in training; by default as there.

        Raises:
            InputError: the data are missing, broken or changed, or `columns` without other data.
        """
        systems.ability(self.system, "evaluate")
        require_option("columns", columns is None or data is not None, "be given only with other data", repr(columns))
        named = None if data is None else str(data)
        return self._use("evaluate", named, broken=broken, columns=columns)  # type: ignore[no-any-return]

    def sample(self, n: int = 16, seed: int = 0, prompt: str | None = None) -> Samples:
        """New examples of a system that generates.

        Args:
            n: how many, at least 1.
            seed: decides which.
            prompt: what they answer, for a system of answers (dpo); no other takes one.

        Raises:
            InputError: the system does not generate, n < 1, a missing prompt, or one that the system does not take.
        """
        systems.ability(self.system, "sample")
        _check_count("n", n)
        prompted = systems.load(self.system).prompted
        must = "be a text to answer" if prompted else f"be left out: {self.system} answers none"
        require_option("prompt", isinstance(prompt, str) if prompted else prompt is None, must, repr(prompt))
        return self._use("sample", n, seed, *([prompt] if prompted else []))  # type: ignore[no-any-return]

    def score(self, data: str | Path, columns: str | None = None) -> Table:
        """What the trained model thinks of each item of a file.

        For dpo, the reward of each answer. For bilingual, the cosine of each pair of sentences, the least first: those
        far below the others are probably no translations.

        Args:
            data: what the system takes to train on.
            columns: what the columns of a table are called, as in training; by default as there.

        Raises:
            InputError: the system does not score, or the data are missing or broken.
        """
        return self._use("score", str(data), columns=columns)  # type: ignore[no-any-return]

    def export(self, path: str | Path, format: str | None = None) -> str:  # noqa: A002 - what people expect
        """Write what was learned in a form that other programs read, and say in words what it is.

        Args:
            path: what to write: a new folder, in one step; for "word2vec" a `.bin`, a `.txt` or a `.vec`, or one of
                these with `.gz`.
            format: what other systems than dpo and word2vec have:
                - "hub": safetensors, config.json and a model card, which `load` reads;
                - "torch": a program for `torch.export.load`;
                - "onnx": a program for onnxruntime, to which its vectors are compared;
                - "sentence-transformers": a folder for `SentenceTransformer`, of a system that embeds texts.
                By default the first that the system has: for dpo "transformers", for word2vec "word2vec", else "hub".

        Raises:
            InputError: the system does not export or has no such format, `path` is of another kind, an extra is
                missing, or it cannot be written.
        """
        formats = systems.ability(self.system, "export")
        chosen = next(iter(formats)) if format is None else format
        must = f"be one of those of {self.system}: {', '.join(formats)}"
        require_option("format", chosen in formats, must, repr(format))
        return self._call("export", formats[chosen], Path(path))  # type: ignore[no-any-return]

    def encoders(self) -> dict[str, TensorEncoder]:
        """What embeds, as functions of tensors, by the kind of items: "picture", "text", "sentence" or "read".

        Raises:
            InputError: the system has none, training is not complete, or the weights are damaged.
        """
        make = systems.load(self.system).encoders
        require_option("run", make is not None, "be of a system with encoders of tensors", self.system)
        assert make is not None
        return make(self._finished)


def load(folder: str | Path) -> Trained:
    """A run that was trained before, by `train` or by the command line; or what `export` wrote of one as "hub".

    Raises:
        InputError: there is no such folder, or it is neither.
    """
    return Trained(open_run(Path(folder)))


def _check_count(option: str, value: object) -> None:
    require_option(option, isinstance(value, Integral), "be a whole number", repr(value))
    require_option(option, int(value) >= 1, "be at least 1", value)  # type: ignore[call-overload]
