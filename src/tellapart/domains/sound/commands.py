"""What can be done with encoders of sounds and pictures: embed files, find pictures by a sound and by a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tellapart import reading
from tellapart.domains.folders import files_in
from tellapart.domains.given import as_texts, is_source, items_of, refuse
from tellapart.domains.queries import lines_or_one
from tellapart.domains.sound.clips import read_clips
from tellapart.domains.sound.dataset import Dataset, Recorders, SoundPictureEncoder
from tellapart.domains.sound.load import PictureFiles
from tellapart.domains.sound.recordings import SUFFIXES
from tellapart.errors import InputError, existing, exists
from tellapart.runs import Commands, Embeddings, FinishedRun, Gallery, Query, in_one

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from tellapart.runs import Run

Files = list[tuple[str, Path]]


def commands_for(make: Callable[[Any, Recorders], nn.Module], picture_files: PictureFiles) -> Commands:
    """The commands of a system with the model `make(config, recorders)`, a `SoundPictureEncoder`.

    Args:
        make: makes a model with its first weights.
        picture_files: what are pictures, and how they are read.
    """

    def make_model(config: Any, run: Run) -> nn.Module:
        return make(config, Recorders.noted(run))

    reader = _Reader(picture_files)
    load = partial(Dataset.load, picture_files)
    return Commands(
        make_model, encoder=lambda model: model, load=load, read=in_one(reader.read), ask=reader.ask, find=reader.find
    )


@dataclass(frozen=True)
class _Reader:
    """Embeds files."""

    picture_files: PictureFiles

    def read(self, finished: FinishedRun, encoder: SoundPictureEncoder, source: Any) -> Embeddings:
        if not is_source(source):  # of a list each item has its row
            with reading.accounted("stop"):
                return self._embedded(finished, encoder, source)
        return self._embedded(finished, encoder, source)

    def _embedded(self, finished: FinishedRun, encoder: SoundPictureEncoder, source: Any) -> Embeddings:
        files = self._files(source)
        heard = [file for file in files if file[1].suffix.lower() in SUFFIXES]
        seen = [file for file in files if file not in heard]
        parts = []
        if heard:
            read = read_clips([path for _, path in heard], [""] * len(heard))
            for row in read.silent:
                error = InputError(f"{heard[row][1]}: the sound is silent. Leave it out.")
                reading.leave_out("silent sound", heard[row][0], error)
            heard = [heard[row] for row in read.file_of.tolist()]
            if not heard:
                raise reading.first_broken() or InputError("x: holds no sound that can be heard.")
            parts.append(encoder.embed_sounds(read.clips))
        if seen:
            paths = [path for _, path in seen]
            shown, kept = self.picture_files.read(paths, [""] * len(seen), finished.config.picture_size)
            seen = [seen[row] for row in kept]
            parts.append(encoder.embed_pictures(shown))
        kinds = ["sound"] * len(heard) + ["picture"] * len(seen)
        return Embeddings([name for name, _ in [*heard, *seen]], kinds, torch.cat(parts))

    def ask(self, _: FinishedRun, typed: str) -> list[Query]:
        """Each file of a folder, or each line of a text: a file, or the name of one of the run's own."""
        if exists(typed) and Path(typed).is_dir():
            return [Query(name, path) for name, path in self._files(typed)]
        return lines_or_one(typed)

    def find(self, finished: FinishedRun, gallery: Gallery, query: Any) -> Float[Tensor, " d"]:
        """A sound or a picture is looked for; a text that names no file may name one of the run's own."""
        if isinstance(query, str) and not exists(query):
            for names, vectors in ((gallery.names, gallery.vectors), (gallery.texts, gallery.captions)):
                if names is not None and vectors is not None and query in names:
                    return vectors[names.index(query)]
        found = self.read(finished, finished.model, query)
        if len(found) != 1:
            raise InputError(f"query: must be a single sound or picture. Got {len(found)}.")
        return found.vectors[0]

    def _files(self, given: Any) -> Files:
        """The sounds and pictures that are named, with their names: files, or all in a folder.

        Raises:
            InputError: there are none, one is missing, or a file is neither a sound nor a picture.
        """
        known = SUFFIXES | self.picture_files.suffixes
        if is_source(given) and (path := existing(str(given))).is_dir():
            found = files_in(path, lambda file: file.suffix.lower() in known, "sounds or pictures")
            if not found:
                raise InputError(f"{path}: the folder holds no sounds and no pictures.")
            return [(str(file.relative_to(path)), file) for file in found]
        items = [given] if is_source(given) else items_of(given)
        if items is None:
            refuse(given, "be a file, a folder, or a list of files")
        files = [(name, existing(name)) for name in as_texts([str(x) if is_source(x) else x for x in items], "file")]
        for name, path in files:
            if path.suffix.lower() not in known:
                raise InputError(f"{name}: not named as a sound or a picture. Convert it to WAV, FLAC, PNG or JPEG.")
        return files
