"""A step of two players: the critic finds real examples among generated ones, then the generator answers.

| entry | what it is | of |
|---|---|---|
| `loss`, `loss_generator` | of the critic without its penalty, and of the generator, in nats | every step |
| `n_candidates` | K + 1, if each real example is compared with K generated ones | every step |
| `kl_bound`, `kl_ceiling` | log(K + 1) − L, which KL(real‖generated) exceeds, and the most it can be | likewise |
| `loss_penalty` | the critic's penalty on its gradients; 0 in a step without | every step |
| `modes`, `high_quality`, `reverse_kl` | of generated points of a mixture | the first, each 50th and the last |
| `gradient_norm` | the length of both players' gradients | likewise |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tellapart.domains.generated.measure import energy_distance
from tellapart.training import OBJECTIVE, HeldOut, Loop, timed, usual_optimizer

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from tellapart.domains.generated.options import GeneratorOptions
    from tellapart.domains.generated.players import Players

    Loss = Callable[[Tensor, Tensor], Tensor]
    """Called as `loss(real, generated)`, with what the critic says of them; a scalar."""

# No memory of gradients, which the other player's move has made old.
_BETAS = (0.0, 0.99)


@dataclass(frozen=True)
class PlayerStep:
    """AdamW for the critic on its loss and its penalty, then AdamW for the generator on its own.

    Args:
        model: both players.
        critic_loss: of the critic.
        generator_loss: of the generator.
        penalty: called as `penalty(step, progress)`: γ, the weight of half the squared gradients; `progress` is the
            share of the schedule that is done.
        readings: called as `readings(n, loss)`, with the critic's loss over n real examples: what is logged of it.
        watch: called as `watch(model)` where the log wants what costs more: what is logged of generated examples.
        options: step size, weight decay, and how slowly the generator's average follows.
    """

    model: Players
    critic_loss: Loss
    generator_loss: Loss
    penalty: Callable[[int, float], float]
    readings: Callable[[int, Tensor], Mapping[str, Tensor | float]]
    watch: Callable[[Players], Mapping[str, float]]
    options: GeneratorOptions

    def optimizers(self, n_steps: int) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        """AdamW without momentum for either, with warm-up and half a cosine."""
        players = self.model.critic, self.model.generator
        return [usual_optimizer(player, self.options, n_steps, betas=_BETAS) for player in players]

    def held_out(self, n_rows: int, collate: Callable[[Tensor], Tensor]) -> HeldOut:
        """Held-out examples to measure both players on.

        The loss is the critic's, without its penalty and against new generated examples. Its least value is no aim: it
        is low where the generator is bad. The best weights are those of the least energy distance between held-out
        examples and what the averaged generator draws, in which the critic has no part.

        Args:
            n_rows: how many there are.
            collate: rows to a batch, as of training.
        """
        return HeldOut(n_rows, collate, self._measure)

    def _measure(self, batch: Float[Tensor, "n ..."]) -> Mapping[str, Tensor]:
        players = self.model
        batch = batch.to(players.latents.dtype)
        loss = self.critic_loss(players.critic(batch), players.critic(players.generate(len(batch))))
        drawn = players.generate(len(batch), averaged=True)
        told = {name: torch.as_tensor(value) for name, value in self.readings(len(batch), loss).items()}
        size = {name: value for name, value in told.items() if name == "n_candidates"}
        return {"loss": loss, OBJECTIVE: energy_distance(batch, drawn), **size}

    def __call__(self, batch: Float[Tensor, "n ..."], loop: Loop) -> Mapping[str, Tensor | float]:
        """Both players' moves; losses and readings are logged."""
        players, gamma = self.model, self.penalty(loop.step, loop.progress(loop.step))
        batch = batch.to(players.latents.dtype)
        with torch.no_grad():
            generated = players.generate(len(batch))
        if gamma:
            said, squares = with_gradient(players.critic, torch.cat([batch, generated]))
            real_said, made_said = said.split(len(batch))
            penalty = gamma * squares.mean()  # half of the mean over either side
        else:
            real_said, made_said = players.critic(batch), players.critic(generated)
            penalty = real_said.new_zeros(())
        loss = self.critic_loss(real_said, made_said)
        loop.follow(loop.gradients(loss + penalty, 0), 0)
        found: dict[str, Tensor | float] = {"loss": loss.detach(), "loss_penalty": penalty.detach()}
        found |= self.readings(len(batch), loss.detach())

        with torch.no_grad():
            real_said = players.critic(batch)
        loss = self.generator_loss(real_said, players.critic(players.generate(len(batch))))
        loop.follow(loop.gradients(loss, 1), 1)
        found["loss_generator"] = loss.detach()
        with loop.unmixed():
            players.follow(self.options.average, loop.step, loop.n_steps)
            if loop.is_due:
                with timed("panel"):
                    found |= self.watch(players)
        return found


def with_gradient(
    critic: nn.Module, examples: Float[Tensor, "n ..."]
) -> tuple[Float[Tensor, "n outputs"], Float[Tensor, " n"]]:
    """What a critic says of examples, and the squared length of its gradient by each of them.

    Of several outputs it is the squared length of the Jacobian, estimated by one random sign for each output
    (Hutchinson 1989); of one output it is exact. Examples must not influence each other's outputs.

    Source: Mescheder et al. 2018, eq. 9 and 10 (R1, R2).

    >>> said, square = with_gradient(lambda x: x[:, :1] ** 3, torch.ones(4, 2))
    >>> square
    tensor([9., 9., 9., 9.], grad_fn=<SumBackward1>)
    """
    examples = examples.detach().requires_grad_()
    with torch.enable_grad():
        said = critic(examples)
        signs = torch.randint(2, said.shape[1:], device=said.device).to(said) * 2 - 1
        (gradient,) = torch.autograd.grad((said * signs).sum(), examples, create_graph=True)
    return said, gradient.float().flatten(1).square().sum(dim=1)
