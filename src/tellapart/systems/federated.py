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
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tellapart.domains import pictures
from tellapart.domains.pictures import ClientData, Dataset, ImageShape, Network, PictureOptions, PictureSet, Split
from tellapart.errors import require_option
from tellapart.federation import (
    STATISTICS,
    Agreed,
    Bank,
    FederatedStep,
    Federation,
    Loss,
    Work,
    left_out,
    n_candidates,
)
from tellapart.objective import nt_xent
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import Batches, TrainerOptions, begin, fit

if TYPE_CHECKING:
    from jaxtyping import Float

_PRECISIONS = ("32-true", "bf16-mixed")
_SHARED = ("keys", "prototypes")
FINAL = "its clients go by one schedule over all rounds. Begin another run with --init"


@dataclass(frozen=True)
class Config(PictureOptions):
    """Train a picture encoder on pictures that stay with several clients."""

    clients: int = 10
    """Clients among which the pictures are divided."""
    split: Split = "dirichlet"
    """How: "dirichlet" and "classes" by labels, "folders" a folder a client, "even" at random."""
    alpha: float = 0.5
    """Of the Dirichlet split: the smaller, the fewer classes most of a client's pictures are of."""
    classes_per_client: int = 2
    """Of the split by classes."""
    local_epochs: int = 1
    """How often a client sees its pictures in a round; there are `epochs / local_epochs` rounds."""
    bank: int = 0
    """Keys in the shared bank, of all clients together; 0 for no bank, and then no key leaves a client."""
    bank_every: int = 1
    """Rounds between two banks."""
    bank_weight: float = 1.0
    """How often each key of the bank counts among the candidates; 0 for no bank."""
    bank_of: Literal["keys", "prototypes"] = "keys"
    """What a client shares: keys of some of its pictures, or the means of groups of the keys of all, by k-means."""
    bank_alike: float = 1.0
    """Cosine with a view from which a key of the bank is no candidate, as a likely false negative; 1 keeps all."""
    key_momentum: float = 0.0
    """Share of itself that the network of the keys keeps after a round; 0: the averaged network makes the keys."""
    noise: float = 0.0
    """Deviation of Gaussian noise on each entry of a key of length 1."""
    key_precision: Literal["float32", "float16"] = "float16"
    """Number format in which keys leave a client."""
    statistics: Literal["averaged", "local", "recalibrated"] = "averaged"
    """Those of batch norms: the mean of the clients', each client's own, or computed anew by the averaged weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("clients", 1 <= self.clients <= 10_000, "lie between 1 and 10000", self.clients)
        require_option("alpha", 0 < self.alpha < math.inf, "be positive and finite", self.alpha)
        for name in ("classes_per_client", "bank_every"):
            require_option(name, getattr(self, name) >= 1, "be at least 1", getattr(self, name))
        divides = self.local_epochs >= 1 and self.epochs % self.local_epochs == 0
        require_option("local_epochs", divides, f"divide epochs, {self.epochs}", self.local_epochs)
        is_bank = self.bank == 0 or self.clients <= self.bank <= 2**20
        require_option("bank", is_bank, f"be 0, or lie between {self.clients}, the clients, and {2**20}", self.bank)
        for name in ("bank_weight", "noise"):
            value = getattr(self, name)
            require_option(name, 0 <= value < math.inf, "be at least 0 and finite", value)
        must = "be above 0 and at most 1"
        require_option("bank_alike", 0 < self.bank_alike <= 1, must, self.bank_alike)
        require_option("key_momentum", 0 <= self.key_momentum < 1, "lie in [0, 1)", self.key_momentum)
        known = self.statistics in STATISTICS
        require_option("statistics", known, f"be one of {', '.join(STATISTICS)}", self.statistics)
        fits = self.key_momentum == 0 or self.statistics != "local"
        must = "be 0 where statistics are local: a client's own are of other weights"
        require_option("key_momentum", fits, must, self.key_momentum)
        require_option("bank_of", self.bank_of in _SHARED, f"be one of {', '.join(_SHARED)}", self.bank_of)

    def agreed(self) -> Agreed:
        """What server and clients agree on."""
        return Agreed(
            clients=self.clients,
            rounds=self.epochs // self.local_epochs,
            local_epochs=self.local_epochs,
            bank=self.bank if self.bank_weight > 0 else 0,
            bank_every=self.bank_every,
            prototypes=self.bank_of == "prototypes",
            key_momentum=self.key_momentum if self.bank and self.bank_weight else 0.0,
            noise=self.noise,
            precision=self.key_precision,
            statistics=self.statistics,
            seed=self.seed,
        )


def make_model(config: Config, shape: ImageShape) -> Federation:
    """The network, with its first weights, and an empty bank."""
    return Federation(Network(config, shape), config.dim, config.agreed())


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
        return nt_xent(*views, temperature=temperature)
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
    begin(run, "federated", config, trainer, final=FINAL)
    data = load(config, run)
    shape, n = data.data.shape, len(data.data.training)

    def work_of(network: nn.Module, client: int) -> Work:
        return work_for(config, shape, data.client(client), network, client)

    step = FederatedStep(make_model(config, shape), work_of, config.clients)
    # A round is one step, which goes through the pictures of all clients; each takes its own.
    fit(step, Batches(n, n, config.agreed().rounds, config.seed), lambda rows: rows, run, trainer)
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
