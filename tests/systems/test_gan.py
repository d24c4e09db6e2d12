"""GAN: the pairing loss, its penalty, its optimum, what it draws and saves, and wrong input."""

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image

import tellapart
from tellapart import same
from tellapart.domains.generated import MIXTURES, Players, as_shades, kl_bound, picture_critic, with_gradient
from tellapart.domains.pictures import load_pictures
from tellapart.systems import gan
from tests.command_line import fails, say
from tests.tiny import pictures
from tests.tiny.generated import POINT_OPTIONS, short_judge

GRID = MIXTURES["grid-25"]


@pytest.fixture(scope="module")
def points(run_of):
    return run_of("gan")


@pytest.fixture(scope="module")
def shades(run_of):
    return run_of("gan, pictures")


def config(**options):
    return gan.Config(**{"data": "grid-25"} | options)


def scores(n=7, d=1, seed=0):
    """What a critic says of n real and n generated examples."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=random, dtype=torch.float64) for _ in range(2)]


def test_with_one_negative_both_losses_are_softplus_of_the_difference():
    real, made = scores()
    for loss, gap in ((gan.critic_loss, made - real), (gan.generator_loss, real - made)):
        expected = torch.nn.functional.softplus(gap).mean()
        torch.testing.assert_close(loss(config(), real, made), expected, rtol=0, atol=1e-12)
        single = loss(config(), real.float(), made.float())
        torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("negatives", "k"), [(3, 3), (0, 7), (99, 7)])
def test_with_more_negatives_it_is_the_softmax_over_the_next_ones_of_the_batch(negatives, k):
    real, made = scores()
    expected = 0.0
    for i, own in enumerate(real[:, 0].tolist()):
        others = [made[(i + j) % 7, 0].item() for j in range(k)]
        expected += math.log(sum(math.exp(x) for x in [own, *others])) - own
    assert gan.critic_loss(config(negatives=negatives), real, made).item() == pytest.approx(expected / 7, abs=1e-12)


def test_embeddings_are_compared_with_both_sides_but_not_with_themselves():
    real, made = scores(4, 3)
    told = config(compared="embeddings", temperature=0.5)

    def by_loops(own, others, attracted):
        unit = torch.nn.functional.normalize(torch.cat([own, others]), dim=1)
        losses = []
        for i in range(4):
            s = (unit @ unit[i] / 0.5).exp()
            own_side = sum(s[j] for j in range(4) if j != i)
            positive = own_side if attracted == "own" else s[4:].sum()
            losses.append(-torch.log(positive / (own_side + s[4:].sum())))
        return torch.stack(losses).mean()

    torch.testing.assert_close(gan.critic_loss(told, real, made), by_loops(real, made, "own"))
    torch.testing.assert_close(gan.generator_loss(told, real, made), by_loops(made, real, "others"))
    literal = config(compared="embeddings", temperature=0.5, generator="minimax")
    torch.testing.assert_close(gan.generator_loss(literal, real, made), -by_loops(real, made, "own"))


def test_the_penalty_is_the_squared_gradient_of_known_functions():
    x = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    said, square = with_gradient(lambda y: (y**2).sum(dim=1, keepdim=True), x)
    torch.testing.assert_close(said, (x**2).sum(dim=1, keepdim=True))
    torch.testing.assert_close(square.double(), (4 * x**2).sum(dim=1), rtol=1e-6, atol=0)
    _, of_sine = with_gradient(lambda y: torch.sin(y[:, :1]) + 5, x)
    torch.testing.assert_close(of_sine.double(), x[:, 0].cos() ** 2, rtol=1e-6, atol=1e-12)


def test_the_penalty_of_several_outputs_is_the_squared_jacobian_on_average():
    matrix = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = [with_gradient(lambda y: y @ matrix.T, torch.zeros(1, 3))[1].item() for _ in range(400)]
    assert np.mean(found) == pytest.approx(matrix.square().sum().item(), rel=4 * np.std(found) / np.mean(found) / 20)


def test_the_penalty_has_a_gradient_by_the_critics_weights():
    weight = torch.tensor([[2.0, -1.0]], requires_grad=True)
    _, square = with_gradient(lambda y: y @ weight.T, torch.ones(5, 2))
    torch.testing.assert_close(torch.autograd.grad(square.mean(), weight)[0], 2 * weight.detach())


@pytest.mark.parametrize("negatives", [1, 8])
def test_the_best_score_is_the_log_density_ratio_up_to_a_constant(negatives):
    """Of two discrete densities, with a score of its own for each of four values."""
    p, g = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    random = torch.Generator().manual_seed(0)
    score = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([score], lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 600)
    for _ in range(600):
        real, made = (torch.multinomial(density, 1000, replacement=True, generator=random) for density in (p, g))
        loss = gan.critic_loss(config(negatives=negatives), score[real, None], score[made, None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    found, best = score.detach(), (p / g).log()
    torch.testing.assert_close(found - found.mean(), best - best.mean(), rtol=0, atol=0.05)


def test_the_bound_is_below_the_divergence_and_close_to_it_at_the_best_score():
    random = torch.Generator().manual_seed(0)
    real, made = 1 + torch.randn(4000, generator=random), torch.randn(4000, generator=random)
    best = kl_bound(real - 0.5, made - 0.5)  # log p_r/p_g of N(1, 1) and N(0, 1); their divergence is ½
    assert 0.4 < best < 0.55
    assert kl_bound(0.3 * real, 0.3 * made) < best
    assert kl_bound(50 * real, made) <= math.log(4001)


def test_gamma_falls_from_the_first_to_the_last_value():
    falling = config(penalty=1.0, penalty_end=0.2)
    assert [round(gan.penalty(falling, 1, t), 6) for t in (0, 0.5, 1)] == [1.0, 0.6, 0.2]


def test_a_rare_penalty_counts_as_much_in_the_mean_of_steps():
    rare, usual = (config(penalty=1.0, penalty_end=1.0, penalty_every=every) for every in (3, 1))
    assert [gan.penalty(rare, step, 0.5) for step in range(1, 7)] == [0, 0, 3, 0, 0, 3]
    assert [gan.penalty(usual, step, 0.5) for step in range(1, 7)] == [1] * 6


def test_modes_are_counted_as_in_pacgan():
    points = torch.cat([GRID.means[:5], GRID.means[5:7] + 0.1, torch.tensor([[3.0, 3.0], [40.0, 40.0]])])
    found = GRID.quality(points)
    assert found.modes == 7  # 0.1·√2 is within 3σ = 0.15
    assert found.high_quality == pytest.approx(7 / 9)
    everywhere = GRID.quality(GRID.draw(50_000, 0))
    assert (everywhere.modes, round(everywhere.high_quality, 2)) == (25, 0.99)  # 1 − e^{−9/2}
    assert everywhere.reverse_kl < 0.002


@pytest.mark.parametrize("name", MIXTURES)
def test_the_density_of_a_mixture_is_the_normalised_one_of_what_it_draws(name):
    mixture = MIXTURES[name]
    points = mixture.draw(20_000, 1)
    # Entropy of well separated modes: log k + log(2πe σ²).
    entropy = math.log(len(mixture.means)) + math.log(2 * math.pi * math.e * mixture.sigma**2)
    assert -mixture.log_density(points).mean().item() == pytest.approx(entropy, abs=0.03)
    assert (points.square().mean().sqrt() / mixture.scale).item() == pytest.approx(1, abs=0.02)


def test_an_examples_score_does_not_depend_on_the_others_of_the_batch_or_on_the_mode(shades):
    players = tellapart.load(shades).model
    drawn = players.draw(6, seed=3)
    whole = players.scores(drawn)
    torch.testing.assert_close(whole[:2], players.scores(drawn[:2]))
    torch.testing.assert_close(players.draw(2, seed=3), drawn[:2])
    torch.testing.assert_close(players.train().draw(6, seed=3), drawn)
    torch.testing.assert_close(players.scores(drawn), whole)


def test_the_course_of_a_training_ends_with_what_is_drawn(points):
    players = tellapart.load(points).model
    assert players.seen_at.tolist() == [1, 1, 3, 7, 13, 20]
    torch.testing.assert_close(players.seen[-1], players.averaged(players.latents))
    assert not torch.equal(players.seen[0], players.seen[-1])


def test_points_are_printed_drawn_and_saved(points, tmp_path, capsys):
    code, out, _ = say(capsys, "sample", points, "-n", "3", "--seed", "5")
    assert code == 0
    printed = np.array([[float(x) for x in line.split()] for line in out.splitlines()])
    assert printed.shape == (3, 2)
    assert say(capsys, "sample", points, "-n", "64", "--seed", "5", "-o", tmp_path / "x.npz")[0] == 0
    saved = np.load(tmp_path / "x.npz")["points"]
    assert saved.shape == (64, 2)
    np.testing.assert_allclose(saved[:3], printed, rtol=1e-4, atol=1e-5)
    assert say(capsys, "sample", points, "-o", tmp_path / "x.png")[0] == 0
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (400, 400)
    assert "samples are saved as .png or .npz" in fails(capsys, "sample", points, "-o", tmp_path / "x.txt")


def test_pictures_are_drawn_and_saved_so_that_they_can_be_read(shades, tmp_path, capsys):
    assert "Name a file with -o samples.png" in fails(capsys, "sample", shades)
    for name in ("samples.png", "samples.npz"):
        assert say(capsys, "sample", shades, "-n", "10", "-o", tmp_path / name)[0] == 0
    read = load_pictures(str(tmp_path / "samples.npz"))
    assert read.pictures.shape == (10, 3, 16, 16)
    with Image.open(tmp_path / "samples.png") as image:
        square = np.asarray(image)
    assert square.shape == (48, 64, 3)
    np.testing.assert_array_equal(square[16:32, :16], read.pictures[4].permute(1, 2, 0).numpy())


def test_other_pictures_are_measured_in_the_runs_shape_and_mixtures_on_mixtures(points, shades, tmp_path, capsys):
    other = pictures.write_patterns(tmp_path / "other", n=40, labelled=False, seed=7)
    with short_judge():
        table = tellapart.load(shades).evaluate(other)
    assert table.header == ["", "Fréchet distance"]
    assert all(row[1] >= 0 for row in table.rows)
    assert "is measured on ring-8 or grid-25" in fails(capsys, "evaluate", points, "--data", other)
    assert tellapart.load(points).evaluate("ring-8").header[1] == "modes, of 8"


def test_the_report_shows_the_course_and_the_calibration(points):
    page = (points / "report.html").read_text(encoding="utf-8")
    assert "after steps 1, 1, 3, 7, 13, 20" in page
    assert "scores against the density ratio" in page
    assert "Modes found" in page


def test_missing_data_and_a_training_that_diverges_are_named(tmp_path, capsys):
    run = tmp_path / "run"
    assert "no such file" in fails(capsys, "train", "gan", "--run", run, "--data", tmp_path / "none")
    words = [f"--{name}={value}" for name, value in POINT_OPTIONS.items()]
    code, _, err = say(capsys, "train", "gan", "--run", run, *words, "--learning_rate=1e30")
    assert code == 2
    assert "Lower the learning rate" in err.splitlines()[-1]  # behind the progress bar


@pytest.mark.parametrize(("side", "channels"), list(itertools.product((8, 28, 45), (1, 3))))
def test_pictures_of_any_side_are_generated_and_scored(side, channels):
    from tellapart.domains.generated import PictureGenerator

    players = Players(PictureGenerator(5, 4, side, channels), picture_critic(4, 1, side, channels), 5, 2)
    drawn = players.draw(3, 0)
    assert drawn.shape == (3, channels, side, side)
    assert drawn.abs().max() <= 1
    assert players.scores(drawn).shape == (3, 1)


def test_shades_are_between_minus_one_and_one():
    assert as_shades(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_the_relation_of_embeddings_is_that_of_two_sides():
    sides = torch.tensor([0, 0, 1, 1])
    assert same(torch.zeros(2).long(), sides).tile(slice(0, 2), slice(0, 4)).int().tolist() == 2 * [[1, 1, 0, 0]]
