"""Rounds over Flower: the bits of a plain loop; and clients that fail, which harm no other."""

import copy

import numpy as np
import pytest
import torch

from tellapart import InputError
from tellapart.domains.pictures import ClientData, Dataset, make_views
from tellapart.federation import STATISTICS, Agreed, Bank, drawn_rows
from tellapart.federation.statistics import names_of
from tellapart.runs import Run
from tellapart.scores import unit
from tellapart.systems.federated import Config, compare, make_model, work_for
from tellapart.training import Batches, seed_step, usual_optimizer
from tests.tiny.pictures import PICTURE_OPTIONS, write_patterns

pytest.importorskip("flwr")

from flwr.app import Context, Message, RecordDict

from tellapart.federation.flower import client_app, from_arrays, to_arrays
from tellapart.federation.grid import LocalGrid
from tellapart.federation.rounds import LocalRounds, one_round

ROUNDS = 3


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return str(write_patterns(tmp_path_factory.mktemp("patterns"), 60))


@pytest.fixture
def data(source, tmp_path):
    run = Run(tmp_path)
    run.begin("federated", {})
    return Dataset.load(Config(**PICTURE_OPTIONS | {"data": source}), run)


def config(**options):
    return Config(**PICTURE_OPTIONS | {"epochs": ROUNDS, "clients": 3, "bank": 24, "alpha": 5.0} | options)


def works_of(config, data, model):
    clients = ClientData.divide(data, config.split, config.clients, config.alpha, config.classes_per_client)
    network = model.a_copy()
    return [work_for(config, data.shape, clients.client(c), network, c) for c in range(config.clients)]


def trained(config, data):
    model = make_model(config, data.shape)
    rounds = LocalRounds(model, works_of(config, data, model))
    return model, [rounds.run(number) for number in range(1, config.agreed().rounds + 1)]


def same_bits(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items()) and set(a) == set(b)


def plain_loop(config, data):
    """FedAvg with a shared bank, without Flower: one list of weights a round."""
    made = make_model(config, data.shape)
    state, bank = copy.deepcopy(made.network.state_dict()), None
    clients = ClientData.divide(data, config.split, config.clients, config.alpha, config.classes_per_client)
    views, network = make_views(config, data.shape), made.network
    sizes = [len(rows) for rows in clients.rows]
    for number in range(ROUNDS):
        sums = {}
        for c, size in enumerate(sizes):
            pictures = clients.client(c).pictures
            network.load_state_dict(state)
            network.train()
            batches = Batches(size, min(config.batch_size, size), ROUNDS, config.seed)
            per_round = batches.steps_per_epoch(1)
            optimizer, schedule = usual_optimizer(network, config, batches.n_steps(1), begin=number * per_round)
            for step in range(number * per_round, (number + 1) * per_round):
                seed_step(config.seed, step, c)
                two = network(torch.cat(views(pictures[batches.rows(step, 0, 1)], 2))).chunk(2)
                optimizer.zero_grad()
                compare(two, bank, c, config.temperature, config.bank_weight).backward()
                optimizer.step()
                schedule.step()
            for name, value in network.state_dict().items():
                sums[name] = sums.get(name, 0) + value * (size / sum(sizes))
        state = {
            name: (v if state[name].is_floating_point() else v.round()).to(state[name]) for name, v in sums.items()
        }
        if config.bank and number + 1 < ROUNDS:
            network.load_state_dict(state)
            network.eval()
            keys, owners = [], []
            for c, size in enumerate(sizes):
                rows = drawn_rows(config.agreed(), number + 1, c, size)
                seed_step(config.seed, 2**32 + number + 1, c)
                with torch.no_grad():
                    keys.append(unit(network(views(clients.client(c).pictures[rows], 1)[0])).half().float())
                owners += [c] * len(rows)
            bank = Bank(torch.cat(keys), torch.tensor(owners))
    return state


@pytest.mark.parametrize("options", [{}, {"clients": 1}, {"bank": 0}, {"bank_weight": 0.25, "split": "even"}])
def test_rounds_over_flower_are_a_plain_loop_bit_for_bit(data, options):
    model, _ = trained(config(**options), data)
    assert same_bits(model.network.state_dict(), plain_loop(config(**options), data))


@pytest.mark.parametrize("statistics", STATISTICS)
def test_batch_norms_statistics_reach_the_trained_network_in_every_way(data, statistics):
    """FedScale 57, PFLlib 260: they stayed those of the untrained network, or of one client."""
    model, _ = trained(config(statistics=statistics), data)
    state, first = model.network.state_dict(), make_model(config(), data.shape).network.state_dict()
    assert all(not torch.equal(state[name], first[name]) for name in names_of(model.network))
    shown = data.test.pictures
    with torch.no_grad():
        in_eval, in_training = (network(shown) for network in (model.network.eval(), model.network.train()))
    assert torch.nn.functional.cosine_similarity(in_eval, in_training).mean() > 0.5


def test_averaged_statistics_are_the_weighted_mean_of_the_clients(data):
    options = config(bank=0, epochs=1)
    model = make_model(options, data.shape)
    works = works_of(options, data, model)
    begun = model.weights(with_statistics=True)
    expected = {}
    for work in works:
        work.train(begun, None, 1)
        for name, value in work.own_statistics().items():
            expected[name] = expected.get(name, 0) + value.double() * work.n / sum(w.n for w in works)
    LocalRounds(model, works).run(1)
    for name, value in expected.items():
        torch.testing.assert_close(model.network.state_dict()[name].double(), value, rtol=1e-5, atol=1e-6)


def test_local_statistics_stay_with_their_client_until_the_last_round(data):
    options = config(statistics="local")
    model = make_model(options, data.shape)
    rounds = LocalRounds(model, works_of(options, data, model))
    first = rounds.run(1)
    untouched = make_model(options, data.shape).network.state_dict()
    assert all(torch.equal(model.network.state_dict()[name], untouched[name]) for name in names_of(model.network))
    one, two = (model.statistics_of(client) for client in (0, 1))
    assert all(not torch.equal(one[name], two[name]) for name in one if name.endswith("mean"))
    assert first["bytes_of_weights"] < trained(config(), data)[1][0]["bytes_of_weights"]


def test_a_key_of_the_clients_own_pictures_is_no_candidate():
    """energy-transformer-jax 1: self among the negatives."""
    torch.manual_seed(0)
    views = (torch.randn(4, 8), torch.randn(4, 8))
    own, others = torch.randn(5, 8), torch.randn(3, 8)
    bank = Bank(torch.cat([own, others]), torch.tensor([2] * 5 + [0, 1, 1]))
    alone, with_bank = compare(views, None, 2, 0.2, 1.0), compare(views, bank, 2, 0.2, 1.0)
    torch.testing.assert_close(with_bank, compare(views, Bank(others, bank.clients[5:]), 2, 0.2, 1.0))
    assert with_bank > alone
    torch.testing.assert_close(compare(views, Bank(own, bank.clients[:5]), 2, 0.2, 1.0), alone)


def test_a_bank_of_weight_w_counts_as_w_banks():
    torch.manual_seed(0)
    views, keys = (torch.randn(4, 8), torch.randn(4, 8)), torch.randn(3, 8)
    twice = Bank(torch.cat([keys, keys]), torch.zeros(6, dtype=torch.long))
    once = Bank(keys, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(compare(views, once, 1, 0.2, 2.0), compare(views, twice, 1, 0.2, 1.0))


def test_what_leaves_a_client_is_in_the_log(data):
    head = 128  # bytes before an array's entries, in NumPy's format
    logs = {
        precision: trained(config(key_precision=precision, bank_every=2), data)[1]
        for precision in ("float16", "float32")
    }
    for precision, bits in (("float16", 16), ("float32", 32)):
        first = logs[precision][0]
        assert first["keys_of_a_client"] == 8
        assert first["bits_of_a_key_entry"] == bits
        assert first["bytes_of_keys"] == head + 8 * 16 * bits / 8
        assert "bytes_of_keys" not in logs[precision][1]  # the bank is made after every second round
        assert "bytes_of_keys" not in logs[precision][2]  # and after the last no query would see it
    weights = sum(head + value.nbytes for value in make_model(config(), data.shape).network.state_dict().values())
    assert logs["float16"][0]["bytes_of_weights"] == weights
    off = [trained(config(**{name: 0}), data)[1] for name in ("bank", "bank_weight")]
    assert all(
        entry.keys() == {"loss", "n_candidates", "clients", "clients_left_out", "bytes_of_weights"}
        for log in off
        for entry in log
    )


def test_keys_have_length_1_and_noise_is_added_to_them(data):
    plain, noisy = (config(noise=noise, key_precision="float32") for noise in (0.0, 0.1))
    model = make_model(plain, data.shape)
    one, two = (works_of(c, data, model)[0].keys(model.weights(True), 1) for c in (plain, noisy))
    torch.testing.assert_close(one.norm(dim=1), torch.ones(8))
    assert (two - one).std().item() == pytest.approx(0.1, rel=0.3)


class Faulty:
    """The clients' app, in which one client does something else from some round on."""

    def __init__(self, app, client, fault, since):
        self.app, self.client, self.fault, self.since = app, client, fault, since

    def __call__(self, message, context):
        reply = self.app(message, context)
        number = message.content.config_records["config"]["round"]
        if context.node_id == self.client and number >= self.since:
            self.fault(reply, message.metadata.message_type)
        return reply


def raises(_, __):
    raise RuntimeError("the power went off")


def sends_nan(reply, kind):
    name = "keys" if kind == "query.keys" else "arrays"
    arrays = from_arrays(reply.content.array_records[name])
    first = next(iter(arrays))
    arrays[first] = arrays[first] * float("nan")
    reply.content[name] = to_arrays(arrays)


def is_late(reply, _):
    reply.content["metrics"]["round"] -= 1


def sends_late_keys(reply, kind):
    if kind == "query.keys":
        reply.content["metrics"]["round"] -= 1


def measures_nan(reply, kind):
    if kind == "train":
        reply.content["metrics"]["loss"] = float("nan")


def measures_nothing(reply, kind):
    if kind == "train":
        del reply.content["metrics"]["loss"]


def has_another_network(reply, kind):
    if kind == "train":
        arrays = from_arrays(reply.content.array_records["arrays"])
        arrays.popitem()
        reply.content["arrays"] = to_arrays(arrays)


def sends_wide_keys(reply, kind):
    if kind == "query.keys":
        reply.content["keys"] = to_arrays({"keys": torch.ones(4, 99, dtype=torch.float16)})


def run_rounds(options, data, app_of, contexts_of):
    """All rounds with an app and, by round, the clients that are there."""
    model, lines, log = make_model(options, data.shape), [], []
    works = works_of(options, data, model)
    everyone = {c: Context(0, c, {}, RecordDict(), {}) for c in range(options.clients)}
    grid = LocalGrid(app_of(client_app(lambda context: works[context.node_id])), {})
    for number in range(1, ROUNDS + 1):
        grid.contexts = {c: everyone[c] for c in contexts_of(number)}
        log.append(one_round(grid, model, number, lines.append, timeout=0))
    return model, lines, log


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (raises, "a client is left out, node 1: RuntimeError: the power went off"),
        (sends_nan, "client 1 is left out, its encoder.first.weight is not finite."),
        (is_late, "client 1 is left out, its reply is stale, of round 1."),
        (measures_nan, "client 1 is left out, its loss is nan."),
        (measures_nothing, "client 1 is left out, its reply has other records than were asked for."),
        (has_another_network, "client 1 is left out, its reply has other arrays than were asked for"),
    ],
)
def test_a_client_that_fails_is_left_out_with_a_line_and_the_others_train_as_without_it(data, fault, line):
    options = config()
    model, lines, log = run_rounds(options, data, lambda app: Faulty(app, 1, fault, since=2), lambda _: (0, 1, 2))
    if fault in (has_another_network, measures_nan, measures_nothing):  # its keys are good
        sound = model
    else:
        sound, none, _ = run_rounds(options, data, lambda app: app, lambda r: (0, 1, 2) if r < 2 else (0, 2))
        assert none == ["round 2: 2 of 3 clients are there.", "round 3: 2 of 3 clients are there."]
    assert any(line in one and one.startswith("round 2: ") for one in lines)
    assert same_bits(model.state_dict(), sound.state_dict())
    assert [entry["clients"] for entry in log] == [3, 2, 2]
    assert [entry["clients_left_out"] for entry in log] == [0, 1, 1]
    assert all(value.isfinite().all() for value in model.state_dict().values())


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (sends_late_keys, "its reply is stale, of round 0"),
        (sends_nan, "its keys are not finite"),
        (sends_wide_keys, "its keys have the shape (4, 99), not (8 at most, 16)"),
    ],
)
def test_bad_keys_do_not_enter_the_bank(data, fault, line):
    def only_keys(reply, kind):
        if kind == "query.keys":
            fault(reply, kind)

    model, lines, log = run_rounds(config(), data, lambda app: Faulty(app, 1, only_keys, 1), lambda _: (0, 1, 2))
    assert lines == [
        f"round {number}: client 1 is left out, {line}.".replace("round 0.", f"round {number - 1}.")
        for number in (1, 2)
    ]
    bank = model.read_bank()
    assert set(bank.clients.tolist()) == {0, 2}
    assert bank.keys.isfinite().all()
    assert [entry["clients"] for entry in log] == [3, 3, 3]  # its weights are good


def test_a_client_that_joins_late_begins_with_the_servers_weights(data):
    options = config(statistics="local")
    model, lines, log = run_rounds(options, data, lambda app: app, lambda r: (0, 2) if r == 1 else (0, 1, 2))
    assert lines == ["round 1: 2 of 3 clients are there."]
    assert [entry["clients"] for entry in log] == [2, 3, 3]
    assert set(model.read_bank().clients.tolist()) == {0, 1, 2}


def test_a_bank_holds_no_keys_of_a_client_that_is_gone(data):
    model, *_ = run_rounds(config(), data, lambda app: app, lambda r: (0, 1, 2) if r == 1 else (0, 2))
    assert set(model.read_bank().clients.tolist()) == {0, 2}


def test_without_a_client_it_says_so_and_does_not_wait_for_ever(data):
    """flower 4476: a silent hang."""
    with pytest.raises(InputError, match="round 1: no client has connected within 0 seconds"):
        run_rounds(config(), data, lambda app: app, lambda _: ())
    with pytest.raises(InputError, match="round 1: no client's weights could be used"):
        run_rounds(config(clients=1), data, lambda app: Faulty(app, 0, raises, 1), lambda _: (0,))


def test_the_order_in_which_replies_come_changes_nothing(data, monkeypatch):
    def backwards(population, k):
        return list(reversed(population))[:k]

    one, _ = trained(config(), data)
    monkeypatch.setattr("random.sample", backwards)
    other, _ = trained(config(), data)
    assert same_bits(one.state_dict(), other.state_dict())


def test_a_client_that_replies_twice_counts_once(data):
    class Doubling(LocalGrid):
        def send_and_receive(self, messages, *, timeout=None):
            replies = list(super().send_and_receive(messages, timeout=timeout))
            return [*replies, *replies[:1]]

    options = config(bank=0)
    model, lines = make_model(options, data.shape), []
    works = works_of(options, data, model)
    grid = Doubling(client_app(lambda c: works[c.node_id]), {c: Context(0, c, {}, RecordDict(), {}) for c in range(3)})
    assert one_round(grid, model, 1, lines.append, timeout=0)["clients"] == 3
    assert len(lines) == 1
    assert lines[0].endswith("is left out, it replied twice.")


def test_a_client_that_does_not_reply_is_counted_and_told(data):
    class Losing(LocalGrid):
        def send_and_receive(self, messages, *, timeout=None):
            return list(super().send_and_receive(messages, timeout=timeout))[:-1]

    options = config()
    model, lines = make_model(options, data.shape), []
    works = works_of(options, data, model)
    grid = Losing(client_app(lambda c: works[c.node_id]), {c: Context(0, c, {}, RecordDict(), {}) for c in range(3)})
    found = one_round(grid, model, 1, lines.append, timeout=0)
    assert (found["clients"], found["clients_left_out"]) == (2, 1)
    assert lines == 2 * ["round 1: 1 of 3 clients are left out, they did not reply in time."]  # weights, then keys


def test_no_picture_is_in_a_message(data):
    """What leaves a client is weights, statistics, keys and a few numbers."""
    seen = []

    class Watching(LocalGrid):
        def send_and_receive(self, messages, *, timeout=None):
            replies = list(super().send_and_receive(messages, timeout=timeout))
            seen.extend(replies)
            return replies

    options = config(statistics="recalibrated")
    model = make_model(options, data.shape)
    works = works_of(options, data, model)
    grid = Watching(client_app(lambda c: works[c.node_id]), {c: Context(0, c, {}, RecordDict(), {}) for c in range(3)})
    one_round(grid, model, 1, print, timeout=0)
    kinds = {
        "train": {"arrays", "metrics"},
        "query.statistics": {"arrays", "metrics"},
        "query.keys": {"keys", "metrics"},
    }
    assert {message.metadata.message_type for message in seen} == set(kinds)
    known = set(model.network.state_dict()) | {"keys"}
    for message in seen:
        assert isinstance(message, Message)
        assert set(message.content) == kinds[message.metadata.message_type]
        assert all(set(record) <= known for record in message.content.array_records.values())
        assert set(message.content["metrics"]) <= {"num-examples", "client", "round", "loss", "n_candidates"}


def test_rounds_of_keys_and_statistics():
    agreed = Agreed(clients=2, rounds=5, local_epochs=1, bank=10, bank_every=2, statistics="recalibrated")
    assert [agreed.makes_keys_after(number) for number in range(1, 6)] == [True, False, True, False, False]
    assert [agreed.recalibrates_after(number) for number in range(1, 6)] == [True, False, True, False, True]
    assert not any(agreed.sends_statistics(number) for number in range(1, 6))
    assert len(np.unique(torch.cat([drawn_rows(agreed, number, 0, 50) for number in range(40)]))) == 50
