"""What the processes of `test_batch_norm` compute."""

from __future__ import annotations

from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import nn

from tellapart import info_nce
from tellapart.diagnostics import batch_leakage
from tellapart.distributed import share_batch_norm
from tests.distributed.jobs import made, rows_of


def in_group(group):
    """Let the library take the group for the world."""
    names = ("distributed.gather", "distributed.batch_norm", "diagnostics.leakage")
    return [patch(f"tellapart.{name}.world", lambda: group) for name in names]


def normalised(group, shape, rows, momentum):
    """Output, gradients and statistics of one process's rows, twice over."""
    norm = nn.BatchNorm1d(shape[0], momentum=momentum).double()
    with torch.no_grad():
        norm.weight.copy_(made(7, shape[0], 1)[:, 0])
        norm.bias.copy_(made(8, shape[0], 1)[:, 0])
    if group is not None:
        for world in in_group(group):
            world.start()
        norm = share_batch_norm(norm)
    here = rows_of(group, rows)
    x = made(1, sum(rows), 24)[here].view(-1, *shape).requires_grad_()
    weight = made(2, sum(rows), 24)[here].view(-1, *shape)
    norm(x.detach() * 2 + 1)
    y = norm(x)
    of_x, *of_norm = torch.autograd.grad((y * weight).square().sum(), [x, *norm.parameters()])
    patch.stopall()
    size = 1 if group is None else dist.get_world_size(group)
    answer = {"output": y.detach(), "gradient": of_x}
    answer |= {f"mean of {i}": g * size for i, g in enumerate(of_norm)}
    return answer | {f"mean of {name}": value.double() for name, value in norm.named_buffers()}


def leak_after_training(group, shared):
    """What `batch_leakage` finds of an encoder trained by two processes, and how often queries find their keys."""
    for world in in_group(group):
        world.start()
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8))
    encoder = share_batch_norm(encoder) if shared else encoder
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(dist.get_rank(group))
    for _ in range(60):
        x = torch.randn(8, 8, generator=generator)
        views = [encoder(x + 0.5 * torch.randn(8, 8, generator=generator)) for _ in range(2)]
        optimizer.zero_grad()
        info_nce(*views, temperature=0.2, symmetric=True, group=group).backward()
        for parameter in encoder.parameters():
            dist.all_reduce(parameter.grad, group=group)
            parameter.grad /= 2
        optimizer.step()
    batch = torch.randn(16, 8, generator=torch.Generator().manual_seed(9))
    leakage = batch_leakage(encoder, batch, torch.arange(16) % 2)
    patch.stopall()
    return leakage


def in_half_precision(group, how):
    """A whole batch in half, or autocast, against float32 of one process."""
    for world in in_group(group):
        world.start()
    x = made(3, 600, 2).float()
    here = rows_of(group, [257, 343])
    norm, plain = share_batch_norm(nn.BatchNorm1d(2)), nn.BatchNorm1d(2)
    if how == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = norm(nn.Identity()(x[here].bfloat16()))
    else:
        found = norm(x[here].to(how))
    patch.stopall()
    return found.detach(), plain(x)[here].detach(), norm.running_var, plain.running_var


def of_one_row(group):
    for world in in_group(group):
        world.start()
    rows = torch.ones(1 if dist.get_rank(group) == 0 else 0, 2)
    try:
        share_batch_norm(nn.BatchNorm1d(2))(rows)
    except ValueError as error:
        return str(error)
    finally:
        patch.stopall()
    return "fine"
