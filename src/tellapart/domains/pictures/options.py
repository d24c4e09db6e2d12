"""The options that systems of pictures share, with texts or without. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tellapart.domains import tables
from tellapart.domains.folders import Labels
from tellapart.domains.pictures.jitter import Kind
from tellapart.domains.pictures.picture_sets import Form
from tellapart.errors import require_option
from tellapart.training import TrainingOptions, name_from_root

if TYPE_CHECKING:
    from tellapart.domains.pictures.picture_sets import PictureSet
    from tellapart.runs import Run

_CONVNET = "convnet"
_LEAST, _MOST = 8, 1024


@dataclass(frozen=True)
class PictureOptions(TrainingOptions):
    """Data, network, views and training."""

    data: str = "openmoji"
    """A folder of pictures (its subfolders are labels), a table, a .npy, .npz or idx file, or "openmoji"."""
    labels: Labels = "auto"
    """What subfolders are: "auto" takes train, test, val and the like as splits; "folder": labels; "none": neither."""
    columns: str = ""
    """Of a table, what its columns are called, if not image and label: image=path,label=class."""
    separator: str = ""
    """Of a table, what separates its cells, such as ;. By default a comma, or in a .tsv a tab."""
    held_out: float = 0.2
    """Share of the pictures that training never sees, if the data have no test set of their own."""
    batch_size: int = 256
    """Pictures in a batch at most, on each device."""
    temperature: float = 0.2
    """By what similarities are divided: the lower, the more the hardest negatives count."""
    dim: int = 128
    """Length of the projections that are compared in training; 0 for no projection head: features are compared."""
    hidden: int = 512
    """Width of the projection head between its two layers; 0 for a head of one layer."""
    encoder: str = _CONVNET
    """"convnet", or an image model of transformers: its type, such as vit, or a local folder that holds one."""
    encoder_options: str = ""
    """Options of such a type as JSON, for example {"hidden_size": 192, "num_hidden_layers": 6}."""
    width: int = 24
    """Channels of the convnet's first layer; its features are eight times as many."""
    picture_size: int = 0
    """Side of the square to which pictures are brought, in pixels; 0 for as they come."""
    crop: float = 0.08
    """Area of the smallest rectangle that is a view, as a share of the picture."""
    flip: float = 0.5
    """Probability that a view is mirrored."""
    jitter: float = 0.5
    """Strength of the change of a view's brightness, contrast and colours; 0 for none."""
    turn: float = 0.0
    """Probability that a view is turned, by one, two or three quarters of a circle."""
    grey: float = 0.2
    """Probability that a view loses its colours."""
    blur: float = 0.0
    """Probability that a view is blurred."""
    chunk: int = 0
    """Views that the encoder takes at a time, for batches larger than the memory; 0 for all of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (("dim", 0, 2**14), ("hidden", 0, 2**16), ("width", 1, 2**10)):
            value = getattr(self, name)
            require_option(name, least <= value <= most, f"lie between {least} and {most}", value)
        size, is_size = self.picture_size, _LEAST <= self.picture_size <= _MOST
        require_option("picture_size", is_size or size == 0, f"be 0 or lie between {_LEAST} and {_MOST}", size)
        for name in ("flip", "turn", "grey", "blur"):
            require_option(name, 0 <= getattr(self, name) <= 1, "lie in [0, 1]", getattr(self, name))
        require_option("jitter", 0 <= self.jitter <= 1.25, "lie in [0, 1.25]", self.jitter)
        require_option("crop", 0 < self.crop <= 1, "be positive and at most 1", self.crop)
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)
        require_option("chunk", self.chunk == 0 or self.chunk >= 2, "be 0, or at least 2", self.chunk)
        is_foreign = self.encoder != _CONVNET
        must = "be left out with the convnet, which has only the option width"
        require_option("encoder_options", is_foreign or not self.encoder_options, must, self.encoder_options)
        self.form.table.names()
        if is_foreign:
            name_from_root(self, "encoder")

    @property
    def form(self) -> Form:
        """How folders and tables are read."""
        return Form(self.labels, tables.Form(self.columns, self.separator))

    def has_convnet(self) -> bool:
        """Whether the encoder is a `ConvNet`, and not a model of transformers."""
        return self.encoder == _CONVNET


@dataclass(frozen=True)
class PairOptions(TrainingOptions):
    """Data and training of systems of pictures with texts."""

    data: str = "openmoji"
    """"openmoji", a folder with a table (or the table itself) of the columns image and text, or pictures with texts
    beside them: crow.jpg, crow.txt."""
    columns: str = ""
    """What the columns of the table are called, if not image and text: image=path,text=caption."""
    separator: str = ""
    """What separates the cells of the table, such as ;. By default a comma, or in a .tsv a tab."""
    held_out: float = 0.25
    """Share of the pairs that training never sees and evaluation uses."""
    batch_size: int = 128
    """Pairs in a batch at most: each picture finds its text among so many, on each device."""
    picture_size: int = 32
    """Side of the square to which pictures are shrunk, in pixels."""
    picture_jitter: float = 0.15
    """How far drawings are moved, turned (radians), scaled and faded, or photographs cut and changed in colour, at
    random, as a share; 0 for not at all."""
    picture_kind: Kind = "auto"
    """Whether they are changed as a "drawing" on white or a "photograph"; "auto" looks at the borders."""

    def __post_init__(self) -> None:
        super().__post_init__()
        is_size = _LEAST <= self.picture_size <= _MOST
        require_option("picture_size", is_size, f"lie between {_LEAST} and {_MOST}", self.picture_size)
        require_option("picture_jitter", 0 <= self.picture_jitter < 1, "lie between 0 and 1", self.picture_jitter)
        self.form.names()

    @property
    def form(self) -> tables.Form:
        """How the table is read."""
        return tables.Form(self.columns, self.separator)


class ImageShape(NamedTuple):
    """What pictures a network takes: their side in pixels, and their channels."""

    side: int
    channels: int

    @classmethod
    def of(cls, pictures: PictureSet) -> ImageShape:
        """The shape that pictures have.

        Raises:
            InputError: they are too small or too large.
        """
        shape = cls(pictures.content.shape[-1], pictures.content.shape[1])
        require_option("picture_size", _LEAST <= shape.side <= _MOST, f"lie between {_LEAST} and {_MOST}", shape.side)
        return shape

    @classmethod
    def noted(cls, run: Run) -> ImageShape:
        """The shape of the pictures that a run was trained on.

        Raises:
            InputError: the run is damaged.
        """
        return cls(run.noted("side"), run.noted("channels"))

    def note(self, run: Run) -> None:
        """Keep it with the run."""
        run.note(side=self.side, channels=self.channels)
