"""Pixels' own decisions: what a step compares, what training learns, and what the commands do and refuse."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

import tellapart
from tellapart import InputError
from tellapart.domains.pixels import Sampler, Shown, Video, as_cells, by_encoder, encoder_of, recoloured, share_found
from tellapart.domains.pixels.measure import Asked, questions
from tellapart.runs import Gallery, load_pictures
from tellapart.systems.pixels import Config, Pixels, terms
from tests.command_line import fails, read_results, say
from tests.tiny.pixels import PIXEL_OPTIONS, moving_frames, write_video


def config(**options):
    return Config(**PIXEL_OPTIONS | {"data": "x"} | options)


def words(**options):
    return [f"--{name}={value}" for name, value in (PIXEL_OPTIONS | options).items()]


@pytest.fixture
def run(run_of):
    return tellapart.load(run_of("pixels"))


def drawn(options, seed=0):
    torch.manual_seed(seed)
    return Sampler([Video("x", moving_frames())], options).draw(
        Shown(torch.zeros(2, dtype=torch.long), torch.tensor([1, 8]))
    )


def test_the_objective_is_the_formula_of_the_document():
    """`L = −log Σ w_c p_c` by loops, of which the sum runs over all cells but those near the place."""
    options = config(window=1.5, queries=8)
    views, model = drawn(options), Pixels(options).double().eval()
    first, second = (model.encoder.head(model.encoder.blocks(model.encoder.stem(
        (x.double() / 255 - 0.45) / 0.25))) for x in (views.first, views.second))  # fmt: skip
    rows, cols = second.shape[2:]
    cells = torch.nn.functional.normalize(as_cells(second))
    losses = []
    for pair, (x, y), (u, v) in zip(views.pair.tolist(), views.points.tolist(), views.places.tolist(), strict=True):
        grid = torch.tensor([2 * x / 4 / (cols - 1) - 1, 2 * y / 4 / (rows - 1) - 1], dtype=torch.float64)
        q = torch.nn.functional.grid_sample(
            first[pair][None], grid.view(1, 1, 1, 2), align_corners=True, padding_mode="border"
        ).flatten()
        logits = cells @ torch.nn.functional.normalize(q, dim=0) / options.temperature
        u, v = min(u / 4, cols - 1), min(v / 4, rows - 1)
        inside, total = 0.0, 0.0
        for number, logit in enumerate(logits.tolist()):
            view, row, col = number // (rows * cols), number // cols % rows, number % cols
            weight = max(0, 1 - abs(col - u)) * max(0, 1 - abs(row - v)) * (view == pair)
            apart = math.hypot(col - u, row - v)
            inside += weight * math.exp(logit)
            total += math.exp(logit) * (weight > 0 or view != pair or apart > options.window)
        losses.append(-math.log(inside / total))
    model.forward = lambda _: torch.cat([first, second])
    found = terms(model, views)
    np.testing.assert_allclose(found.per_query().detach(), losses, rtol=1e-4)


def test_training_finds_points_that_the_first_weights_do_not():
    """In another texture than that which was trained on, and in other light."""
    options = config(width=16, dim=16, batch_size=4)
    model, sampler = Pixels(options), Sampler([Video("x", moving_frames(24))], options)
    torch.manual_seed(0)
    asked = [
        one._replace(b=recoloured(torch.tensor(one.b).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy())
        for gap in (5, 8)
        for one in questions(Video("y", moving_frames(12, seed=1)), gap, options)
    ]

    def share():
        return share_found(asked, by_encoder(encoder_of(model.eval())), within=3)

    before, optimizer = share(), torch.optim.AdamW(model.train().parameters(), 0.005)
    for step in range(40):
        torch.manual_seed(step)
        loss = terms(model, sampler.draw(sampler.frames(torch.randint(0, 24, (4,))))).loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.train()
    assert share() > before + 0.15


def test_held_out_frames_are_the_last_and_are_asked_for_alone(run):
    table = read_results(run.folder)
    assert [row[0] for row in table["rows"]] == ["5"]
    gallery = Gallery.load(run.folder / "gallery.parquet")
    frames = {int(name.rpartition(":")[2].split(",")[0]) for name in gallery.names}
    assert min(frames) >= 12  # of 20 frames the last 8
    assert gallery.thumbnails
    assert len(set(gallery.labels)) < len(gallery.names)


def test_points_that_are_asked_for_are_those_that_the_motion_moves():
    """On a fixed camera what stands still would be found by staying."""
    frames = moving_frames(16, width=120)
    frames[:, :, 60:] = frames[0, :, 60:]
    asked = list(questions(Video("x", frames), 6, config()))
    assert asked
    for one in asked:
        assert one.moved().min() > 5
        assert np.abs(np.median(one.moved()) - np.hypot(6, 3)) < 1
        assert one.points[:, 0].max() < 75
    assert not list(questions(Video("x", frames), 2, config()))


def test_other_videos_are_measured_whole_and_leave_the_results_as_they_are(run, tmp_path, capsys):
    other = write_video(tmp_path, moving_frames(18, seed=3))
    before = read_results(run.folder)
    code, out, _ = say(capsys, "evaluate", run.folder, "--data", other)
    assert code == 0
    assert "10 " in out
    assert read_results(run.folder) == before


def test_cells_of_a_picture_a_video_and_an_array_are_embedded_alike(run, tmp_path):
    frames = moving_frames(2)
    Image.fromarray(frames[1]).save(tmp_path / "a.png")
    film, picture, array = (run.embed(x) for x in (str(write_video(tmp_path, frames)), tmp_path / "a.png", frames[1]))
    assert film.names[0] == "moving.avi:0,0,0"
    assert film.names[-1] == "moving.avi:1,76,60"
    assert (len(film), len(picture)) == (2 * 16 * 20, 16 * 20)
    assert torch.equal(film.vectors[320:], picture.vectors)
    assert torch.equal(picture.vectors, array.vectors)


def test_a_place_is_found_in_other_frames_and_not_in_its_own(run):
    hits = run.search("2,30,30", k=30)
    assert len(hits) == 19
    assert not any(hit.name.startswith("moving.avi:2,") for hit in hits)
    assert [hit.held_out for hit in hits] == [int(hit.name.split(":")[1].split(",")[0]) >= 12 for hit in hits]
    assert run.search("moving.avi:2,30,30", k=1)[0] == hits[0]


def test_the_report_shows_places_followed_and_matches(run, visit):
    page = visit(run.report())
    shown = page.locator("#pictures img")
    assert shown.count() == 2
    assert all(shown.nth(i).evaluate("x => x.naturalWidth > 0 && x.naturalHeight > 0") for i in range(2))
    captions = page.locator("#pictures figcaption").all_inner_texts()
    assert "found again in frames 12, 13, 15, 17" in captions[0]
    assert "frame 12 are in frame 17" in captions[1]
    assert page.trouble == []


def test_pictures_that_are_damaged_are_named_and_none_are_no_mistake(run, tmp_path):
    assert load_pictures(tmp_path / "none.json") == []
    (tmp_path / "x.json").write_text('[{"png": 3}]')
    with pytest.raises(InputError, match=r"x\.json: damaged"):
        load_pictures(tmp_path / "x.json")
    assert len(load_pictures(run.folder / "pictures.json")) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("2,30", "`query` must be FRAME,X,Y, three numbers. Got '2,30'"),
        ("a,b,c", "`query` must be FRAME,X,Y, three numbers"),
        ("20,30,30", "`query` must be a frame between 0 and 19 and a place in its 80×64 pixels"),
        ("2,80,30", "`query` must be a frame between 0 and 19"),
        ("2,nan,30", "`query` must be a frame between 0 and 19"),
        ("other.avi:2,30,30", "`query` must name one video, as VIDEO:FRAME,X,Y; there are moving.avi"),
    ],
)
def test_a_query_that_is_no_place_is_one_line(run, query, message, capsys):
    assert fails(capsys, "search", run.folder, query).startswith(message)


def test_match_tells_figures_and_writes_what_it_found(run, tmp_path, capsys):
    video = run.config.data
    code, out, _ = say(capsys, "match", run.folder, f"{video}:0", f"{video}:4", "-o", tmp_path / "x.npz")
    assert code == 0
    assert "confidence ≥ 0.5" in out
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["flow"].shape == (64, 80, 2)
    found = run.match(*moving_frames(5)[[0, 4]])
    np.testing.assert_array_equal(found.flow, np.load(tmp_path / "x.npz")["flow"])
    coarse = run.match(*moving_frames(5)[[0, 4]], height=40)
    assert coarse.flow.shape == found.flow.shape
    assert not np.array_equal(coarse.flow, found.flow)
    line = fails(capsys, "match", run.folder, f"{video}:0", tmp_path / "none.png")
    assert "none.png: there is no such picture" in line
    line = fails(capsys, "match", run.folder, f"{video}:0", f"{video}:1", "-o", tmp_path / "x.jpg")
    assert "must end in .flo, .npz or .png" in line
    assert not (tmp_path / "x.jpg").exists()


def test_a_mask_is_carried_through_a_video_by_the_command_line_and_from_python(run, tmp_path, capsys):
    mask = np.zeros((64, 80), np.uint8)
    mask[20:44, 30:60] = 3
    Image.fromarray(mask).save(tmp_path / "mask.png")
    code, out, _ = say(capsys, "propagate", run.folder, run.config.data, tmp_path / "mask.png", "-o", tmp_path / "out")
    assert code == 0
    assert "Labels of 20 frames" in out
    files = sorted((tmp_path / "out").iterdir())
    labels = run.propagate(run.config.data, mask).labels
    assert len(files) == len(labels) == 20
    assert np.array_equal(np.asarray(Image.open(files[-1])), labels[-1])
    coarse = say(
        capsys,
        "propagate",
        run.folder,
        run.config.data,
        tmp_path / "mask.png",
        "-o",
        tmp_path / "x.npz",
        "--height",
        40,
    )
    assert coarse[0] == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["labels"].shape == labels.shape
        assert not np.array_equal(arrays["labels"], labels)
    line = fails(capsys, "propagate", run.folder, run.config.data, tmp_path / "mask.png", "-o", "y", "--height", 8)
    assert line.startswith("`height` must lie between 32 and 4320. Got 8")
    line = fails(capsys, "propagate", run.folder, run.config.data, tmp_path / "no.png", "-o", tmp_path / "out2")
    assert "no.png: there is no such file or folder" in line
    (tmp_path / "no.png").write_text("no picture")
    line = fails(capsys, "propagate", run.folder, run.config.data, tmp_path / "no.png", "-o", tmp_path / "out2")
    assert "no.png: no mask that can be read" in line
    assert not (tmp_path / "out2").exists()
    with pytest.raises(InputError, match=r"`mask` must be a picture file, or a uint8 array \(h, w\)"):
        run.propagate(run.config.data, mask.astype(float))
    write_video(tmp_path / "two", name="a.avi")
    write_video(tmp_path / "two", name="b.avi")
    with pytest.raises(InputError, match=r"`video` must be one video\. Got 2"):
        run.propagate(tmp_path / "two", mask)


def test_a_video_that_changed_since_is_not_taken_for_the_run_s(tmp_path, capsys):
    data = write_video(tmp_path)
    code, _, err = say(capsys, "train", "pixels", "--data", data, "--run", tmp_path / "run", *words(epochs=1))
    assert code == 0, err
    write_video(tmp_path, moving_frames(seed=9))
    assert "the data changed since the run began" in fails(capsys, "search", tmp_path / "run", "2,30,30")


@pytest.mark.parametrize(
    ("options", "frames", "message"),
    [
        ({"held_out": 0.05}, 20, "moving.avi: 20 frames, of which 1 would be held out, and each part needs 2"),
        ({}, 3, "moving.avi: 3 frames, of which 1 would be held out"),
    ],
)
def test_data_that_do_not_suffice_are_refused_in_one_line(options, frames, message, tmp_path, capsys):
    data = write_video(tmp_path, moving_frames(frames))
    line = fails(capsys, "train", "pixels", "--data", data, "--run", tmp_path / "run", *words(**options))
    assert line.startswith(message)


def test_the_share_of_a_perfect_encoder_is_one():
    """Embeddings that say where their cell is, in a frame and itself; but for the edge nothing is lost."""
    angles = torch.stack(torch.meshgrid(torch.arange(16) / 6, torch.arange(20) / 6, indexing="ij"))
    maps = torch.cat([angles.cos(), angles.sin()])[None] / 2**0.5
    encode = encoder_of(type("M", (), {"embed": lambda *_: maps})())
    (frame,) = moving_frames(1)
    points = np.random.default_rng(0).uniform(0, (79, 63), (500, 2)).astype(np.float32)
    asked = [Asked(frame, frame, points, points)]
    assert share_found(asked, by_encoder(encode)) > 0.98
