"""The command line's grammar: every option with its help and default, from the dataclasses it fills."""

from __future__ import annotations

from argparse import SUPPRESS
from functools import cache
from importlib.util import find_spec
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from tellapart import systems
from tellapart.errors import InputError
from tellapart.planning import PlanOptions
from tellapart.systems.options import add_options
from tellapart.version import __version__

# The options that `train SYSTEM -h` shows, those of the first ten that the system has.
_MATTER = (
    *("data", "run", "resume", "config", "epochs", "batch_size", "learning_rate", "picture_size", "labels", "columns"),
    *("languages", "held_out", "seed", "trainer.devices", "broken"),
)


class _Parser(ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        program = self.prog.replace(" [options]", "")
        raise InputError(f"{' '.join(message.split())} (see {program} --help)") from ex


def build() -> ArgumentParser:
    """The parser of the whole command line; of commands for runs, those of which a system has the ability.

    >>> build().parse_args(["search", "runs/demo", "red fruit"]).search.k
    5
    """
    return _build(systems.NAMES)


@cache  # to make it takes longer than to parse with it, and a program may give several commands
def _build(names: tuple[str, ...]) -> ArgumentParser:
    parser = _Parser(prog="tellapart", description="Learning by comparison: train, measure and use embeddings.")
    parser.add_argument("--version", action="version", version=__version__, help="Print the version.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    commands = parser.add_subcommands(dest="command")
    commands.add_subcommand(
        "systems", _Parser(description="List the systems and what they can do."), help="List the systems."
    )
    commands.add_subcommand("plan", _plan(names), help="Tell what a batch means before training with it.")
    train = _Parser(description="Train a system into a run folder.")
    commands.add_subcommand("train", train, help="Train a system into a run folder.")
    _add_systems(train, names)
    abilities = {ability for name in names for ability in systems.load(name).abilities()}
    for ability, make, what in (
        ("evaluate", _evaluate, "Measure a trained run on data it never saw."),
        ("embed", _embed, "Turn pictures, texts, nodes of a graph, sequences or videos into vectors."),
        ("search", _search, "Find what is most like a text, a picture, a node or a sequence."),
        ("cluster", _cluster, "Group pictures, texts, nodes, sequences or places by their embeddings."),
        ("match", _match, "Find where each pixel of one picture is in another."),
        ("propagate", _propagate, "Carry a mask of a video's first frame to all its frames."),
        ("sample", _sample, "Make new examples, such as answers to a prompt."),
        ("score", _score, "Tell what a trained model thinks of each item of a file."),
        ("export", _export, "Write a trained model in a form that other programs read."),
    ):
        if ability in abilities:
            commands.add_subcommand(ability, make(), help=what)
    commands.add_subcommand("report", _report(), help="Write a run's report page.")
    commands.add_subcommand("explain", _explain(), help="Write a page that explains the loss by playing with it.")
    what = "Print a script by which a shell completes commands and options."
    completing = _Parser(description=what)
    completing.add_argument("shell", choices=["bash", "zsh", "fish"], help="The shell.")
    commands.add_subcommand("completion", completing, help=what)
    commands.add_subcommand("attention", _attention(), help="Write a page of what each head of a language model reads.")
    return parser


def asks_for_short_help(arguments: list[str]) -> bool:
    """Whether the command line is `train SYSTEM … -h`."""
    return arguments[:1] == ["train"] and "-h" in arguments[2:] and arguments[1] in systems.NAMES


def short_help(system: str) -> str:
    """The options of a system's training that matter most, at most ten."""
    parser = _of_system(system)
    parser.prog = f"tellapart train {system}"
    parser.usage = f"{parser.prog} [options]"
    known = {action.dest: action for action in parser._actions}
    shown = [name for name in _MATTER if name in known][:10]
    for name, action in known.items():
        if name not in shown:
            action.help = SUPPRESS
    parser.epilog = f"All options: {parser.prog} --help"
    return parser.format_help()


def completion(shell: str) -> str:
    """A script by which a shell completes commands and options.

    Raises:
        InputError: shtab is missing.
    """
    if find_spec("shtab") is None:
        raise InputError("completion: the package shtab is missing. pip install 'tellapart[completion]'.")
    # A parser that has made a script cannot parse again.
    return _build.__wrapped__(systems.NAMES).get_completion_script(f"shtab-{shell}")


def _add_systems(train: ArgumentParser, names: tuple[str, ...]) -> None:
    subcommands = train.add_subcommands(dest="system")
    for name in names:
        options = _of_system(name)
        subcommands.add_subcommand(name, options, help=options.description)


def _of_system(name: str) -> ArgumentParser:
    options = _Parser(description=systems.describe(name))
    options.add_argument("--config", action="config", help="A YAML file of options, such as a run's config.yaml.")
    options.add_argument("--run", type=str, default=f"runs/{name}", help="The folder to train into.")
    options.add_argument(
        "--resume",
        action="store_true",
        help="Continue the run where it was interrupted, or train on to more --epochs; begin it if there is none.",
    )
    add_options(options, name)
    return options


def _plan(names: tuple[str, ...]) -> ArgumentParser:
    what = "Tell what a batch means before training with it: information, margin, memory, and time on this machine."
    parser = _Parser(description=what)
    known = [name for name in names if systems.load(name).plan is not None]
    text = "The system to plan; by default moco if there is a queue, else clip."
    parser.add_argument("--system", choices=known, default=None, help=text)
    parser.add_class_arguments(PlanOptions, as_group=False)
    return parser


def _with_run(description: str) -> ArgumentParser:
    parser = _Parser(description=description)
    parser.add_argument("run", type=str, help="A run folder.")
    return parser


def _evaluate() -> ArgumentParser:
    parser = _with_run("Measure a trained run on what it never saw of its data, or on other data.")
    _optional(parser, "--data", "Other data to measure on; by default the run's held-out data.")
    _add_columns(parser)
    _add_broken(parser)
    return parser


def _embed() -> ArgumentParser:
    parser = _with_run("Turn pictures, texts, nodes or sequences, whatever the run is of, into vectors of length 1.")
    what = "A picture or a folder; of texts, a .txt or a table (csv, tsv, parquet); without texts, a .npy, .npz or idx."
    what += " For graph: what it takes as --data; for genomics: FASTA or FASTQ; for bilingual: texts, tables or a .tmx."
    what += " For word2vec: text. For pixels: a video or a picture. For microstructure: TIFF, PNG or a folder."
    what += " For attention: what it takes as --data."
    parser.add_argument("input", type=str, help=what)
    parser.add_argument("-o", "--output", type=str, required=True, help="What to write: .parquet, .npz, .csv or .zarr.")
    _add_broken(parser)
    return parser


def _add_broken(parser: ArgumentParser) -> None:
    what = (
        "What is done with a broken item: it is left out and counted, or ends the command. By default as in training."
    )
    parser.add_argument("--broken", choices=["skip", "stop"], default=None, help=what)


def _add_columns(parser: ArgumentParser) -> None:
    what = "Of a table, what its columns are called, as in training: source=german,target=english. By default as there."
    _optional(parser, "--columns", what)


def _search() -> ArgumentParser:
    parser = _with_run(
        "Find the items of a run that match a text best or are most like a picture, a node or a sequence."
    )
    what = "What to look for: words; without texts a picture file, the name of a node, or a file with one sequence."
    what += " For pixels: a place, as FRAME,X,Y. For attention: the name of a pair, its row or its picture."
    what += " Or many: a .txt or a table of texts or names, a folder of pictures, a FASTA file."
    parser.add_argument("query", type=str, help=what)
    parser.add_argument("-k", type=int, default=5, help="How many to show.")
    what = "The file to write: .csv or .parquet, with query, rank, name and similarity of each hit."
    parser.add_argument("-o", "--output", type=str | None, default=None, help=what)
    _add_broken(parser)
    return parser


def _cluster() -> ArgumentParser:
    parser = _with_run("Group all that is in a source by a run's embeddings.")
    parser.add_argument("input", type=str, help="What the run takes for embed.")
    what = "How many groups, by k-means; by default HDBSCAN finds them."
    parser.add_argument("-n", "--groups", type=int | None, default=None, help=what)
    what = "The file to write: .csv or .parquet with the group of each item. For systems of pictures also a .html, a"
    what += " page of each group's most typical ones; for genomics a new folder, for a FASTA file a group; for"
    what += " microstructure a .png, the micrograph in the groups' colours."
    parser.add_argument("-o", "--output", type=str | None, default=None, help=what)
    return parser


def _match() -> ArgumentParser:
    parser = _with_run("Find where each pixel of one picture is in another, and how sure that is.")
    what = "A picture, or a frame of a video as VIDEO:FRAME."
    parser.add_argument("a", type=str, help=what)
    parser.add_argument("b", type=str, help="Another.")
    _add_height(parser, "Pictures")
    what = "The file to write: .flo (Middlebury's flow), .npz (flow and confidence) or .png (a picture)."
    parser.add_argument("-o", "--output", type=str | None, default=None, help=what)
    return parser


def _propagate() -> ArgumentParser:
    parser = _with_run("Carry a mask of a video's first frame to all its frames.")
    parser.add_argument("video", type=str, help="A video, or a folder of frames.")
    what = "Labels of the first frame's pixels: a grey picture or one with a palette; 0 is no label."
    parser.add_argument("mask", type=str, help=what)
    _add_height(parser, "Frames")
    what = "What to write: a new folder, for a PNG a frame, or an .npz."
    parser.add_argument("-o", "--output", type=str, required=True, help=what)
    return parser


def _add_height(parser: ArgumentParser, what: str) -> None:
    said = f"{what} that are higher are scaled down to this height, by default that of training."
    said += " A greater one tells smaller things apart, and takes longer."
    parser.add_argument("--height", type=int | None, default=None, help=said)


def _sample() -> ArgumentParser:
    parser = _with_run("Make new examples with a trained run.")
    what = "What the examples answer, as one word in quotes; needed for dpo, and for no other system."
    parser.add_argument("prompt", type=str | None, nargs="?", default=None, help=what)
    parser.add_argument("-o", "--output", type=str | None, default=None, help="The file to write; else they are shown.")
    parser.add_argument("-n", type=int, default=16, help="How many.")
    parser.add_argument("--seed", type=int, default=0, help="Decides which.")
    return parser


def _score() -> ArgumentParser:
    what = "Tell what a trained model thinks of each item of a file: for dpo, the reward of each answer; for bilingual,"
    parser = _with_run(f"{what} how alike the sentences of each pair are, the least alike first.")
    what = "What the system takes to train on; for dpo rejected may be missing."
    parser.add_argument("data", type=str, help=what)
    _add_columns(parser)
    what = "The file to write, with all rows: .csv or .parquet. Without it the first 20 are shown."
    parser.add_argument("-o", "--output", type=str | None, default=None, help=what)
    return parser


def _export() -> ArgumentParser:
    parser = _with_run("Write what a run learned in a form that other programs read.")
    what = "What to write: a new folder; in the format word2vec a .bin, a .txt or a .vec, or one of these with .gz."
    parser.add_argument("output", type=str, help=what)
    what = "hub, torch, onnx or sentence-transformers; of dpo transformers, of word2vec word2vec or hub. By default hub"
    parser.add_argument("--format", type=str | None, default=None, help=f"{what}, or the system's own.")
    return parser


def _report() -> ArgumentParser:
    parser = _with_run("Write a run's report: one page that opens offline.")
    _optional(parser, "--output", "The file to write; by default report.html in the run folder.")
    return parser


def _explain() -> ArgumentParser:
    parser = _Parser(description="Write a page that explains the loss: a game to play, and measured curves.")
    parser.add_argument("--output", type=str, default="explain.html", help="The file to write; it opens offline.")
    return parser


def _attention() -> ArgumentParser:
    parser = _Parser(description="Write a page of the heads of a language model: what each looks for in a text.")
    what = "A folder of transformers, as save_pretrained or `tellapart export` of dpo writes it."
    parser.add_argument("model", type=str, help=what)
    parser.add_argument("text", type=str, help="A text, as one word in quotes.")
    parser.add_argument("--output", type=str, default="attention.html", help="The file to write; it opens offline.")
    parser.add_argument("--tokens", type=int, default=128, help="How many tokens of the text are read at most.")
    return parser


def _optional(parser: Any, name: str, text: str) -> None:
    parser.add_argument(name, type=str | None, default=None, help=text)
