"""harmony: pictures, few of them labelled; a supervised and a contrastive loss, and whether their gradients conflict.

One encoder f serves two losses. A linear classifier tells the labels of a few pictures from their features, and a
projection head g lets each of two views of every picture find its counterpart, the other view, in a line-up of all
views but itself:

    L = L_sup + w · L_con,    L_sup = −mean_i log softmax(W f(x_i) + b)_{y_i},    L_con = NT-Xent(g(f(views)))

With a and b the gradients of L_sup and w · L_con by the weights of f, a step follows a combination `x a + y b`, chosen
by `rule`: their sum, PCGrad, UPGrad, or a gate that drops b where a·b < 0 (`training/combine.py`). The weights of the
classifier and of g, which one loss moves alone, follow that loss.

A negative cosine is no diagnosis. Gradients of batches are noisy, and where the weighted sum is stationary, a and b are
opposite by necessity. Only a control, the same training without the suspected conflict, shows what it costs.

Departs from the papers (Yu et al. 2020, https://arxiv.org/abs/2001.06782; Du et al. 2018,
https://arxiv.org/abs/1812.02224; Quinton & Rey 2024, https://arxiv.org/abs/2406.16232):
 1. One main loss and one other, where PCGrad and UPGrad take any number; with two, UPGrad is half of PCGrad.
 2. AdamW takes the combined gradient. It divides by the gradient's length, so UPGrad trains as PCGrad does.
 3. Several devices combine the means of their gradients, once; not each its own.
 4. The supervised loss sees random views, too, but never turned ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.distributed import world
from tellapart.domains import pictures
from tellapart.domains.pictures import Batch, FewLabels, ImageShape, Network, PictureOptions
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.relations import other_views, paired
from tellapart.runs import InChunks, Run
from tellapart.systems.contract import System
from tellapart.training import Rule, TrainerOptions, TwoLossStep, begin, fit

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Config(PictureOptions):
    """Train a picture encoder by few labels and by a contrastive loss on all pictures."""

    rule: Rule = "sum"
    """How both gradients are combined: sum, PCGrad, UPGrad, or a gate that drops a contrastive gradient in conflict."""
    weight: float = 0.2
    """Weight of the contrastive loss; 0 for the supervised loss alone."""
    labels_per_class: int = 10
    """Pictures of each class with labels that training knows; the others are used without."""
    labelled_batch: int = 100
    """Labelled pictures in a batch at most, on each device."""
    contrastive_first: float = 0.0
    """Share of the steps that minimise the contrastive loss alone, before the supervised one alone; 0 for both."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("weight", 0 <= self.weight <= 1e6, "lie between 0 and 1000000", self.weight)
        for name in ("labels_per_class", "labelled_batch"):
            require_option(name, getattr(self, name) >= 1, "be at least 1", getattr(self, name))
        share = self.contrastive_first
        require_option("contrastive_first", 0 <= share < 1, "lie in [0, 1)", share)
        require_option("contrastive_first", share == 0 or self.weight > 0, "be 0 if the weight is 0", share)


class Harmony(nn.Module):
    """One encoder with a projection head and a classifier, and the views that both losses see."""

    def __init__(self, config: Config, shape: ImageShape, n_classes: int) -> None:
        super().__init__()
        self.network = Network(config, shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.classifier = nn.Linear(self.network.encoder.dim, n_classes)
        self.make_views = pictures.make_views(config, shape)
        self.make_upright_views = pictures.make_views(replace(config, turn=0.0), shape)
        self.temperature = config.temperature

    def embed(self, shown: InChunks) -> Float[Tensor, "n features"]:
        """The encoder's features of pictures, of length 1."""
        return self.network.embed(shown)

    def classify(self, shown: Float[Tensor, "n c side side"]) -> Float[Tensor, "n classes"]:
        """The logits of their classes."""
        logits: Tensor = self.classifier(self.network.encoder(shown))
        return logits

    def compare(self, shown: UInt8[Tensor, "n c side side"], group: ProcessGroup | None = None) -> Terms:
        """The contrastive objective of two random views of each picture, over the processes of a group."""
        projections = self.network(torch.cat(self.make_views(shown, 2)))
        return compare(projections, len(shown), self.temperature, group)


def compare(
    views: Float[Tensor, "two_n dim"], n_pictures: int, temperature: float, group: ProcessGroup | None = None
) -> Terms:
    """NT-Xent: each view finds the other of its picture among all."""
    return info_nce_terms(
        views, views, positives=other_views(n_pictures), exclude=paired(), temperature=temperature, group=group
    )


def supervised(model: Harmony, batch: Batch) -> Float[Tensor, ""]:
    """The supervised loss: cross-entropy of a random view of each labelled picture."""
    (views,) = model.make_upright_views(batch.labelled.pictures, 1)
    assert batch.labelled.labels is not None
    return nn.functional.cross_entropy(model.classify(views), batch.labelled.labels)


def contrastive(model: Harmony, batch: Batch) -> Terms:
    """The contrastive objective, of all pictures of the batch in all processes."""
    return model.compare(batch.pictures.pictures, world())


def plan(batch: int, _: int) -> PlannedLoss:
    """Two views of `batch` pictures."""
    negatives = "both views of all other pictures"
    return PlannedLoss.of_two_views(batch, lambda z, _, tau: compare(z, batch, tau), negatives, encoded="views")


def make_model(config: Config, run: Run) -> Harmony:
    """A run's model with its first weights."""
    return Harmony(config, ImageShape.noted(run), len(run.noted_names("classes")))


def load(config: Config, run: Run, source: str | None = None) -> FewLabels:
    """The data of a run, or others with the same classes."""
    return FewLabels.load(config, config.labels_per_class, run, source)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "harmony", config, trainer)
    data = load(config, run)
    step = TwoLossStep(
        Harmony(config, data.data.shape, len(data.classes)),
        main=supervised,
        name="supervised",
        terms=contrastive,
        weight=config.weight,
        rule=config.rule,
        options=config,
        prepare=lambda _, shown: data.beside(shown, config.labelled_batch),
        infonce_first=config.contrastive_first,
    )
    fit(step, data.batches(), data.data.training.rows, run, trainer, step.held_out(len(data.test), data.unseen))
    commands.finish(config, run, data)


commands = pictures.commands_for(make_model, encoder=lambda model: model, load=load)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="labelled pictures, in a folder with a subfolder for each class",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=pictures.cluster_with(commands),
    grouped_into=pictures.GROUPED_INTO,
    encoders=pictures.network_encoders,
    query="PICTURE.png",
    plan=plan,
)
