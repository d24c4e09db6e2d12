"""Batch norm over all processes, and the leak it closes."""

import pytest
import torch
from torch import nn

from tellapart.distributed import SharedBatchNorm, fused_batch_norm, share_batch_norm
from tests.distributed import norm_jobs


@pytest.mark.parametrize(("size", "rows"), [(2, [3, 5]), (3, [4, 0, 2]), (4, [2, 2, 2, 2])])
@pytest.mark.parametrize("shape", [(24,), (4, 6)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_output_gradients_and_statistics_are_those_of_one_process(pool, size, rows, shape, momentum):
    answers = pool.run(size, norm_jobs.normalised, shape, rows, momentum)
    for name, value in norm_jobs.normalised(None, shape, rows, momentum).items():
        found = [answer[name] for answer in answers]
        whole = torch.stack(found).mean(0) if name.startswith("mean of") else torch.cat(found)
        torch.testing.assert_close(whole, value, rtol=1e-12, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("how", [torch.float16, torch.bfloat16, "autocast"])
def test_half_precision_is_normalised_in_float32(pool, how):
    for found, expected, variance, plain in pool.run(2, norm_jobs.in_half_precision, how):
        assert found.dtype == (torch.bfloat16 if how == "autocast" else how)
        torch.testing.assert_close(found.float(), expected, rtol=2e-2, atol=2e-2)
        torch.testing.assert_close(variance, plain, rtol=1e-2, atol=1e-3)


def test_one_row_in_all_processes_is_refused(pool):
    for said in pool.run(2, norm_jobs.of_one_row):
        assert said == "`input` must have 2 values per channel in all processes together. Got 1."


def test_plain_batch_norm_leaks_between_processes_and_that_over_all_does_not(pool):
    plain, *_ = pool.run(2, norm_jobs.leak_after_training, False)
    shared, *_ = pool.run(2, norm_jobs.leak_after_training, True)
    assert plain.moved > 0.1
    assert shared.moved < 1e-5


def norms():
    """One that is shared, one that is not, and the weights and statistics of both."""
    model = nn.Sequential(share_batch_norm(nn.Sequential(nn.BatchNorm2d(3))), nn.BatchNorm1d(3)).train()
    model[0](torch.randn(5, 3, 2, 2))
    return model, {name: value.clone() for name, value in model.state_dict().items()}


def test_on_cuda_processes_take_the_batch_norm_of_torch_for_that_which_is_shared_alone(monkeypatch):
    monkeypatch.setattr("tellapart.distributed.batch_norm.world", object)
    model, before = norms()
    weights = list(model.parameters())
    fused_batch_norm(model, torch.device("cuda", 1))
    assert [type(model[0][0]), type(model[1])] == [nn.SyncBatchNorm, nn.BatchNorm1d]
    assert all(a is b for a, b in zip(model.parameters(), weights, strict=True))  # an optimizer has them
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    made = nn.SyncBatchNorm(3)
    assert vars(model[0][0]).keys() == vars(made).keys()
    x = torch.randn(4, 3, 2, 2)  # as an evaluation computes it afterwards, perhaps on a CPU
    made.load_state_dict(model[0][0].state_dict())
    assert torch.equal(model.eval()[0](x), made.eval()(x))


@pytest.mark.parametrize(("device", "processes"), [("cpu", object()), ("mps", object()), ("cuda", None)])
def test_other_devices_and_one_process_keep_ours(monkeypatch, device, processes):
    monkeypatch.setattr("tellapart.distributed.batch_norm.world", lambda: processes)
    model, _ = norms()
    fused_batch_norm(model, torch.device(device))
    assert type(model[0][0]) is SharedBatchNorm
