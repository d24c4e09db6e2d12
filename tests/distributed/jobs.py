"""What the processes of a test compute: one alone (`group=None`, all rows), or each with its own rows."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tellapart import edges, everyone, gaussian, info_nce, info_nce_terms, nt_xent, options, paired, same, within
from tellapart.diagnostics import effective_negatives
from tellapart.negatives import alike, guided
from tellapart.relations import Relation

DIM = 5
CASES = (
    "plain",
    "symmetric",
    "labels",
    "labels in",
    "names",
    "texts both ways",
    "several options",
    "soft",
    "distances",
    "listed",
    "near or linked",
    "everyone but oneself",
    "a temperature each",
    "alike and guided",
)


def rows_of(group, rows):
    """The places of this process's rows among the rows of all."""
    if group is None:
        return slice(0, sum(rows))
    first = sum(rows[: (rank := torch.distributed.get_rank(group))])
    return slice(first, first + rows[rank])


def made(seed, n, d=DIM):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def options_of(case, here, n):
    """Options of a loss over n rows, of which this process passes those `here`."""
    labels = (torch.arange(n) * 7 % 3)[here]
    names = [f"text {i * 7 % 3}" for i in range(n)][here]
    return {
        "plain": {},
        "symmetric": {"symmetric": True},
        "labels": {"positives": same(labels) & ~paired(), "exclude": paired()},
        "labels in": {"positives": same(labels), "multi_positive": "in", "symmetric": True},
        "names": {"positives": same(names), "symmetric": True},
        "texts both ways": {"exclude": same(labels) & ~paired(), "symmetric": True},
        "several options": {"margin": 0.2, "positives": same(labels), "key_bias": made(9, n)[here, 0]},
        "soft": {"positives": gaussian(torch.arange(n)[here] / 2, None, 1.0), "symmetric": True},
        "distances": {"score": "sqeuclidean", "symmetric": True},
        "listed": {"positives": edges(torch.stack([i := torch.arange(len(labels)), i]))},
        "near or linked": {
            "positives": within(torch.arange(n)[here], None, 1) | paired(),
            "exclude": same(labels) & ~within(torch.arange(n)[here], None, 1),
            "multi_positive": "in",
        },
        "everyone but oneself": {"positives": everyone() & ~paired(), "symmetric": True},
        "a temperature each": {"temperature": made(11, n, 1)[here, 0].abs() + 0.1, "positives": same(labels)},
        "alike and guided": {
            "positives": alike(made(12, n)[here], None, 0.4) | paired(),
            "exclude": guided(made(13, n)[here], made(14, n)[here]),
            "symmetric": True,
        },
    }[case]


def terms_and_gradients(group, case, rows):
    """Terms, losses and gradients of one process's rows."""
    n, here = sum(rows), rows_of(group, rows)
    q, k = (made(seed, n)[here].requires_grad_() for seed in (1, 2))
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    options = {"temperature": tau} | options_of(case, here, n)
    terms = info_nce_terms(q, k, group=group, **options)
    answer = {}
    for side, prefix in ((terms, ""), (terms.reverse, "reverse ")):
        for name in ("positive", "log_partition", "cross_entropy", "n_candidates", "n_positives"):
            if side is not None:
                answer[prefix + name] = getattr(side, name).detach()
        if side is not None:  # without a positive, S⁺ has no meaning
            answer[prefix + "positive"] = side.positive.detach().masked_fill(side.n_positives == 0, 0)
        for name in ("n_positive_candidates", "top_positive", "top_negative"):
            if side is not None:
                answer[prefix + name] = getattr(side, name)
    answer["mean of accuracies"] = terms.accuracy()
    for reduction in ("mean", "sum"):
        loss = info_nce(q, k, group=group, reduction=reduction, **options)
        size = 1 if group is None else torch.distributed.get_world_size(group)
        to_q, to_k, to_tau = torch.autograd.grad(loss, (q, k, tau), materialize_grads=True)
        answer |= {
            f"mean of losses, {reduction}": loss.detach(),
            f"mean of gradients of τ, {reduction}": to_tau,
            f"gradient of queries, {reduction}": to_q / size,
            f"gradient of keys, {reduction}": to_k / size,
        }
    return answer


def _loss_and_gradients(group, loss, *inputs):
    size = 1 if group is None else torch.distributed.get_world_size(group)
    gradients = torch.autograd.grad(loss, inputs)
    return {"mean of losses": loss.detach()} | {str(i): x / size for i, x in enumerate(gradients)}


def nt_xent_of_views(group, views, rows):
    n, here = sum(rows), rows_of(group, rows)
    inputs = [made(seed, n)[here].requires_grad_() for seed in range(views)]
    return _loss_and_gradients(group, nt_xent(*inputs, temperature=0.3, group=group), *inputs)


def with_a_queue(group, rows):
    n, here = sum(rows), rows_of(group, rows)
    q, k = (made(seed, n)[here].requires_grad_() for seed in (1, 2))
    queue = made(3, 6)
    terms = info_nce_terms(q, k, negatives=queue, temperature=0.3, group=group)
    tops = {"candidates": terms.n_candidates, "hardest": terms.top_negative}
    return _loss_and_gradients(group, terms.loss(), q, k) | tops


def large_scores(group, rows):
    n, here = sum(rows), rows_of(group, rows)
    q, k = (made(seed, n)[here].mul(30).requires_grad_() for seed in (1, 2))
    loss = info_nce(q, k, score="dot", temperature=0.1, symmetric=True, group=group)
    return _loss_and_gradients(group, loss, q, k)


def _said(loss):
    try:
        loss()
    except (ValueError, RuntimeError) as error:
        return str(error)
    return "fine"


def with_a_nan_in_the_second(group):
    q = torch.ones(2, 3)
    if torch.distributed.get_rank(group) == 1:
        q[0, 0] = torch.nan
    return _said(lambda: info_nce(q, torch.eye(3)[:2], group=group))


def with_another_width(group):
    width = 3 + torch.distributed.get_rank(group)
    return _said(lambda: info_nce(torch.ones(2, width), torch.ones(2, width), group=group))


def without_positives(group, somewhere):
    ids = [0, 1] if somewhere else [8, 9]
    first = 2 * torch.distributed.get_rank(group)
    keys = torch.tensor([first, first + 1])
    return _said(lambda: info_nce(torch.eye(2), torch.eye(2), positives=same(torch.tensor(ids), keys), group=group))


class _Own(Relation):
    def at(self, rows, cols):
        return rows == cols

    def check(self, parameter, n_queries, n_keys):
        pass


def with_a_relation_of_its_own(group):
    return _said(lambda: info_nce(torch.eye(2), torch.eye(2), positives=_Own(), group=group))


def with_the_dense_engine(group):
    return _said(lambda: info_nce(torch.eye(2), torch.eye(2), engine="dense", group=group))


def differentiated_twice(group):
    def twice():
        q = torch.eye(2, requires_grad=True)
        (gradient,) = torch.autograd.grad(info_nce(q, torch.eye(2), group=group), q, create_graph=True)
        gradient.square().sum().backward()

    return _said(twice)


class _Largest(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.size = max([self.size, *sizes])
        return result


def largest_tensor(group):
    """Of 80 rows each, 8 wide, with tiles of at most 64 scores."""
    from tellapart._engine.kernels.grid import tiled

    q, k = (torch.randn(80, 8, requires_grad=True) for _ in range(2))
    with tiled(height=8, width=8), _Largest() as largest:
        info_nce(q, k, symmetric=True, group=group).backward()
    return largest.size


def only_one_side(group, learning, rows):
    n, here = sum(rows), rows_of(group, rows)
    q, k = (made(seed, n)[here].requires_grad_(learning == name) for seed, name in ((1, "queries"), (2, "keys")))
    loss = info_nce(q, k, temperature=0.3, symmetric=True, group=group)
    if learning == "neither":
        return {"mean of losses": loss}
    return _loss_and_gradients(group, loss, q if learning == "queries" else k)


def weighed_pairs_in_the_first(group, rows):
    """Of the pairs of one process's own rows only those of its first two are weighed, and the last has none."""
    n, here = sum(rows), rows_of(group, rows)
    q, k = (made(seed, n)[here].requires_grad_() for seed in (1, 2))
    linked = torch.arange(n)[here][:2] - (here.start or 0) if here.start == 0 else torch.zeros(0, dtype=torch.long)
    weighed = edges(torch.stack([linked, linked]), torch.full((len(linked),), 0.5, dtype=torch.float64))
    positives = weighed | same(torch.arange(n)[here] % 2)
    return _loss_and_gradients(group, info_nce(q, k, positives=positives, multi_positive="in", group=group), q, k)


def asked_differently(group, different):
    last = torch.distributed.get_rank(group) == 1
    if "views" in different:
        return _said(lambda: nt_xent(torch.eye(2), torch.eye(2 + last), group=group))
    given = dict(different) if last else {}
    if "exclude" in given:
        given["exclude"] = everyone() & ~paired()
    q, k = torch.eye(2, requires_grad=True), torch.eye(2)
    if given.pop("keys need", None):
        k.requires_grad_()
    return _said(lambda: info_nce(q, k, group=group, **given))


def by_triton(group, dtype, rows):
    """A loss whose blocks are all computed by Triton's kernels, and its gradients; of one process, in float64."""
    n, here = sum(rows), rows_of(group, rows)
    q, k = (made(seed, n)[here].to(dtype) for seed in (1, 2))
    labels = (torch.arange(n) * 7 % 3)[here]
    q, k = (x.double() if group is None else x for x in (q, k))
    q, k, tau = q.requires_grad_(), k.requires_grad_(), torch.tensor(0.2, requires_grad=True)
    with options(kernels="torch" if group is None else "triton"), _blocks() as names:
        exclude = same(labels) & ~paired()
        loss = info_nce(q, k, exclude=exclude, temperature=tau, symmetric=True, group=group)
        loss.backward()
    assert set(names) == (set() if group is None else {"triton_tiles"})
    size = 1 if group is None else len(rows)  # gradients are those of the mean over processes
    found = {"queries": q.grad / size, "keys": k.grad / size}
    means = {"mean of loss": loss.detach(), "mean of temperature": tau.grad}
    return {name: x.double() for name, x in (found | means).items()}


@contextmanager
def _blocks():
    """The names of the kernels that compute blocks."""
    from tellapart._engine import streamed

    names, choose = [], streamed.kernel_for

    def noted(block):
        names.append(choose(block).name)
        return choose(block)

    streamed.kernel_for = noted
    try:
        yield names
    finally:
        streamed.kernel_for = choose


def in_half(group, dtype, score):
    x = (made(1, 64, 8) + 1000 * (score == "sqeuclidean")).to(dtype)
    here = rows_of(group, [40, 24])
    q = x[here].clone().requires_grad_()
    given = {"score": score, "temperature": 10.0, "positives": same(torch.arange(64) // 2)}
    mine = given | {"positives": same(torch.arange(64)[here] // 2)}
    loss = info_nce(q, q.detach(), group=group, **mine)
    loss.backward()
    mean = loss.detach().clone()
    torch.distributed.all_reduce(mean, group=group)
    expected = info_nce(x.double(), x.double(), **given)
    return {"loss": mean.double() / 2, "expected": expected, "dtype": q.grad.dtype}


def backward_twice(group):
    q, k = (made(seed, 3).requires_grad_() for seed in (1, 2))
    loss = info_nce(q, k, symmetric=True, group=group)
    loss.backward(retain_graph=True)
    once = q.grad.clone()
    loss.backward()
    return once, q.grad


def in_the_last_two(group, rows):
    pair = torch.distributed.new_group([2, 3])
    return nt_xent_of_views(pair, 2, rows) if torch.distributed.get_rank(group) >= 2 else None


def number_of_negatives(group, case, rows):
    """How many negatives push on each of one process's queries, as if alike."""
    n, here = sum(rows), rows_of(group, rows)
    options = {"temperature": 0.3} | options_of(case, here, n)
    for other in ("symmetric", "margin", "multi_positive"):
        options.pop(other, None)
    q, k = (made(seed, n)[here] for seed in (1, 2))
    return {"effective negatives": effective_negatives(q, k, group=group, **options)}
