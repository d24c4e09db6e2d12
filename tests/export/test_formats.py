"""Exported runs: what others read gives the run's vectors, and nothing in it is a pickle or a path of this machine."""

import json
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from safetensors.torch import load_file

import tellapart
from tellapart import InputError
from tellapart.systems import NAMES, load
from tests.command_line import fails, say
from tests.harness import SYSTEMS
from tests.tiny.pictures import patterns
from tests.tiny.sentences import translations

EMBEDDING = [name for name in SYSTEMS if load(name.partition(",")[0]).embed is not None]


def _traced():
    """A system of each kind of encoders; behind a comma stand other ones."""
    kinds = {}
    for name in SYSTEMS:
        system, _, rest = name.partition(",")
        if load(system).encoders is not None:
            kinds.setdefault((load(system).encoders, rest), name)
    return list(kinds.values())


TRACED = _traced()


def items_for(kind, encoder):
    """Other items than those of the example, and more of them."""
    if kind == "picture":
        return patterns(5, seed=3)[0] if "3," in encoder.inputs["pictures"] else patterns(5, seed=3)[0][..., 0]
    if kind == "read":
        return ["ACGTNACCATTGACC" * n for n in (1, 4, 9)]
    return [*(row[0] for row in translations(4)), "a", "red circle, and more words than others have"]


def reference(run, kind, encoder):
    return np.asarray(run.embed(items_for(kind, encoder)))


@pytest.mark.parametrize("name", EMBEDDING)
def test_a_folder_of_the_hub_is_loaded_and_gives_the_same_bits(name, run_of, tmp_path):
    run = tellapart.load(run_of(name))
    said = run.export(tmp_path / "out", format="hub")
    assert "tellapart.load" in said
    made = tellapart.load(tmp_path / "out")
    assert (made.system, made.abilities) == (run.system, run.abilities)
    with SYSTEMS[name].small():
        one, other = (each.embed(run.config.data) for each in (run, made))
    assert one.names == other.names
    torch.testing.assert_close(one.vectors, other.vectors, rtol=0, atol=0)
    assert made.results == run.results
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert weights.keys() == run.model.state_dict().keys()
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    for file in files:
        assert not zipfile.is_zipfile(file), "as pickles of torch are"
        assert str(run.folder.parent).encode() not in file.read_bytes(), f"{file}: names a folder of this machine"
    assert {"README.md", "config.json", "model.safetensors"} <= {file.name for file in files}
    made.export(tmp_path / "again", format="hub")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == json.loads(
        (tmp_path / "out" / "config.json").read_text()
    )


def test_the_card_says_what_it_is_how_it_is_used_and_what_was_found(trained, tmp_path):
    run = tellapart.load(trained)
    run.export(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {"library_name": "tellapart", "tags": ["contrastive-learning", "infonce", "clip"]}
    assert "Train picture and text encoders to find each other." in body
    assert run.results.title in body
    assert "| picture → text | chance |" in body
    assert "| picture_width | 4 |" in body
    with pytest.raises(InputError, match=r"gallery.parquet"):
        tellapart.load(tmp_path / "out").search("red circle")


@pytest.mark.parametrize("name", TRACED)
def test_onnxruntime_gives_the_encoders_vectors_for_any_number_and_length(name, run_of, tmp_path):
    run = tellapart.load(run_of(name))
    run.export(tmp_path / "out", format="onnx")
    told = json.loads((tmp_path / "out" / "inputs.json").read_text())
    encoders = run.encoders()
    assert set(told["programs"]) == {f"{kind}.onnx" for kind in encoders}
    for kind, encoder in encoders.items():
        session = onnxruntime.InferenceSession(tmp_path / "out" / f"{kind}.onnx", providers=["CPUExecutionProvider"])
        tensors = dict(zip(encoder.inputs, encoder.read(items_for(kind, encoder)), strict=True))
        (found,) = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
        np.testing.assert_allclose(found, reference(run, kind, encoder), atol=1e-4)
        (one,) = session.run(None, {name: tensor[:1].numpy() for name, tensor in tensors.items()})
        np.testing.assert_allclose(one, found[:1], atol=1e-4)


@pytest.mark.parametrize("name", ["simclr", "clip", "genomics", "bilingual, transformer"])
def test_a_program_of_torch_gives_the_encoders_vectors(name, run_of, tmp_path):
    run = tellapart.load(run_of(name))
    run.export(tmp_path / "out", format="torch")
    for kind, encoder in run.encoders().items():
        program = torch.export.load(tmp_path / "out" / f"{kind}.pt2").module()
        found = program(*encoder.read(items_for(kind, encoder))).detach().numpy()
        np.testing.assert_allclose(found, reference(run, kind, encoder), atol=1e-5)


def test_the_command_writes_in_one_step_and_says_what_is_wrong(capsys, trained, run_of, tmp_path):
    code, out, _ = say(capsys, "export", trained, tmp_path / "out", "--format", "hub")
    assert (code, out) == (
        0,
        f"{tmp_path / 'out'}: weights, options and a model card, which tellapart.load('{tmp_path / 'out'}') reads\n",
    )
    for words, message in (
        ((trained, tmp_path / "out"), "exists and is not an empty folder"),
        (
            (trained, tmp_path / "x", "--format", "pdf"),
            "`format` must be one of those of clip: hub, torch, onnx, sentence-transformers. Got 'pdf'.",
        ),
        (
            (run_of("graph"), tmp_path / "x", "--format", "onnx"),
            "`format` must be one of those of graph: hub. Got 'onnx'.",
        ),
        (
            (run_of("simclr"), tmp_path / "x", "--format", "sentence-transformers"),
            "simclr embeds pictures, and no texts",
        ),
    ):
        assert message in fails(capsys, "export", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_export_leaves_nothing(trained, tmp_path, monkeypatch):
    from tellapart.export import programs

    monkeypatch.setattr(programs, "_TOLERANCE", -1.0)
    with pytest.raises(InputError, match="onnxruntime's vectors differ by"):
        tellapart.load(trained).export(tmp_path / "out", format="onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_system_that_embeds_exports_and_its_own_format_comes_first(name):
    system = load(name)
    formats = list(system.export or {})
    assert ("hub" in formats) == (system.embed is not None)
    assert formats[:1] == {"dpo": ["transformers"], "word2vec": ["word2vec"]}.get(name, formats[:1])
