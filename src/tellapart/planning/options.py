"""What to plan, as the command line asks for it, and how it is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tellapart.domains.pictures import ImageShape, Network, PictureOptions
from tellapart.errors import require_option
from tellapart.planning.calibration import SECONDS, measure_encoder, measure_loss
from tellapart.planning.plan import Plan, check, plan
from tellapart.planning.planned_loss import Planner

_CHANNELS = 3


@dataclass(frozen=True)
class PlanOptions:
    """A batch, what its embeddings are compared with, and perhaps an encoder."""

    batch: int
    """Pairs (clip, bilingual, genomics), pictures (simclr, moco) or nodes (graph) in a batch, over all devices."""
    dim: int = 128
    """Length of the embeddings."""
    queue: int = 0
    """Keys of past batches among the candidates of every query (moco)."""
    temperature: float = 0.07
    """By what similarities are divided."""
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
        require_option("batch", self.batch >= 2, "be at least 2: an example is compared with others", self.batch)
        require_option("queue", self.queue >= 0, "be at least 0", self.queue)
        must = "be left out without --encoder"
        require_option(
            "encoder_options", self.encoder is not None or not self.encoder_options, must, self.encoder_options
        )
        if self.encoder is not None:
            self.pictures()

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


def make_plan(system: str, planner: Planner, options: PlanOptions) -> Plan:
    """The plan of what is asked for, from measurements on this machine that take about five seconds.

    Args:
        system: the name of a system.
        planner: how it plans a step.
        options: which step.

    Raises:
        InputError: the system has no queue, or no pictures to encode; or the encoder cannot be made, or does not take
            such pictures.
    """
    planned, encoder = planner(options.batch, options.queue), None
    must = f"be 0 with {system}, which has no queue (moco has)"
    require_option("queue", planned.queue == options.queue, must, options.queue)
    must = f"be left out with {system}, which encodes no pictures"
    require_option("encoder", options.encoder is None or bool(planned.encoded), must, options.encoder)
    share = SECONDS if options.encoder is None else SECONDS / 2
    if options.encoder is not None:
        shape = ImageShape(options.picture_size, _CHANNELS)
        encoder = measure_encoder(Network(options.pictures(), shape), shape, planned.n_queries, share)
    loss = measure_loss(planner, options.batch, options.queue, options.dim, options.temperature, share)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return plan(system, planned, options.dim, options.temperature, loss, encoder, memory)
