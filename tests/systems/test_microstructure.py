"""Microstructure's own decisions: which patches are positives, exact quarter turns, and what the commands do."""

import base64
import csv
import io
import re

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import tellapart
from tellapart import InputError
from tellapart.domains.micrographs import Cutter, Dataset, Patches, generate
from tellapart.runs import Gallery, Run, load_pictures
from tellapart.systems.microstructure import Config, Microstructure, positives, prepare, terms
from tests import oracle
from tests.command_line import fails, read_log, read_results, say
from tests.tiny.micrographs import MICROGRAPH_OPTIONS, few_patches, micrograph_arguments, write_micrographs


def config(**options):
    return Config(**MICROGRAPH_OPTIONS | options)


@pytest.fixture(scope="module")
def run(run_of):
    return run_of("microstructure")


@pytest.fixture(scope="module")
def dataset(run):
    return Dataset.load(config(data=str(run.parent / "data")), Run.open(run))


def test_all_patches_of_a_specimen_are_positives_and_of_no_other():
    specimen = torch.tensor([0, 1, 0, 2, 1, 0])
    found = positives(specimen).tile(slice(0, 6), slice(0, 6)).bool()
    expected = [[i != j and specimen[i] == specimen[j] for j in range(6)] for i in range(6)]
    assert found.tolist() == [[bool(x) for x in row] for row in expected]


def test_its_objective_is_the_oracles():
    torch.manual_seed(0)
    model, specimen = Microstructure(config(temperature=0.3)).eval(), torch.tensor([0, 1, 2, 3, 0, 1, 2, 2])
    cut = Patches(torch.randn(8, 32, 32), specimen)
    with torch.no_grad():
        z = model(cut.patches).double().numpy()
        got = terms(model, cut).loss().item()
    weights = positives(specimen).tile(slice(0, 8), slice(0, 8)).double().numpy()
    kept = weights.sum(1) > 0
    expected = oracle.info_nce(z, z, weights, np.eye(8, dtype=bool), temperature=0.3)
    assert kept.sum() == 7
    assert got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_exact_quarter_turns_are_exact_and_learned_ones_are_not(seed):
    torch.manual_seed(seed)
    patches = torch.randn(5, 32, 32)
    exact, learned = (Microstructure(config(quarter_turns=how, seed=seed)).eval() for how in ("exact", "learned"))
    for quarters in (1, 2, 3):
        turned = patches.rot90(quarters, (1, 2))
        assert (exact.embed(turned) - exact.embed(patches)).abs().max() < 1e-5
        assert (learned.embed(turned) - learned.embed(patches)).abs().max() > 1e-3
    torch.testing.assert_close(exact.embed(patches).norm(dim=1), torch.ones(5))


def test_exact_quarter_turns_hold_for_patches_cut_from_a_field(dataset):
    model, cutter = Microstructure(config(quarter_turns="exact")).eval(), Cutter(dataset.test, dataset.options)
    windows = cutter.windows(dataset.blocks(torch.arange(12)).places()._replace(region=torch.arange(12) % 3))
    upright, turned = (cutter.cut(windows, torch.full((12,), angle)) for angle in (0.0, torch.pi / 2))
    assert (model.embed(upright) - model.embed(turned)).abs().max() < 1e-4


@pytest.mark.parametrize("precision", [torch.float32, torch.float64, torch.bfloat16])
def test_every_parameter_gets_a_gradient_in_every_precision(precision, dataset):
    torch.manual_seed(0)
    model = Microstructure(config()).to(precision)
    cut = prepare(model, dataset.blocks(torch.arange(16)))
    terms(model, cut).loss().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.encoder.parameters())


def test_training_reduces_the_loss(run):
    loss = [entry["loss"] for entry in read_log(run)]
    assert np.mean(loss[-6:]) < np.mean(loss[:4]) - 0.2
    assert "seconds_views" in read_log(run)[0]


def test_its_table_holds_simple_features_and_networks_against_chance(run):
    table = read_results(run)
    assert [row[0] for row in table["rows"]] == ["chance", "raw pixels", "radial spectrum", "untrained", "trained"]
    assert table["header"][1:] == ["5-NN", "NMI", "ARI", "turned by 45°", "turned by 90°"]
    chance, pixels, spectrum, _, trained = table["rows"]
    assert chance[1] == pytest.approx(1 / 3)
    assert trained[1] > 0.85
    assert pixels[4] > 0.8
    assert spectrum[5] < 1e-3
    assert trained[4] < 0.6


def test_whole_specimens_are_held_out_of_every_label(dataset):
    parts = [{region.field.specimen for region in part} for part in (dataset.training, dataset.test)]
    assert not parts[0] & parts[1]
    assert [len(part) for part in parts] == [6, 3]
    for part in parts:
        assert {name.split("/")[0] for name in part} == {"fine", "lamellar", "porous"}


def test_the_blocks_of_an_epoch_cover_every_training_region_and_places_lie_in_them(dataset):
    n = int(dataset.n_blocks.prod(dim=1).sum())
    assert n == 9 * len(dataset.training)
    found = dataset.blocks(torch.arange(n))
    assert found.region.bincount().tolist() == [9] * len(dataset.training)
    share = found.places().share
    assert ((found.low <= share) & (share <= found.high)).all()
    assert torch.unique(torch.cat([found.region[:, None], found.low], dim=1), dim=0).shape[0] == n


def test_the_right_part_of_every_field_can_be_held_out(run, tmp_path):
    dataset = Dataset.load(config(held_out_by="region"), Run(tmp_path), str(run.parent / "data"))
    for seen, held_out in zip(dataset.training, dataset.test, strict=True):
        assert (seen.left, seen.right, held_out.left, held_out.right) == (0, 63, 63, 96)
        assert seen.field is held_out.field
    assert dataset.has_labels()


def test_without_labels_a_patch_is_to_find_its_specimen(capsys, run, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for file in (run.parent / "data").rglob("*.tif"):
        (data / f"{file.parent.name}-{file.name}").write_bytes(file.read_bytes())
    words = micrograph_arguments(data=data, epochs=1)
    with few_patches():
        code, out, err = say(capsys, "train", "microstructure", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "held-out patches, each by another of its specimen" in out
    assert [row[0] for row in read_results(tmp_path / "run")["rows"]][-2:] == ["untrained", "trained"]
    assert Gallery.load(tmp_path / "run" / "gallery.parquet").labels is None


def test_fields_by_themselves_are_labels_if_parts_of_them_are_held_out(capsys, tmp_path):
    for kind in ("fine", "lamellar"):
        Image.fromarray((150 * generate(kind, 128, 0).image).clip(0, 255).astype(np.uint8)).save(
            tmp_path / f"{kind}.png"
        )
    words = micrograph_arguments(data=tmp_path, epochs=1, batch_size=16, held_out_by="region")
    with few_patches():
        code, out, err = say(capsys, "train", "microstructure", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "Which of 2 labels a patch has" in out


def test_the_gallery_holds_patches_that_are_where_their_names_say(run, dataset):
    gallery = Gallery.load(run / "gallery.parquet")
    model = Microstructure(config())
    Run.open(run).load_weights(model)
    fields = {field.name: field for field in dataset.micrographs.fields}
    for row in range(0, len(gallery.names), 11):
        name, _, place = gallery.names[row].partition("@")
        x, y = map(int, place.split(","))
        assert gallery.labels[row] == name.split("/")[0]
        pixels = fields[name].pixels[y : y + 32, x : x + 32]
        alone = tellapart.load(run).embed(np.asarray(pixels)).vectors[0]
        torch.testing.assert_close(gallery.vectors[row], alone, rtol=0, atol=1e-4)
    assert sum(png is not None for png in gallery.thumbnails) == gallery.held_out.sum()


def test_embed_covers_fields_of_any_size_from_files_and_arrays(capsys, run, tmp_path):
    levels = (40_000 * generate("fine", 100, 9).image.clip(0, 1.5)).astype(np.uint16)[:, :70]
    tifffile.imwrite(tmp_path / "new.tif", levels, photometric="minisblack", compression="zlib")
    code, out, err = say(capsys, "embed", run, tmp_path / "new.tif", "-o", tmp_path / "out.npz")
    assert code == 0, err
    assert "12 embeddings of length 16" in out
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert file["name"].tolist() == [f"new.tif@{x},{y}" for y in (0, 23, 45, 68) for x in (0, 19, 38)]
        assert set(file["kind"]) == {"place"}
        vectors = file["embedding"]
    trained = tellapart.load(run)
    for given in (levels, torch.from_numpy(levels.astype(np.float32)), [levels], [str(tmp_path / "new.tif")]):
        np.testing.assert_allclose(np.asarray(trained.embed(given)), vectors, atol=1e-5)
    assert len(trained.embed([levels, levels[:32, :32]])) == 13


def test_search_finds_the_kind_of_a_new_patch(capsys, run, tmp_path):
    image = generate("lamellar", 64, 77).image
    Image.fromarray((150 * image).clip(0, 255).astype(np.uint8)).save(tmp_path / "patch.png")
    code, out, err = say(capsys, "search", run, tmp_path / "patch.png", "-k", "3")
    assert code == 0, err
    title, header, *rows = out.splitlines()
    assert title.startswith("Places for")
    assert header.split() == ["place", "score", "label"]
    assert all("lamellar/" in row for row in rows)
    named = tellapart.load(run).search("fine/0.tif@0,0", k=1)[0]
    assert (named.name, named.label) == ("fine/0.tif@0,0", "fine")
    assert named.score == pytest.approx(1, abs=1e-5)


def test_label_images_are_drawn_and_trained_on(capsys, tmp_path):
    for kind in ("fine", "coarse", "elongated"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for seed in range(2):
            grains = generate(kind, 96, seed).grains.astype(np.uint16)
            tifffile.imwrite(tmp_path / "data" / kind / f"{seed}.tif", grains, photometric="minisblack")
    words = micrograph_arguments(data=tmp_path / "data", content="grains", epochs=4)
    with few_patches():
        code, _, err = say(capsys, "train", "microstructure", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert read_results(tmp_path / "run")["rows"][-1][1] > 0.6


def test_micrometres_are_brought_to_one_size(tmp_path):
    """A field taken at half the magnification has half as many patches, and is not taken for a finer structure."""
    for name, step in (("a", 1), ("b", 2)):
        for seed in range(2):
            pixels = generate("coarse", 256, seed).image[::step, ::step]
            how = {"resolution": (20_000 / step, 20_000 / step), "resolutionunit": "CENTIMETER"}
            (tmp_path / name).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / name / f"{seed}.tif", pixels, photometric="minisblack", **how)
    dataset = Dataset.load(config(pixel_size=1.0), Run(tmp_path / "run"), str(tmp_path))
    assert {region.field.label: region.scale for region in dataset.training} == pytest.approx({"a": 2.0, "b": 1.0})
    assert dataset.n_blocks.tolist() == [[4, 4]] * 2


def test_mistakes_end_with_code_2_and_one_line(capsys, run, tmp_path):
    data, random = write_micrographs(tmp_path / "data", n=1), np.random.default_rng(0).random
    tifffile.imwrite(tmp_path / "single.tif", random((99, 99)), photometric="minisblack")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 and no more")
    for options, message in [
        ({"data": tmp_path / "nowhere"}, "there is no such file or folder"),
        ({"data": tmp_path / "broken.tif"}, "broken.tif: cannot read the TIFF"),
        ({"data": data}, "3 specimens, too few to train on two and to hold two out"),
        ({"data": tmp_path / "single.tif", "held_out_by": "region"}, "a single specimen"),
        ({"data": data, "held_out_by": "region", "held_out": 0.1}, "too narrow for a patch of 32 on both sides"),
        ({"data": data, "patch": 128}, "no micrograph is as large as a patch, 128 pixels"),
        ({"data": data, "pixel_size": 0.5}, "does not tell the size of its pixels"),
        ({"seed": 2**40}, f"`seed` must lie between 0 and 2^32 - 1. Got {2**40}."),
    ]:
        words = micrograph_arguments(**{"data": data} | options)
        assert message in fails(capsys, "train", "microstructure", "--run", tmp_path / "run", *words)
    for query, message in [
        ("red fruit", "neither a picture file nor the name of a patch of this run"),
        (tmp_path / "broken.tif", "cannot read the TIFF"),
    ]:
        assert message in fails(capsys, "search", run, query)
    for given, message in [
        (np.zeros((64, 64)), "all pixels have the value 0"),
        (np.full((64, 64), np.inf), "not finite"),
        (random((20, 64)), "smaller than a patch of 32 pixels"),
        (random((64, 64, 7)), "Give each page by itself"),
        ([random((64, 64)), 3], "`x` must be a file, a folder, an array"),
        (7, "`x` must be a file, a folder, an array"),
    ]:
        with pytest.raises(InputError, match=message):
            tellapart.load(run).embed(given)


def half_and_half(side=128):
    """A field that is lamellar on the left and porous on the right, of the same mean and contrast."""
    left, right = (generate(kind, side, 50).image for kind in ("lamellar", "porous"))
    left, right = ((image - image.mean()) / image.std() for image in (left, right))
    return (30_000 + 6_000 * np.hstack([left, right])).clip(0, 2**16 - 1).astype(np.uint16)


def test_cluster_tells_the_halves_of_a_field_apart_and_colours_them(capsys, run, tmp_path):
    tifffile.imwrite(tmp_path / "both.tif", half_and_half(), photometric="minisblack")
    for output in ("groups.csv", "groups.png"):
        words = ("cluster", run, tmp_path / "both.tif", "-n", "2", "-o", tmp_path / output)
        code, out, err = say(capsys, *words)
        assert code == 0, err
        assert "128 places of 1 micrograph in groups" in out
    with (tmp_path / "groups.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 128
    at = [int(row["place"].partition("@")[2].split(",")[0]) for row in rows]
    groups = np.array([row["group"] for row in rows])
    sides = [set(groups[part].tolist()) for part in (np.array(at) < 90, np.array(at) > 135)]
    assert [len(side) for side in sides] == [1, 1]
    assert sides[0] != sides[1]
    colours = np.asarray(Image.open(tmp_path / "groups.png")).astype(int)
    assert colours.shape == (128, 256, 3)
    hues = [(colours[:, part, 0] - colours[:, part, 2]).mean(axis=1) for part in (slice(0, 100), slice(156, 256))]
    assert max(hues[0].max(), hues[1].max()) > 0 > min(hues[0].min(), hues[1].min())
    assert (np.sign(hues[0]) == np.sign(hues[0][0])).all()
    assert np.sign(hues[0][0]) != np.sign(hues[1][0])


def test_groups_are_found_if_their_number_is_not_given(run):
    found = tellapart.load(run).cluster(half_and_half())
    rows = found.table().rows
    assert sum(row[1] for row in rows) == len(found.names) == 128
    named = [row for row in rows if row[0] != "in no group"]
    assert len(named) >= 2
    assert [row[1] for row in named] == sorted((row[1] for row in named), reverse=True)


def test_mistakes_of_cluster_are_named(capsys, run, tmp_path):
    data = run.parent / "data"
    for words, message in [
        ((run, data, "-o", tmp_path / "x.png"), "a picture shows one micrograph, not 12. Name one, or a .csv."),
        ((run, data / "fine" / "0.tif", "-o", tmp_path / "x.npz"), "must end in .csv, .parquet or .png"),
        (
            (run, data / "fine" / "0.tif", "-n", "99"),
            "`n` (--groups) must be at most 36, the number of places. Got 99.",
        ),
        ((run, data / "fine" / "0.tif", "-n", "0"), "`n` must be at least 1. Got 0."),
    ]:
        assert message in fails(capsys, "cluster", *words)
    assert not list(tmp_path.iterdir())


def test_the_report_shows_a_held_out_micrograph_of_each_label_in_colours(run, dataset):
    shown = load_pictures(run / "pictures.json")
    held_out = {region.field.name: region.field.label for region in dataset.test}
    assert [held_out[picture.caption.partition(", each")[0]] for picture in shown] == ["fine", "lamellar", "porous"]
    page = (run / "report.html").read_text()
    drawn = re.findall(r'<img src="data:image/webp;base64,(.*?)" alt=""><figcaption>(.*?)</figcaption>', page)
    assert [caption for _, caption in drawn] == [picture.caption.partition(", each")[0] for picture in shown]
    assert page.count("ach place in the colour of its group") == 1  # not below each of them
    for picture, (source, _) in zip(shown, drawn, strict=True):
        kept, seen = (np.asarray(Image.open(io.BytesIO(data))) for data in (picture.png, base64.b64decode(source)))
        assert seen.shape == (96, 96, 3)
        assert (seen == kept).all()
