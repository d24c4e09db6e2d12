"""How probable a causal model finds tokens, and what of a model is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tellapart.objective import info_nce
from tellapart.relations import listed
from tellapart.variants import of_scores

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.domains.preferences.batch import Batch


def token_losses(model: Any, batch: Batch, *, streams: bool) -> tuple[Float[Tensor, " t"], Int[Tensor, " t"]]:
    """`−log p(y_t | x, y_<t)` in nats of every token of the answers, and the answer it belongs to.

    It is InfoNCE: the token's vector is to be found by the state before it, among the vectors of all tokens.

    Args:
        model: a causal model of transformers.
        batch: prompts with answers.
        streams: whether logits are states times vectors (`head_is_linear`): then no table of all logits is held.
    """
    chosen = batch.is_answer[:, 1:]
    tokens, owners = batch.tokens[:, 1:][chosen], chosen.nonzero()[:, 0]
    if not streams:
        logits = model(input_ids=batch.tokens, attention_mask=batch.real.long()).logits
        return of_scores(logits[:, :-1][chosen], positives=tokens, reduction="none"), owners
    head, states = model.get_output_embeddings(), _states(model, batch.tokens, batch.real)[:, :-1][chosen]
    losses = info_nce(
        states,
        head.weight,
        positives=listed(tokens),
        key_bias=head.bias,
        score="dot",
        temperature=1.0,
        reduction="none",
    )
    return losses, owners


@torch.no_grad()
def head_is_linear(model: Any) -> bool:
    """Whether logits are states times the vectors of tokens; some models scale them or bound them."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        return False
    tokens = torch.arange(8)[None] % len(head.weight)
    real = torch.ones_like(tokens, dtype=torch.bool)
    try:
        states = _states(model, tokens, real)
    except AttributeError:  # there is no module below the head that gives states
        return False
    logits = model(input_ids=tokens, attention_mask=real.long()).logits
    return states.shape[-1] == head.in_features and torch.allclose(head(states), logits, rtol=1e-4, atol=1e-5)


def _states(model: Any, tokens: Tensor, real: Tensor) -> Tensor:
    """What the last layer makes of each token."""
    states: Tensor = model.base_model(input_ids=tokens, attention_mask=real.long()).last_hidden_state
    return states


def keep_trained(module: nn.Module) -> None:
    """Let the `state_dict` hold what is trained, and shared weights once; the rest comes from the model's folder."""
    module.register_state_dict_post_hook(_drop_others)
    module.register_load_state_dict_post_hook(_miss_no_others)


def _trained(module: nn.Module) -> set[str]:
    return {name for name, weights in module.named_parameters() if weights.requires_grad}


def _drop_others(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    kept = {prefix + name for name in _trained(module)}
    for name in [name for name in state if name.startswith(prefix) and name not in kept]:
        del state[name]


def _miss_no_others(module: nn.Module, keys: Any) -> None:
    kept = tuple(_trained(module))
    keys.missing_keys[:] = [name for name in keys.missing_keys if name.endswith(kept)]
