"""Which kernels compute a block: by device, by option, and what is told where Triton cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tellapart import InputError, dense, info_nce, listed, options, paired, same
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import choice, triton_ends, triton_launch, triton_tiles
from tellapart._engine.kernels.choice import kernel_for
from tellapart._engine.kernels.grid import tiling
from tellapart._engine.kernels.interface import Block
from tellapart._engine.kernels.triton_plan import Plan
from tellapart.negatives import guided
from tests._engine.kernels.compiled import CARDS, KERNELS, LOSSES
from tests._engine.kernels.triton_here import needs_triton, vectors

ROOT = Path(__file__).parents[3]


def block(kernels="torch", dtype=torch.float32, device="cpu"):
    x = torch.ones(2, 1, dtype=dtype, device=device)
    return Block(x, x, 1.0, Candidates(2, 2, 2), "exp", tiling(), kernels=kernels)


def test_blocks_are_computed_by_torch_unless_triton_is_asked_for():
    assert kernel_for(block()).name == "torch_tiles"


@needs_triton
def test_what_is_asked_for_computes_forward_and_backward(monkeypatch):
    done = []

    class Noted(triton_tiles.TritonTiles):
        def forward(self, *args, **how):
            done.append("forward")
            return super().forward(*args, **how)

        def backward(self, *args, **how):
            done.append("backward")
            return super().backward(*args, **how)

    monkeypatch.setattr(choice, "KERNELS", [Noted(), choice.KERNELS[-1]])
    x, y = vectors(1, 5, 3), vectors(2, 5, 3)
    how = {"positives": listed(torch.arange(5)), "engine": "tiled"}
    with options(kernels="triton"):
        loss = info_nce(x, y, **how)
        with options(kernels="torch"):
            info_nce(x, y, **how).backward()
    loss.backward()  # as the forward pass was, though the option is no longer set
    info_nce(x, y, **how).backward()
    assert done == ["forward", "backward"]


@needs_triton
def test_a_given_matrix_falls_back_to_torch_and_the_reason_is_logged_once(caplog):
    x, y = vectors(1, 5, 3), vectors(2, 5, 3)
    exclude = dense(torch.eye(5).flip(0) > 0)
    choice._say.cache_clear()
    with caplog.at_level("DEBUG", logger="tellapart"):
        with options(kernels="triton"):
            found = info_nce(x, y, exclude=exclude, engine="tiled")
        torch.testing.assert_close(found, info_nce(x, y, exclude=exclude, engine="dense"))
    assert [record.message for record in caplog.records] == [
        "triton_tiles: a given matrix is read from memory, tile by tile"
    ]


@needs_triton
def test_negatives_that_a_guide_leaves_out_need_no_plain_tiles(caplog):
    x, y, further = (vectors(seed, 20, 3) for seed in (1, 2, 3))
    left_out = guided(vectors(4, 20, 5), vectors(5, 20, 5), negatives=vectors(6, 20, 5), margin=0.3)
    how = {"negatives": further, "exclude_negatives": left_out, "exclude": same(torch.arange(20) // 2) & ~paired()}
    choice._say.cache_clear()
    with caplog.at_level("DEBUG", logger="tellapart"), options(kernels="triton"):
        found = torch.autograd.grad(info_nce(x, y, engine="tiled", **how), (x, y, further))
    expected = torch.autograd.grad(info_nce(x, y, engine="dense", **how), (x, y, further))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert not caplog.records


@needs_triton
def test_float64_is_left_to_torch():
    assert kernel_for(block("triton")).name == "triton_tiles"
    assert kernel_for(block("triton", torch.float64)).name == "torch_tiles"


def test_devices_without_triton_are_refused_with_the_reason(monkeypatch):
    triton_tiles.unfit.cache_clear()
    monkeypatch.setattr(triton_tiles, "find_spec", lambda _: None)
    assert triton_tiles.TritonTiles().supports(block()) == "Triton is not installed"
    triton_tiles.unfit.cache_clear()
    monkeypatch.setattr(triton_tiles, "find_spec", lambda _: object())
    monkeypatch.setattr(triton_tiles, "is_interpreted", lambda: False)
    assert "TRITON_INTERPRET" in triton_tiles.TritonTiles().supports(block())
    triton_tiles.unfit.cache_clear()


def test_unknown_kernels_are_refused():
    with (
        pytest.raises(ValueError, match=r"`kernels` must be one of 'auto', 'torch', 'triton'\. Got 'cuda'\."),
        options(kernels="cuda"),
    ):
        pass


def test_who_asks_for_triton_where_it_is_missing_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr("tellapart.errors.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r'not installed: pip install "triton>=3\.7"'), options(kernels="triton"):
        pass


@needs_triton
def test_options_inside_others_are_those_of_outside_afterwards():
    from tellapart.errors import kernel_set, memory_budget

    with options(kernels="triton", memory_budget=5):
        with options(memory_budget=6):
            assert (kernel_set(), memory_budget()) == ("triton", 6)
        assert (kernel_set(), memory_budget()) == ("triton", 5)
    assert kernel_set() == "auto"


def test_neither_importing_the_package_nor_a_loss_on_a_processor_imports_triton():
    program = """
import sys, torch
before = "triton" in sys.modules
import tellapart
tellapart.info_nce(torch.randn(8, 4), torch.randn(8, 4), engine="tiled")
assert before or "triton" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_stages_are_as_many_as_shared_memory_holds(monkeypatch):
    sizes = triton_launch.Sizes(128, 128, 64, 4, 3)  # 32 KiB a stage in half precision
    for room, stages in ((232448, 3), (101376, 3), (90000, 2), (10000, 1)):
        monkeypatch.setattr(triton_launch, "chip", lambda _, room=room: triton_launch.Chip(100, room, "shared memory"))
        assert sizes.fitting(torch.device("cpu"), 2).stages == stages


@needs_triton
@pytest.mark.parametrize("card", CARDS)
def test_kernels_compile_for_a_gpu_that_is_not_here_and_fit_into_its_memory(card, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, "-m", "tests._engine.kernels.compiled", card]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= {*(loss.__name__ for loss in LOSSES[card]), *KERNELS}


@needs_triton
def test_a_kernel_that_does_not_run_says_what_to_do():
    from triton.runtime.errors import OutOfResources

    class Greedy:
        __name__ = "rows_kernel"

        def __getitem__(self, grid):
            raise OutOfResources(832, 512, "tensor memory")

    must = (
        r"`rows_kernel` here \(OutOfResources: out of resource: tensor memory.*tellapart.options\(kernels=\"torch\"\)"
    )
    with pytest.raises(RuntimeError, match=must):
        Plan().launch("rows", (), lambda: (Greedy(), (1,), {}, {}))


@needs_triton
def test_where_triton_cannot_compile_a_warning_says_so(monkeypatch, caplog):
    assert triton_tiles._fails(torch.device("cpu")) is None

    class Broken:
        def __getitem__(self, grid):
            raise RuntimeError("Failed to find C compiler.\nPlease specify one.")

    monkeypatch.setattr(triton_ends, "trial_kernel", Broken())
    reason = triton_tiles._fails(torch.device("cpu"))
    assert reason == "Triton compiles nothing here (RuntimeError: Failed to find C compiler.)"
    assert reason in caplog.text
