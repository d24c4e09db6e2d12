"""What the processes of `test_gather` compute."""

from __future__ import annotations

from functools import partial

import torch
import torch.distributed as dist

from tellapart import InfoNCE, LearnedTemperature, info_nce, same
from tellapart.distributed import check_distributed, gather, sum_over
from tellapart.negatives import KeyQueue
from tests.distributed.jobs import rows_of


def gathered(group, rows):
    return gather(torch.arange(sum(rows)).float()[rows_of(group, rows), None].expand(-1, 2), group)


def gradient_of_gathered(group, rows):
    own = torch.zeros(rows[dist.get_rank(group)], 1, requires_grad=True)
    weight = (dist.get_rank(group) + 1) * torch.arange(1.0, sum(rows) + 1)
    (gather(own, group)[:, 0] * weight).sum().backward()
    return own.grad


def verdict_on(group, how):
    """What `check_distributed` says, in the group's stead of the world."""
    from unittest.mock import patch

    size = dist.get_world_size(group)
    ids = torch.arange(size * 3)

    def constant_keys(q, k):
        return info_nce(q, gather(k, group).detach(), positives=by_id())

    def times(q, k):
        return size * info_nce(q, gather(k, group), positives=by_id())

    def by_id():
        here = rows_of(group, [3] * size)
        return same(ids[here], ids)

    def gathered_by_id(q, k):
        all_rows = gather(k, group)
        return info_nce(q, torch.cat([all_rows, all_rows.detach().flip(1)]), positives=with_negatives())

    def with_negatives():
        return same(ids[rows_of(group, [3] * size)], torch.cat([ids, ids + 1000]))

    def alone_with_negatives(q, k):
        return info_nce(q, torch.cat([k, k.detach().flip(1)]), positives=same(ids, torch.cat([ids, ids + 1000])))

    with patch("tellapart.distributed.check.world", lambda: group):
        if how == "ours":
            return check_distributed(InfoNCE(temperature=LearnedTemperature(0.2), symmetric=True))
        even = partial(check_distributed, rows=[3] * size)
        if how == "gathered by id":
            return even(gathered_by_id, alone=alone_with_negatives)
        return even({"constant keys": constant_keys, "times the processes": times}[how], alone=info_nce)


def queue_after_uneven_batches(group):
    queue, rows = KeyQueue(7, 2), [1, 2, 3]
    for start in (0, 6):
        ids = torch.arange(start, start + 6)[rows_of(group, rows)]
        keys, all_rows = (gather(x, group) for x in (ids[:, None].float().expand(-1, 2), ids))
        queue.push(keys, all_rows)
    return queue.read()


def gathered_and_kept(group):
    """The sum hands the same gradient to both, to what was gathered first."""
    p, own = torch.ones(2, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    doubled = p * 2
    (gather(own, group) + doubled).mul(3.0).sum().backward()
    return p.grad


def rows_that_differ(group, how):
    last = dist.get_rank(group) == 1
    rows = {
        "dtype": torch.ones(2, 3, dtype=torch.bfloat16 if last else torch.float16),
        "dimensions": torch.ones(2, 3) if last else torch.ones(2, 3, 1),
        "gradient": torch.ones(2, 3, requires_grad=last),
    }[how]
    try:
        gather(rows, group)
    except ValueError as error:
        return str(error)
    return "fine"


def sum_of_turned(group):
    x = torch.arange(4.0).view(2, 2)
    return sum_over(x.T.contiguous().T if dist.get_rank(group) else x, group)
