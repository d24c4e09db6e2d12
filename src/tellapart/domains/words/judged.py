"""Words that people judged, in a file: pairs with scores, questions of analogy, or synonyms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tellapart.domains.words import measure
from tellapart.errors import InputError, existing
from tellapart.evaluation import Table
from tellapart.runs import Gallery

if TYPE_CHECKING:
    from tellapart.domains.words.network import WordVectors


@dataclass(frozen=True)
class Judged:
    """A file of judged words; its first lines tell the kind."""

    path: Path
    kind: str

    @classmethod
    def load(cls, source: str) -> Judged:
        """Find out the kind of a file: questions have headings that begin with a colon; pairs have scores or not.

        Raises:
            InputError: no such file, or none of these kinds.
        """
        path = existing(source)
        if path.is_dir():
            raise InputError(f"{path}: a folder. Give a file of pairs with scores, of analogies or of synonyms.")
        try:
            with path.open(encoding="utf-8") as file:
                lines = [line.strip() for line in file if line.strip() and not line.startswith("#")][:1]
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8. Save the file as UTF-8.") from error
        cells = lines[0].replace(",", "\t").split("\t") if lines else []
        kind = "questions" if lines and lines[0].startswith(":") else {2: "synonyms"}.get(len(cells), "scores")
        return cls(path, kind)

    def measure(self, before: WordVectors, after: WordVectors) -> Table:
        """What untrained and trained vectors reach.

        Raises:
            InputError: a line of another kind.
        """
        models = {"untrained": before, "trained": after}
        header, rows, left_out = getattr(self, f"_{self.kind}")(models)
        unit = "questions" if self.kind == "questions" else "pairs"
        notes = [f"{left_out} {unit} are left out: a word has no vector."] if left_out else []
        return Table(f"{self.path.name}", header, rows, ["", *[".3f"] * (len(header) - 2), "g"], notes)

    def gallery(self, after: WordVectors) -> Gallery:  # noqa: ARG002
        """There is none: what is judged is not searched."""
        raise InputError(f"{self.path}: holds no text to search through.")

    def _scores(self, models: dict[str, WordVectors]) -> tuple[list[str], list[list[str | float]], int]:
        pairs = measure.read_pairs(self.path)
        found = {name: measure.similarity(m.vocabulary.words, m.units().numpy(), pairs) for name, m in models.items()}
        rows: list[list[str | float]] = [[name, got.spearman, got.pairs] for name, got in found.items()]
        return ["", "Spearman's ρ", "pairs"], rows, found["trained"].left_out

    def _questions(self, models: dict[str, WordVectors]) -> tuple[list[str], list[list[str | float]], int]:
        questions = measure.read_questions(self.path)
        rows: list[list[str | float]] = []
        for name, m in models.items():
            parts = measure.in_two(measure.analogies(m.vocabulary.words, m.units().numpy(), questions))
            rows.append([name, parts[0].share, parts[1].share, parts[0].asked + parts[1].asked])
        return ["", "semantic", "syntactic", "questions"], rows, parts[0].left_out + parts[1].left_out

    def _synonyms(self, models: dict[str, WordVectors]) -> tuple[list[str], list[list[str | float]], int]:
        pairs = _read_synonyms(self.path)
        found = {name: measure.synonyms(m.vocabulary.words, m.units().numpy(), pairs) for name, m in models.items()}
        rows: list[list[str | float]] = [[name, got.auc, got.pairs] for name, got in found.items()]
        return ["", "AUC", "pairs"], rows, found["trained"].left_out


def _read_synonyms(path: Path) -> list[tuple[str, str]]:
    """Lines of two words, apart by a tab or a comma."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        cells = [cell.strip() for cell in line.replace(",", "\t").split("\t")]
        if line.strip() and not line.startswith("#"):
            if len(cells) != 2:
                raise InputError(f"{path} line {number}: not two words, apart by a tab or a comma.")
            pairs.append((cells[0], cells[1]))
    return pairs
