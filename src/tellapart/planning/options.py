"""What to plan, as the command line asks for it, and how it is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from tellapart.domains.pictures import Form, Network, PictureOptions
from tellapart.errors import require_option
from tellapart.planning.calibration import SECONDS, measure_encoder, measure_loss
from tellapart.planning.line_ups import LineUp
from tellapart.planning.plan import Plan, check, plan

_CHANNELS = 3


@dataclass(frozen=True)
class PlanOptions:
    """A batch, the line-up it makes, and perhaps an encoder."""

    batch: int
    """Pairs (clip) or pictures (simclr, moco) in a batch, over all devices."""
    dim: int = 128
    """Length of the embeddings."""
    queue: int = 0
    """Keys of past batches in every line-up (moco)."""
    temperature: float = 0.07
    """By what similarities are divided."""
    system: Literal["clip", "simclr", "moco"] | None = None
    """Whose line-up; by default moco's if there is a queue, else clip's."""
    encoder: str | None = None
    """Also time a picture encoder: "convnet", or an image model of transformers, its type or a local folder."""
    encoder_options: str = ""
    """Options of such a type as JSON, for example {"hidden_size": 192, "num_hidden_layers": 6}."""
    width: int = 24
    """Channels of the convnet's first layer."""
    picture_size: int = 32
    """Side of the pictures, in pixels."""

    def __post_init__(self) -> None:
        check(self.dim, self.temperature)
        self.line_up()
        must = "be left out without --encoder"
        require_option(
            "encoder_options", self.encoder is not None or not self.encoder_options, must, self.encoder_options
        )
        if self.encoder is not None:
            self.pictures()

    def line_up(self) -> LineUp:
        """The line-up of a step."""
        return LineUp(self.system or ("moco" if self.queue else "clip"), self.batch, self.queue)

    def pictures(self) -> PictureOptions:
        """The options that a system of pictures would have, as far as they matter here."""
        assert self.encoder is not None
        return PictureOptions(
            dim=self.dim,
            encoder=self.encoder,
            encoder_options=self.encoder_options,
            width=self.width,
            picture_size=self.picture_size,
        )


def make_plan(options: PlanOptions) -> Plan:
    """The plan of what is asked for, from measurements on this machine that take about five seconds.

    Raises:
        InputError: the encoder cannot be made, or does not take such pictures.
    """
    line_up, encoder = options.line_up(), None
    share = SECONDS if options.encoder is None else SECONDS / 2
    if options.encoder is not None:
        form = Form(options.picture_size, _CHANNELS)
        encoder = measure_encoder(Network(options.pictures(), form), form, line_up.n_queries, share)
    loss = measure_loss(line_up, options.dim, options.temperature, share)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return plan(line_up, options.dim, options.temperature, loss, encoder, memory)
