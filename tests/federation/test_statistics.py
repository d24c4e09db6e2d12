"""Statistics of batch norms: those of clients together are those of all their examples."""

import torch
from torch import nn

from tellapart.federation import merged
from tellapart.federation.statistics import names_of, recalibrate


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4), nn.BatchNorm1d(4))


def statistics(model):
    return {name: model.state_dict()[name].clone() for name in names_of(model)}


def test_merged_statistics_are_those_of_all_examples_together():
    torch.manual_seed(1)
    parts = [torch.randn(400, 3), 5 + 3 * torch.randn(100, 3)]
    found = []
    for part in parts:
        model = network()
        recalibrate(model, [part])
        found.append(statistics(model))
    together = merged(found, [0.8, 0.2])
    everything = torch.cat(parts)
    torch.testing.assert_close(together["0.running_mean"], everything.mean(dim=0))
    torch.testing.assert_close(together["0.running_var"], everything.var(dim=0), rtol=0.01, atol=0)
    plain = 0.8 * found[0]["0.running_var"] + 0.2 * found[1]["0.running_var"]
    assert (together["0.running_var"] > plain + 1).all()  # the means differ


def test_recalibrated_statistics_are_means_over_batches_and_no_weight_changes():
    model, batches = network(), [torch.randn(50, 3) + shift for shift in (0.0, 4.0)]
    weights = {name: value.clone() for name, value in model.named_parameters()}
    model.eval()
    recalibrate(model, batches)
    assert not model.training
    torch.testing.assert_close(model[0].running_mean, torch.stack([part.mean(dim=0) for part in batches]).mean(dim=0))
    assert all(torch.equal(weights[name], value) for name, value in model.named_parameters())
    assert model[0].momentum == 0.1


def test_counts_of_batches_stay_whole_numbers():
    one, two = ({"num_batches_tracked": torch.tensor(n)} for n in (3, 8))
    found = merged([one, two], [0.5, 0.5])["num_batches_tracked"]
    assert found.dtype == torch.int64
    assert found.item() in (5, 6)
