"""A streamed loss as one operation of PyTorch's compiler: a node of its graph that it does not look into.

The operation takes tensors, numbers and words alone. So relations travel as tensors and a program of words in postfix
order, such as `same:0:0 diagonal not and`. As the loss is a number, its gradients are formed with it, and multiplied
by the upstream gradient later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine.arguments import How
from tellapart._engine.crossover import is_whole
from tellapart._engine.loss import loss as loss_of
from tellapart._engine.problem import TEMPERATURE
from tellapart._traced import is_exporting
from tellapart.relations import (
    Relation,
    before,
    edges,
    everyone,
    gaussian,
    listed,
    lowered,
    other_views,
    paired,
    same,
    within,
)

if TYPE_CHECKING:
    from jaxtyping import Float

_SCORES = {"cosine": scores.cosine, "dot": scores.dot, "sqeuclidean": scores.sqeuclidean}
_BOTH_SIDES: dict[str, Any] = {
    "same": lowered.IdsEqual,
    "before": lowered.EarlierKey,
    "within": lowered.WithinRadius,
    "gaussian": lowered.GaussianWeight,
}
_RELATIONS = ("positives", "exclude", "exclude_negatives")


def loss_as_one(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    given: dict[str, Any],
    how: How,
) -> Float[Tensor, ""] | None:
    """The loss while a compiler traces it; `None` if it is not streamed, or holds what no operation takes.

    That is a loss of each query, a score that is a function, a matrix or a relation of the user's own.

    >>> loss_as_one(torch.eye(2), torch.eye(2), {"temperature": 1.0}, How(engine="tiled"))
    tensor(0.3133)
    """
    negatives, score = given.get("negatives"), _name(given.get("score", "cosine"))
    more = 0 if negatives is None or negatives.ndim == 3 else len(negatives)
    is_held = is_whole(len(queries), len(keys) + more, queries.device, how.engine)
    if is_held or how.reduction == "none" or score is None or is_exporting():
        return None
    leaves: list[Tensor] = []
    programs = []
    for name in _RELATIONS:
        relation = given.get(name)
        words = [] if relation is None else _words(relation.lowered(), leaves)
        if words is None:
            return None
        programs.append(" ".join(words))
    tau, given_tau = given.get("temperature", TEMPERATURE), None
    if isinstance(tau, Tensor):
        tau, given_tau = 0.0, tau
    found = _info_nce(
        *(
            queries,
            None if keys is queries else keys,
            given_tau,
            negatives,
            given.get("key_bias"),
            leaves,
            ";".join(programs),
        ),
        *(float(tau), score, float(given.get("margin", 0.0)), *how),
        torch.is_grad_enabled(),
    )
    loss: Tensor = found[0]
    return loss


def _name(score: object) -> str | None:
    for name, function in _SCORES.items():
        if score is function or score == name:
            return name
    return None


@torch.library.custom_op("tellapart::info_nce", mutates_args=())
def _info_nce(
    queries: Tensor,
    keys: Tensor | None,
    temperature: Tensor | None,
    negatives: Tensor | None,
    key_bias: Tensor | None,
    leaves: list[Tensor],
    programs: str,
    tau: float,
    score: str,
    margin: float,
    multi_positive: str,
    symmetric: bool,
    reduction: str,
    engine: str,
    with_grad: bool,
) -> list[Tensor]:
    """The loss, then the gradients of the tensors before `leaves` that are given, if wanted."""
    vectors: list[Any] = [queries, keys, temperature, negatives, key_bias]
    inside = torch._C._dispatch_tls_local_exclude_set().remove(torch._C.DispatchKey.AutogradFunctionality)
    guard = torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), inside)
    with guard, torch.set_grad_enabled(with_grad):
        vectors = [None if x is None else x.detach().requires_grad_(with_grad) for x in vectors]
        q, k, learned, further, bias = vectors
        related: dict[str, Any] = {
            name: _relation(words, leaves) for name, words in zip(_RELATIONS, programs.split(";"), strict=True)
        }
        learned_or_given: Any = tau if learned is None else learned
        others = {"negatives": further, "score": _SCORES[score], "key_bias": bias, "margin": margin}
        given = {"temperature": learned_or_given, **related, **others}
        loss = loss_of(q, q if k is None else k, given, How(multi_positive, symmetric, reduction, engine))
        if not with_grad:
            return [loss.clone()]
        inputs = [x for x in vectors if x is not None]
        found = torch.autograd.grad(loss, inputs, allow_unused=True)
    return _apart(
        [loss.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True))]
    )


def _apart(tensors: list[Tensor]) -> list[Tensor]:
    """The same numbers, each in memory of its own: what one operation returns must not share any."""
    taken, made = set[int](), list[Tensor]()
    for tensor in tensors:
        own = tensor.contiguous()
        own = own.clone() if own.untyped_storage().data_ptr() in taken else own
        taken.add(own.untyped_storage().data_ptr())
        made.append(own)
    return made


@_info_nce.register_fake
def _(queries: Tensor, *others: Any) -> list[Tensor]:
    inputs = [x for x in (queries, *others[:4]) if x is not None]
    wide = torch.promote_types(queries.dtype, torch.float32)
    loss = queries.new_empty((), dtype=wide)
    return [loss, *(x.new_empty(x.shape) for x in inputs)] if others[-1] else [loss]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    ctx.are_given, ctx.n_leaves = [x is not None for x in inputs[:5]], len(inputs[5])
    ctx.save_for_backward(*output[1:])


def _backward(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
    found = iter(ctx.saved_tensors)
    each = [next(found) * gradients[0] if is_given else None for is_given in ctx.are_given]
    return *each, [None] * ctx.n_leaves, *(None,) * 9


_info_nce.register_autograd(_backward, setup_context=_save)


def _words(form: Any, leaves: list[Tensor]) -> list[str] | None:
    """The program of a lowered relation, or `None` if it has none; its tensors are added to the leaves."""
    if isinstance(form, lowered.Both | lowered.Either):
        left, right = _words(form.left, leaves), _words(form.right, leaves)
        word = "and" if isinstance(form, lowered.Both) else "or"
        return None if left is None or right is None else [*left, *right, word]
    if isinstance(form, lowered.Not):
        part = _words(form.part, leaves)
        return None if part is None else [*part, "not"]
    leaf = _of_places(form) or _of_tensors(form, leaves)
    return None if leaf is None else [leaf]


def _of_places(form: Any) -> str | None:
    if isinstance(form, lowered.Everything):
        return "everyone"
    if not isinstance(form, lowered.Diagonal) or (form.period and form.with_main):
        return None
    return f"views:{form.period}" if form.period else "paired"


def _of_tensors(form: Any, leaves: list[Tensor]) -> str | None:
    if isinstance(form, lowered.IndexEqual):
        return f"listed:{_place(form.key_of, leaves)}"
    if isinstance(form, lowered.PairList):
        weights = "" if form.weights is None else f":{_place(form.weights, leaves)}"
        return f"edges:{form.stride}:{_place(form.places, leaves)}{weights}"
    for kind, record in _BOTH_SIDES.items():
        if isinstance(form, record):
            width = f":{form[2]}" if len(form) == 3 else ""
            return f"{kind}:{_place(form[0], leaves)}:{_place(form[1], leaves)}{width}"
    return None


def _place(tensor: Tensor, leaves: list[Tensor]) -> int:
    """Where a tensor stands among the leaves; ids of both sides stand there once."""
    for place, leaf in enumerate(leaves):
        if leaf is tensor:
            return place
    leaves.append(tensor)
    return len(leaves) - 1


def _relation(program: str, leaves: list[Tensor]) -> Relation | None:
    """The relation that a program makes.

    >>> _relation("same:0:0 paired not and", [torch.tensor([7, 7])]).tile(slice(0, 2), slice(0, 2)).int().tolist()
    [[0, 1], [1, 0]]
    """
    stack: list[Relation] = []
    for word in program.split():
        kind, *numbers = word.split(":")
        if kind in ("and", "or"):
            right, left = stack.pop(), stack.pop()
            stack.append(left & right if kind == "and" else left | right)
        elif kind == "not":
            stack.append(~stack.pop())
        else:
            stack.append(_of_kind(kind, numbers, leaves))
    return stack[0] if stack else None


def _of_kind(kind: str, numbers: list[str], leaves: list[Tensor]) -> Relation:
    if kind in ("everyone", "paired"):
        return everyone() if kind == "everyone" else paired()
    if kind == "views":
        return other_views(int(numbers[0]))
    if kind == "edges":
        stride, places, *weights = map(int, numbers)
        index = torch.stack([leaves[places] // stride, leaves[places] % stride])
        return edges(index, leaves[weights[0]] if weights else None)
    rows = leaves[int(numbers[0])]
    if kind == "listed":
        return listed(rows)
    # Ids and times of both sides are told from those of one by being the same tensor.
    cols = None if numbers[1] == numbers[0] else leaves[int(numbers[1])]
    if kind == "same":
        return same(rows, cols)
    if kind == "before":
        return before(rows, cols)
    return (within if kind == "within" else gaussian)(rows, cols, float(numbers[2]))
