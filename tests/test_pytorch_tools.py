"""PyTorch's own tools on every loss: the compiler, `torch.func`, forward mode, tensors without values, shards."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from tellapart import (
    InfoNCE,
    LearnedTemperature,
    before,
    compat,
    edges,
    gaussian,
    info_nce,
    info_nce_terms,
    listed,
    nt_xent,
    paired,
    same,
    variants,
    within,
)
from tellapart._engine import How, crossover
from tellapart._engine.opaque import loss_as_one
from tellapart.scores import unit

N, D = 6, 4
rng = torch.Generator().manual_seed(0)
Q, K, SHARED, MINED = (
    torch.randn(shape, dtype=torch.float64, generator=rng) for shape in ((N, D), (N, D), (3, D), (N, 2, D))
)
IDS, TIMES = torch.arange(N) % 3, torch.arange(float(N))
OTHERS, NEAR = same(IDS), within(TIMES, None, 1.0)
LISTED, GIVEN = listed(torch.arange(N).flip(0)), edges(torch.tensor([[0, 1, 2], [1, 2, 3]]))
TAU = LearnedTemperature(0.2).double()
MODULE = InfoNCE(temperature=LearnedTemperature(0.3).double(), symmetric=True)
LOG_Q = torch.full((N + 3,), -2.0).double()

LOSSES = {
    "info_nce": info_nce,
    "symmetric": lambda q, k: info_nce(q, k, symmetric=True),
    "shared negatives": lambda q, k: info_nce(q, k, negatives=SHARED.to(q.device)),
    "excluded negatives": lambda q, k: info_nce(
        q, k, negatives=SHARED.to(q.device), exclude_negatives=same(IDS, torch.tensor([0, 1, 9]))
    ),
    "mined negatives, margin": lambda q, k: info_nce(q, k, negatives=MINED.to(q.device), margin=0.1),
    "dot": lambda q, k: info_nce(q, k, score="dot"),
    "sqeuclidean": lambda q, k: info_nce(q, k, score="sqeuclidean", reduction="sum"),
    "one each": lambda q, k: info_nce(q, k, reduction="none"),
    "in": lambda q, k: info_nce(q, k, positives=OTHERS, multi_positive="in"),
    "within": lambda q, k: info_nce(q, k, positives=NEAR),
    "gaussian": lambda q, k: info_nce(q, k, positives=gaussian(TIMES, None, 1.0)),
    "before": lambda q, k: info_nce(q, k, exclude=before(TIMES)),
    "listed": lambda q, k: info_nce(q, k, positives=LISTED),
    "edges": lambda q, k: info_nce(q, k, positives=GIVEN),
    "learned temperature": lambda q, k: info_nce(q, k, temperature=TAU()),
    "terms": lambda q, k: info_nce_terms(q, k).loss(),
    "nt_xent": nt_xent,
    "nt_xent of three": lambda q, k: nt_xent(q, k, q + k, negatives=SHARED.to(q.device)),
    "sup_con": lambda q, _: variants.sup_con(q, IDS),
    "sup_con, in": lambda q, k: variants.sup_con(torch.cat([q, k]), IDS.repeat(2), multi_positive="in"),
    "mil_nce": lambda q, k: variants.mil_nce(q, k, positives=OTHERS),
    "mil_nce, symmetric": lambda q, k: variants.mil_nce(q, k, positives=OTHERS, symmetric=True),
    "ranking": lambda q, k: variants.ranking(q, k, levels=[paired(), NEAR], temperatures=[0.1, 0.2]),
    "label_smoothing": lambda q, k: variants.label_smoothing(q, k, smoothing=0.1, positives=OTHERS),
    "dcl": variants.dcl,
    "dclw": variants.dclw,
    "info_loob": variants.info_loob,
    "debiased": variants.debiased,
    "hard_negatives": lambda q, k: variants.hard_negatives(q, k, beta=0.5),
    "log_q": lambda q, k: variants.log_q(q, k, LOG_Q[:N].to(q.device)),
    "robust": variants.robust,
    "sigmoid": lambda q, k: variants.sigmoid(q, k, positives=paired(), exclude=OTHERS),
    "sgns": lambda q, k: variants.sgns(q, k, negatives=SHARED.to(q.device)),
    "nce": lambda q, k: variants.nce(q, k, negatives=SHARED.to(q.device), log_noise=LOG_Q.to(q.device)),
    "of_scores": lambda q, k: variants.of_scores(q @ k.T, margin=0.1),
    "plackett_luce": lambda q, k: variants.plackett_luce(q @ k.T),
    "module": lambda q, k: MODULE(q, k),
    "lightly": compat.LightlyNTXentLoss(),
    "metric learning": lambda q, k: compat.MetricLearningNTXentLoss()(q, IDS, None, k, IDS),
    "metric learning, SupCon": lambda q, _: compat.MetricLearningSupConLoss()(q, IDS),
    "open_clip": lambda q, k: compat.OpenClipLoss()(q, k, 10.0),
    "info-nce-pytorch": lambda q, k: compat.InfoNCEPytorch()(q, k, SHARED.to(q.device)),
}
COMPILED_IN_PART = {"metric learning", "metric learning, SupCon"}  # they look whether there is a positive


def summed(name):
    return lambda *given: LOSSES[name](*given).sum()


def plain_gradients(name):
    given = Q.clone().requires_grad_(), K.clone().requires_grad_()
    return torch.autograd.grad(summed(name)(*given) + 0 * sum(x.sum() for x in given), given)


@pytest.mark.parametrize("name", LOSSES)
def test_torch_func_takes_gradients_jacobians_and_batches_of_them(name):
    loss, expected = summed(name), plain_gradients(name)
    close = torch.testing.assert_close
    close(torch.func.grad(loss, (0, 1))(Q, K), expected)
    close(torch.func.jacrev(loss)(Q, K), expected[0])
    close(torch.func.jacfwd(loss)(Q, K), expected[0])
    many = torch.stack([Q, K]), torch.stack([K, Q])
    close(torch.func.vmap(LOSSES[name])(*many), torch.stack([LOSSES[name](Q, K), LOSSES[name](K, Q)]))
    close(torch.func.vmap(torch.func.grad(loss))(*many)[0], expected[0])


@pytest.mark.parametrize("name", LOSSES)
def test_forward_mode_and_the_hessian(name):
    loss, expected = summed(name), plain_gradients(name)
    direction = torch.ones_like(Q)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(loss(forward_ad.make_dual(Q, direction), K)).tangent
    torch.testing.assert_close(tangent, expected[0].sum())
    x = Q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x, K), x, create_graph=True)
    (along,) = torch.autograd.grad(gradient.sum(), x)
    torch.testing.assert_close(torch.func.hessian(loss)(Q, K).sum((2, 3)), along)


@pytest.mark.parametrize("name", LOSSES)
def test_tensors_without_values_give_the_shape_of_the_loss(name):
    loss = LOSSES[name]
    found = loss(Q.to("meta"), K.to("meta"))
    assert (found.shape, found.dtype, found.is_meta) == (loss(Q, K).shape, torch.float64, True)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - COMPILED_IN_PART - {"edges"}))
def test_fake_tensors_too(name):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert LOSSES[name](mode.from_tensor(Q), mode.from_tensor(K)).shape == LOSSES[name](Q, K).shape


@pytest.mark.filterwarnings("ignore")  # the compiler has its own opinions
@pytest.mark.parametrize(
    "name",
    ["nt_xent", "sup_con", "mined negatives, margin", "mil_nce, symmetric", "sigmoid", "module", "metric learning"],
)
def test_the_compiler_makes_one_graph_of_a_whole_matrix(name):
    torch._dynamo.reset()
    given = Q.clone().requires_grad_(), K.clone().requires_grad_()
    compiled = torch.compile(summed(name), backend="aot_eager", fullgraph=name not in COMPILED_IN_PART)
    loss = compiled(*given)
    torch.testing.assert_close(loss, summed(name)(Q, K))
    gradients = torch.autograd.grad(loss + 0 * sum(x.sum() for x in given), given)
    torch.testing.assert_close(gradients, plain_gradients(name))


EXCLUDED = (same(IDS) | NEAR) & ~paired()
SYMMETRIC = {"positives": OTHERS & ~edges(torch.tensor([[0], [3]])), "symmetric": True, "multi_positive": "in"}
STREAMED = {
    "nt_xent": LOSSES["nt_xent"],
    "half": lambda q, k: nt_xent(q.bfloat16(), k.bfloat16(), temperature=TAU()).double(),
    "module": LOSSES["module"],
    "products, negatives": lambda q, k: info_nce(q, k, negatives=SHARED, score="dot"),
    "relations": lambda q, k: info_nce(q, k, exclude=EXCLUDED, key_bias=LOG_Q[:N], margin=0.1),
    "more": lambda q, k: info_nce(q, k, negatives=SHARED, temperature=TAU()) + info_nce(q, k.detach(), **SYMMETRIC),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", STREAMED)
def test_a_streamed_loss_is_one_operation_of_the_compilers_graph(name, monkeypatch):
    monkeypatch.setattr(crossover, "ON_CPU", 4)
    torch._dynamo.reset()
    given = Q.clone().requires_grad_(), K.clone().requires_grad_(), *TAU.parameters(), *MODULE.parameters()
    plain, compiled = (
        how(lambda q, k: 2 * STREAMED[name](2 * q, k))
        for how in (lambda loss: loss, lambda loss: torch.compile(loss, backend="aot_eager", fullgraph=True))
    )
    expected, found = (torch.autograd.grad(loss(*given[:2]), given, allow_unused=True) for loss in (plain, compiled))
    assert [x is None for x in found] == [x is None for x in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4 if name == "half" else 1e-7, atol=1e-6)


def test_a_compiler_that_says_it_exports_gets_one_operation(monkeypatch):
    """As that of torch 2.11 says at all times."""
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(loss_as_one(Q, K, {}, How(engine="tiled")), info_nce(Q, K))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["dcl", "sigmoid"])
def test_the_compiler_breaks_its_graph_where_the_loss_is_streamed(name, monkeypatch):
    monkeypatch.setattr(crossover, "ON_CPU", 4)
    torch._dynamo.reset()
    given = Q.clone().requires_grad_(), K.clone().requires_grad_()
    compiled = torch.compile(lambda q, k: 2 * LOSSES[name](2 * q, k), backend="aot_eager")
    plain = torch.autograd.grad(2 * LOSSES[name](2 * given[0], given[1]), given)
    torch.testing.assert_close(torch.autograd.grad(compiled(*given), given), plain)
    torch._dynamo.reset()
    one_graph = torch.compile(LOSSES[name], backend="aot_eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported):
        one_graph(*given)


def test_an_encoder_beside_a_loss_is_exported():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.loss = (
                nn.Linear(D, 3).double(),
                InfoNCE(temperature=LearnedTemperature(), engine="tiled"),
            )

        def forward(self, x, y):
            return self.loss(self.encoder(x), self.encoder(y))

    model = Model()
    torch.testing.assert_close(torch.export.export(model, (Q, K)).module()(Q, K), model(Q, K))


def test_a_module_is_a_function_of_its_parameters():
    parameters = dict(MODULE.named_parameters())

    def loss(given):
        return torch.func.functional_call(MODULE, given, (Q, K))

    expected = torch.autograd.grad(MODULE(Q, K), list(parameters.values()))
    torch.testing.assert_close(list(torch.func.grad(loss)(parameters).values()), list(expected))


def test_vmap_takes_labels_of_each_batch():
    labels = torch.stack([IDS, IDS.flip(0)])
    found = torch.func.vmap(variants.sup_con)(torch.stack([Q, K]), labels)
    torch.testing.assert_close(found, torch.stack([variants.sup_con(Q, labels[0]), variants.sup_con(K, labels[1])]))


def test_zero_rows_and_extreme_lengths_are_unit_vectors_when_traced():
    rows = torch.tensor([[3e-30, 4e-30], [0.0, 0.0], [3e30, 4e30]])
    found = torch.func.vmap(unit)(rows)
    torch.testing.assert_close(found, unit(rows))
    jacobian = torch.func.jacrev(unit)(rows[1:2])
    assert jacobian.isfinite().all()


def test_fsdp_shards_a_model_with_a_learned_temperature(tmp_path):
    """In one process; the mesh is of one device."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import distribute_tensor

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.loss = nn.Linear(D, 3), InfoNCE(temperature=LearnedTemperature(0.2))

        def forward(self, x, y):
            return self.loss(self.encoder(x), self.encoder(y))

    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        plain = Model()
        mesh, sharded = init_device_mesh("cpu", (1,)), copy.deepcopy(plain)
        fully_shard(sharded, mesh=mesh)
        losses = [model(Q.float(), K.float()) for model in (plain, sharded)]
        torch.testing.assert_close(*losses)
        for loss in losses:
            loss.backward()
        found = sharded.loss.temperature.log_temperature
        torch.testing.assert_close(found.grad.full_tensor(), plain.loss.temperature.log_temperature.grad)
        # Outside of its forward pass the parameter is a shard.
        assert sharded.loss.temperature().item() == pytest.approx(0.2)
        torch.testing.assert_close(
            info_nce(Q, K, temperature=distribute_tensor(torch.tensor([0.3]), mesh)),
            info_nce(Q, K, temperature=0.3),
            rtol=1e-6,
            atol=0,
        )
        with pytest.raises(TypeError, match=r"`queries` must be a tensor of this process: `.full_tensor\(\)`, or"):
            info_nce(distribute_tensor(Q, mesh), K)
    finally:
        dist.destroy_process_group()


def test_a_temperature_saved_as_a_scalar_is_loaded():
    tau = LearnedTemperature(0.5)
    assert tau.log_temperature.shape == (1,)
    tau.load_state_dict({"log_temperature": torch.tensor(0.2).log()})
    assert tau().item() == pytest.approx(0.2)
    tau.load_state_dict(LearnedTemperature(0.3).state_dict())
    assert (tau().shape, tau().item()) == ((), pytest.approx(0.3))
