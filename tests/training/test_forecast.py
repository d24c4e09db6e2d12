"""What is said at the beginning of a training that will take long."""

import logging
from types import SimpleNamespace

import pytest

from tellapart.training import Batches, forecast
from tellapart.training.forecast import Forecast


@pytest.mark.parametrize(
    ("seconds", "n_steps", "epochs", "said"),
    [
        (0.5, 700, 100, ""),
        # 1,600 photographs of 224 × 224 to train on, in batches of 256, where a step takes 50 seconds.
        (
            50,
            700,
            100,
            "About 10 hours to go. For a first look of about 12 minutes: Ctrl-C, and --epochs 2 with another",
        ),
        (200, 700, 100, "About 39 hours to go. For a first look: Ctrl-C, and less data, or smaller ones, with another"),
        (50, 70, 1, "About 57 minutes to go. For a first look: Ctrl-C, and less data, or smaller ones, with another"),
    ],
)
def test_a_smaller_start_is_suggested_once_where_training_takes_more_than_half_an_hour(
    monkeypatch, caplog, seconds, n_steps, epochs, said
):
    caplog.set_level(logging.INFO)
    clock = [0.0]
    monkeypatch.setattr(forecast.time, "monotonic", lambda: clock[0])
    count = SimpleNamespace(done=0, of=n_steps)
    callback = Forecast(Batches(1600, 256, epochs, 0), count)
    trainer = SimpleNamespace(is_global_zero=True)
    for done in range(1, 101):
        clock[0] += seconds
        count.done = done
        callback.on_train_batch_end(trainer, None, None, None, 0)
    assert len(caplog.messages) == bool(said)
    assert said in caplog.text
