"""federated: pictures that stay where they are; clients train, and share weights and keys.

Each of several clients has pictures that do not leave it. In a round it trains a copy of the network f, g on its own
pictures, as SimCLR does: two random views of each of n pictures, z = g(f(x)), and each view is to find the other. Its
line-up are the views of its batch and a bank of keys that the clients share:

    L = mean_i [ log ( Σ_{j ≠ i} exp(z_i·z_j / τ) + w Σ_{k of others} exp(z_i·b_k / τ) ) − z_i·z_p / τ ]

with z and b at length 1, p the other view of the picture, and w the bank's weight. Keys of the client's own pictures
are no candidates, nor are keys with a cosine of `bank_alike` or more to z. The server averages the clients' weights
(FedAvg). Every `bank_every` rounds the bank is made anew: each client sends keys of some of its pictures, or prototypes
of all, by the averaged network or by a slow one that follows it. What leaves a client is in the log.

Departs from the papers (McMahan et al. 2017, https://arxiv.org/abs/1602.05629, algorithm 1; Chen et al. 2020, as
`simclr`; a shared bank of others' keys: Dong & Voiculescu 2021, https://arxiv.org/abs/2108.06492, §3.2):
 1. All clients take part in every round, but for those that fail.
 2. AdamW, new in each round, takes the place of SGD; its step size falls over all rounds.
 3. The bank is of keys and not of features that a client stores for good, and it ages by `bank_every` rounds at most.
 4. The bank has a weight w, by log w added to its logits; w = 0 or an empty bank is FedAvg of SimCLR.
 5. Statistics of batch norms are averaged, kept by each client, or computed anew; keys are made with them.
 6. Likely false negatives of the bank can be left out, keys can be a slow network's (as in `moco`, but by rounds), and
    prototypes can take the place of keys (Li et al. 2021, https://arxiv.org/abs/2005.04966, §3.2).
 7. There is no alignment of the clients' features by samples of public data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.domains import pictures
from tellapart.domains.pictures import ClientData, ClientOptions, Dataset, ImageShape, Network, PictureSet
from tellapart.errors import require_option
from tellapart.federation import Bank, FederatedStep, Federation, Loss, Work, left_out, n_candidates
from tellapart.objective import Terms, info_nce_terms, nt_xent
from tellapart.relations import other_views, paired
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import Batches, HeldOut, TrainerOptions, begin, fit, measured

if TYPE_CHECKING:
    from jaxtyping import Float

_PRECISIONS = ("32-true", "bf16-mixed")
FINAL = "its clients go by one schedule over all rounds. Begin another run with --init"


@dataclass(frozen=True)
class Config(ClientOptions):
    """Train a picture encoder on pictures that stay with several clients."""


def make_model(config: Config, shape: ImageShape) -> Federation:
    """The network, with its first weights, and an empty bank."""
    network = Network(config, shape)
    return Federation(network, network.dim, config.agreed())


def alone(z: Float[Tensor, "two_n dim"], n_pictures: int, temperature: float) -> Terms:
    """SimCLR's objective, to the bit: each of two views finds the other of its picture among the batch."""
    return info_nce_terms(z, z, positives=other_views(n_pictures), exclude=paired(), temperature=temperature)


def compare(
    views: tuple[Float[Tensor, "n dim"], ...],
    bank: Bank | None,
    client: int,
    temperature: float,
    weight: float,
    cosine: float = 1.0,
) -> Tensor:
    """The objective: each view finds the other of its picture among its client's batch and the others' keys."""
    if bank is None:
        return alone(torch.cat(views), len(views[0]), temperature).loss()
    bias = torch.cat([torch.zeros(2 * len(views[0])), torch.full((len(bank.keys),), math.log(weight))])
    return nt_xent(
        *views,
        negatives=bank.keys.to(views[0]),
        exclude_negatives=left_out(views, bank, client, cosine),
        key_bias=bias.to(views[0]),
        temperature=temperature,
    )


def work_for(config: Config, shape: ImageShape, own: PictureSet, network: nn.Module, client: int) -> Work:
    """What a client does with its own pictures."""
    views = pictures.make_views(config, shape)
    device = next(network.parameters()).device

    def loss(network: nn.Module, shown: Tensor, bank: Bank | None, client: int) -> Loss:
        found = network(torch.cat(views(shown, 2))).chunk(2)
        value = compare(found, bank, client, config.temperature, config.bank_weight, config.bank_alike)
        return Loss(value, n_candidates(found, bank, client, config.bank_alike))

    return Work(
        network=network,
        loss=loss,
        view=lambda shown: views(shown, 1)[0],
        batch=lambda rows: own.content[rows].to(device),
        n=len(own),
        number=client,
        options=config,
        agreed=config.agreed(),
    )


def held_out_for(config: Config, data: Dataset, model: Federation) -> HeldOut:
    """Held-out pictures, two views of each: the objective of the averaged network, without a bank."""
    views = pictures.make_views(config, data.shape)

    def measure(shown: PictureSet) -> dict[str, Tensor]:
        z = model.network(torch.cat(views(shown.pictures, 2)))
        return measured(alone(z, len(shown), config.temperature))

    return HeldOut(len(data.test), data.test.rows, measure, at_once=config.batch_size)


def load(config: Config, run: Run, source: str | None = None) -> ClientData:
    """A run's own pictures, divided among the clients; or others, which are no client's."""
    data = Dataset.load(config, run, source)
    if source is not None:
        return ClientData(data, [])
    return ClientData.divide(data, config.split, config.clients, config.alpha, config.classes_per_client)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    must = f"be one of {', '.join(_PRECISIONS)}: the server averages weights of 32 bits"
    require_option("trainer.precision", trainer.precision in _PRECISIONS, must, trainer.precision)
    must = f"be 0 with statistics {config.statistics}: the averaged network has none of its own before the last round"
    can_measure = config.statistics == "averaged" or trainer.validate_every == 0
    require_option("trainer.validate_every", can_measure, must, trainer.validate_every)
    begin(run, "federated", config, trainer, final=FINAL)
    data = load(config, run)
    shape, n = data.data.shape, len(data.data.training)

    def work_of(network: nn.Module, client: int) -> Work:
        return work_for(config, shape, data.client(client), network, client)

    step = FederatedStep(make_model(config, shape), work_of, config.clients)
    held_out = held_out_for(config, data.data, step.model)
    # A round is one step, which goes through the pictures of all clients; each takes its own.
    fit(step, Batches(n, n, config.agreed().rounds, config.seed), lambda rows: rows, run, trainer, held_out)
    commands.finish(config, run, data)


commands = pictures.commands_for(
    lambda config, run: make_model(config, ImageShape.noted(run)), encoder=lambda model: model, load=load
)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="pictures, in a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=pictures.cluster_with(commands),
    grouped_into=pictures.GROUPED_INTO,
    encoders=pictures.network_encoders,
    query="PICTURE.png",
)
