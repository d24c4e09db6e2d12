"""What only a GPU can show of its kernels: that a step never waits, can be captured, and repeats its bits."""

import pytest
import torch

from tellapart import info_nce, info_nce_terms, paired, same

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
    pytest.mark.filterwarnings("ignore:The AccumulateGrad node's stream does not match"),
]
LINE_UPS = {
    "symmetric": {"symmetric": True},
    "negatives": {"negatives": torch.linspace(-1, 1, 300 * 128).view(300, 128)},
    "labels": {"positives": same(torch.arange(2000) % 50)},
}


@pytest.fixture(params=["a number", "learned"])
def temperature(request):
    return 0.07 if request.param == "a number" else torch.tensor(0.07, device="cuda", requires_grad=True)


@pytest.fixture(params=LINE_UPS)
def line_up(request):
    """Options of a loss; what stands on the card in a training does so here."""
    given = dict(LINE_UPS[request.param])
    if "negatives" in given:
        given["negatives"] = given["negatives"].cuda()
    if "positives" in given:
        given["positives"] = same(torch.arange(2000, device="cuda") % 50)
    return given


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16], ids=str)
def step(request, temperature, line_up):
    """A loss and its gradients, once its kernels are compiled."""
    if "positives" in line_up and request.param == torch.float16 and "bits" in request.node.name:
        pytest.skip("PyTorch adds up its positives by index, in an order that changes")
    queries, keys = (torch.randn(2000, 128, device="cuda", dtype=request.param, requires_grad=True) for _ in range(2))
    if "negatives" in line_up:
        line_up["negatives"] = line_up["negatives"].to(request.param)

    def taken():
        loss = info_nce(queries, keys, engine="tiled", temperature=temperature, **line_up)
        learned = [temperature] if isinstance(temperature, torch.Tensor) else []
        return [loss.detach(), *torch.autograd.grad(loss, (queries, keys, *learned))]

    taken()
    return taken


def test_a_step_never_waits_for_the_card(step):
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_terms_are_read_without_waiting_and_are_those_of_float64(line_up, temperature):
    queries, keys = (torch.randn(2000, 128, device="cuda", requires_grad=True) for _ in range(2))
    found = []
    for dtype, engine in ((torch.float32, "tiled"), (torch.float64, "dense")):
        own = [x.detach().to(dtype).requires_grad_() for x in (queries, keys)]
        given = {x: y.to(dtype) if isinstance(y, torch.Tensor) else y for x, y in line_up.items()}

        def taken(own=own, given=given, engine=engine):
            terms = info_nce_terms(*own, engine=engine, temperature=temperature, **given)
            gradients = torch.autograd.grad(terms.loss(), own)
            with torch.no_grad():
                return [*gradients, terms.accuracy(), terms.positive, terms.log_partition, terms.top_negative]

        taken()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if engine == "tiled" else "default")
        try:
            found.append(taken())
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for one, other in zip(*found, strict=True):
        assert (one.double() - other).norm() <= 1e-4 * other.double().norm()


def test_a_graph_of_a_step_gives_the_same_bits(step):
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    torch.cuda.synchronize()
    for found, expected in zip(captured, step(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_step_repeats_its_bits(step):
    for one, other in zip(step(), step(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_repeated_captions_on_the_card_are_left_out():
    """Ids on the card, and places that are nowhere."""
    queries, keys = (torch.randn(1500, 64, device="cuda", requires_grad=True) for _ in range(2))
    again = same(torch.arange(1500, device="cuda") // 2) & ~paired()
    expected = info_nce(queries.double(), keys.double(), exclude=again, engine="dense")
    found = info_nce(queries, keys, exclude=again, engine="tiled")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
