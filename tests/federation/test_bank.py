"""What can be in the bank, and which of it a view is compared with: alike keys, a slow network's keys, prototypes."""

import copy
from itertools import pairwise

import pytest
import torch

from tellapart import InputError
from tellapart.evaluation import grouped
from tellapart.federation import Agreed, Bank, drawn_rows, n_candidates, prototypes
from tellapart.federation.statistics import names_of
from tellapart.scores import unit
from tellapart.systems.federated import Config, compare, make_model
from tellapart.training.starting import take
from tests.tiny.pictures import PICTURE_OPTIONS

pytest.importorskip("flwr")

from tellapart.federation.rounds import LocalRounds
from tests.federation.test_rounds import ROUNDS, config, data, source, trained, works_of

__all__ = ["data", "source"]  # fixtures

TAU, WEIGHT, CLIENT = 0.2, 0.5, 2


@pytest.fixture
def views_and_bank():
    torch.manual_seed(0)
    first = torch.randn(6, 4, dtype=torch.float64)
    views = (first, first + 0.3 * torch.randn(6, 4))
    return views, Bank(torch.randn(40, 4, dtype=torch.float64), torch.arange(40) % 4)


def by_loop(views, bank, cosine):
    """The loss and the mean number of candidates, a view at a time."""
    z, keys, n = unit(torch.cat(views)), unit(bank.keys), len(views[0])
    losses, counts = [], []
    for i in range(2 * n):
        batch = [torch.exp(z[i] @ z[j] / TAU) for j in range(2 * n) if j != i]
        near = [z[i] @ key for key, owner in zip(keys, bank.clients, strict=True) if owner != CLIENT]
        others = [WEIGHT * torch.exp(score / TAU) for score in near if score < cosine]
        losses.append(torch.log(sum(batch) + sum(others)) - z[i] @ z[(i + n) % (2 * n)] / TAU)
        counts.append(len(batch) + len(others))
    return torch.stack(losses).mean(), sum(counts) / len(counts)


@pytest.mark.parametrize("cosine", [0.3, 0.7, 0.99])
def test_a_key_as_alike_to_a_view_as_the_limit_is_no_candidate_of_that_view(views_and_bank, cosine):
    views, bank = views_and_bank
    loss, count = by_loop(views, bank, cosine)
    torch.testing.assert_close(compare(views, bank, CLIENT, TAU, WEIGHT, cosine), loss, rtol=1e-6, atol=1e-6)
    assert n_candidates(views, bank, CLIENT, cosine) == pytest.approx(count)
    assert count < n_candidates(views, bank, CLIENT, 1.0) or cosine == 0.99


def test_with_a_limit_of_1_even_a_copy_of_a_view_is_a_candidate(views_and_bank):
    views, _ = views_and_bank
    copies = Bank(views[0], torch.zeros(6, dtype=torch.long))
    assert n_candidates(views, copies, CLIENT, 1.0) == 11 + 6
    assert n_candidates(views, copies, CLIENT, 0.9999) == pytest.approx(11 + 6 - 0.5)
    assert n_candidates(views, None, CLIENT, 0.5) == 11


def rounds_of(options, data):
    """The model, what clients do, and for each round the averaged network and the slow one."""
    model = make_model(options, data.shape)
    works = works_of(options, data, model)
    rounds, states = LocalRounds(model, works), []
    for number in range(1, ROUNDS + 1):
        rounds.run(number)
        states.append([copy.deepcopy(part.state_dict()) for part in (model.network, model.key_network)])
    return model, works, states


def test_the_slow_network_is_a_moving_average_of_rounds_that_the_first_weights_are_not_in(data):
    _, _, states = rounds_of(config(key_momentum=0.7, epochs=ROUNDS), data)
    assert all(torch.equal(value, states[0][1][name]) for name, value in states[0][0].items())
    expected = {name: value.double() for name, value in states[0][0].items()}
    for number, (network, slow) in enumerate(states[1:], start=2):
        momentum = min(0.7, (number - 1) / number)
        for name, value in network.items():
            if value.is_floating_point():
                expected[name] = momentum * expected[name] + (1 - momentum) * value.double()
                torch.testing.assert_close(slow[name].double(), expected[name], rtol=1e-5, atol=1e-6)
            else:
                assert torch.equal(slow[name], value)
    for (_, before), (_, after) in pairwise(states):
        assert not torch.equal(before["encoder.first.weight"], after["encoder.first.weight"])


@pytest.mark.parametrize("statistics", ["averaged", "recalibrated"])
def test_keys_are_the_slow_networks_with_its_own_statistics(data, statistics):
    options = config(key_momentum=0.7, statistics=statistics, key_precision="float32")
    model, works, states = rounds_of(options, data)
    last = int(model.bank_round)
    assert last == max(number for number in range(1, 1 + len(states)) if options.agreed().makes_keys_after(number))
    slow, network = states[last - 1][1], states[last - 1][0]
    bank = model.read_bank()
    for work in works:
        own = bank.keys[bank.clients == work.number]
        assert torch.equal(own, work.keys(slow, last))
        assert not torch.equal(own, work.keys(network, last))
    if statistics == "recalibrated":  # the averaged network's are made after the last round alone
        first = make_model(options, data.shape).network.state_dict()
        assert all(torch.equal(network[name], first[name]) for name in names_of(model.network))
        assert not any(torch.equal(slow[name], first[name]) for name in names_of(model.network))


def test_without_momentum_or_without_a_bank_there_is_no_slow_network(data):
    for options in ({}, {"key_momentum": 0.5, "bank": 0}, {"key_momentum": 0.5, "bank_weight": 0}):
        model = make_model(config(**options), data.shape)
        assert model.key_network is model.network
        assert not any(name.startswith("slow") for name in model.state_dict())


def test_a_slow_network_begins_as_a_copy_of_weights_that_training_begins_with(data):
    source = make_model(config(seed=1), data.shape)
    model = make_model(config(key_momentum=0.5), data.shape)
    _, _, missing = take(model, source.state_dict())
    assert not missing or all(name.startswith("bank") for name in missing)
    assert all(torch.equal(value, source.network.state_dict()[name]) for name, value in model.slow.state_dict().items())


def test_a_client_that_keeps_its_statistics_has_none_for_a_slow_network():
    with pytest.raises(InputError, match="`key_momentum` must be 0 where statistics are local"):
        Config(**PICTURE_OPTIONS | {"data": "nowhere", "statistics": "local", "key_momentum": 0.5})


def test_prototypes_are_the_directions_of_means_of_groups_and_no_key_is_one():
    torch.manual_seed(0)
    centres = unit(torch.randn(5, 8))
    keys = unit(centres[torch.arange(60) % 5] + 0.05 * torch.randn(60, 8))
    found = prototypes(keys, most=5, seed=1)
    groups = grouped(keys, n_clusters=5, seed=1)
    expected = unit(torch.stack([keys[groups == group].mean(dim=0) for group in range(5)]))
    torch.testing.assert_close((found @ expected.T).amax(dim=1), torch.ones(5))
    assert torch.equal(found, prototypes(keys, most=5, seed=1))
    alone = torch.cat([keys, -centres[:1]])  # k-means makes a group of it
    assert (prototypes(alone, most=6, seed=1) @ -centres[0]).max() < 0.99
    assert len(prototypes(keys[:4], most=100, seed=0)) <= 2
    assert len(prototypes(keys[:2], most=100, seed=0)) == 1


def test_prototypes_of_all_pictures_leave_a_client_in_place_of_keys(data):
    options = config(bank_of="prototypes", bank=12, key_precision="float32")
    model, log = trained(options, data)
    bank = model.read_bank()
    assert len(bank.keys) <= 12
    assert log[0]["keys_of_a_client"] <= 4
    torch.testing.assert_close(bank.keys.norm(dim=1), torch.ones(len(bank.keys)))
    assert drawn_rows(options.agreed(), number=1, client=0, n=30).tolist() == list(range(30))


def test_the_log_has_the_length_of_the_mean_key(data):
    model, log = trained(config(), data)
    length = unit(model.read_bank().keys).mean(dim=0).norm().item()
    assert log[ROUNDS - 2]["length_of_mean_key"] == pytest.approx(length)
    assert "length_of_mean_key" not in log[ROUNDS - 1]


def test_momentum_rises_from_0_to_what_was_asked_for():
    agreed = Agreed(clients=2, rounds=9, local_epochs=1, bank=8, key_momentum=0.75)
    assert [agreed.momentum_after(number) for number in (1, 2, 4, 9)] == [0, 0.5, 0.75, 0.75]
