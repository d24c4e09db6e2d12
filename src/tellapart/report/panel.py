"""The instrument panel of the report: a number, its meaning and a small curve for each reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tellapart.report.figures import small_curve

if TYPE_CHECKING:
    import plotly.graph_objects as go

    Log = list[dict[str, float]]


_ROUNDING = 1e-6


@dataclass(frozen=True)
class Gauge:
    """How a reading of the log is shown."""

    name: str
    title: str
    meaning: str
    format: str = ".3g"
    limit: str | None = None
    """The reading that this one cannot exceed."""

    def last(self, log: Log) -> str:
        """The last value, as text."""
        value = next(entry[self.name] for entry in reversed(log) if self.name in entry)
        return format(value, self.format).replace("-", "−")

    def is_constant(self, log: Log) -> bool:
        """Whether it kept one value, up to rounding, so that a curve would show nothing."""
        values = [entry[self.name] for entry in log if self.name in entry]
        return max(values) - min(values) <= _ROUNDING * max(map(abs, values))

    def curve(self, log: Log) -> go.Figure:
        """The curve of all values."""
        return small_curve(log, self.name, self.limit, share=self.format.endswith("%"))


_GAUGES = (
    Gauge("effective_negatives", "Effective negatives", "so many equal negatives would push alike", ".3g"),
    Gauge("hardest_share", "Hardest negative", "its share of the negatives' push", ".0%"),
    Gauge("suspects", "Suspects", "queries with a negative much like a positive", ".1%"),
    Gauge("effective_margin", "Effective margin", "the score that a positive has to exceed", ".3f"),
    Gauge("temperature", "Temperature τ", "divides scores; if low, few negatives count", ".3g"),
    Gauge("effective_rank", "Effective rank", "dimensions in use, of at most so many", ".3g", "rank_limit"),
    Gauge("alignment", "Alignment", "mean squared distance of positive pairs; 0 is best", ".3f"),
    Gauge("uniformity", "Uniformity", "the lower, the more evenly directions are spread", ".2f"),
    Gauge("kl", "KL to the reference", "nats an answer, of answers drawn from the model", ".2f"),
    Gauge("length_ratio", "Length", "of the model's answers, as a share of the reference's", ".0%"),
    Gauge("chosen_change", "Chosen answers", "change of their log-probability, in nats", ".2f"),
    Gauge("rejected_change", "Rejected answers", "change of their log-probability, in nats", ".2f"),
    Gauge("reward_margin", "Margin of rewards", "chosen less rejected, in nats", ".2f"),
    Gauge("kl_bound", "KL(real‖generated)", "at least so many nats, by the critic's scores", ".3f", "kl_ceiling"),
    Gauge("modes", "Modes found", "with a generated point within 3σ", ".0f"),
    Gauge("high_quality", "High quality", "generated points within 3σ of a mean", ".0%"),
    Gauge("reverse_kl", "Reverse KL", "nats, of generated points' shares per mode", ".3f"),
    Gauge(
        "clock_offset",
        "Offset of the clocks",
        "seconds that the sounds' are ahead, in the mean of the recorders",
        ".3f",
    ),
    Gauge("clock_width", "Width of the clocks", "standard deviation of their error, in seconds", ".3f"),
    Gauge("clients", "Clients", "with weights that were averaged", ".0f"),
    Gauge("clients_left_out", "Clients left out", "with a reply that could not be used", ".0f"),
    Gauge("bytes_of_weights", "Bytes of weights", "that leave a client in a round", ",.0f"),
    Gauge("bytes_of_keys", "Bytes of keys", "that leave a client when keys are shared", ",.0f"),
    Gauge("keys_of_a_client", "Keys of a client", "that it shares at a time", ",.0f"),
    Gauge("length_of_mean_key", "Length of the mean key", "of the bank; at 1 all keys have one direction", ".3f"),
    Gauge("bits_of_a_key_entry", "Bits of a key's entry", "the precision in which keys leave a client", ".0f"),
    Gauge("words_per_second", "Words a second", "of the text, left out ones not counted", ",.0f"),
    Gauge("gradient_norm", "Gradient norm", "length of the whole gradient", ".3g"),
)


def gauges(log: Log) -> list[Gauge]:
    """The gauges that have a reading in the log."""
    return [gauge for gauge in _GAUGES if any(gauge.name in entry for entry in log)]
