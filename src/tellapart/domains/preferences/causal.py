"""Causal models of `transformers`: read from a folder, made new, written to a folder. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tellapart.files import new_folder
from tellapart.pretrained import library, load_pretrained, quiet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tellapart.domains.preferences.options import PreferenceOptions

_BOS, _EOS, _PAD = "<s>", "</s>", "<pad>"
_HEAD_WIDTH = 32  # of an attention head of a new model
_DRAWING = "generation_config.json"  # how a model's makers draw from it


def load_causal(folder: Path) -> tuple[Any, Any]:
    """A causal model, in float32, and its tokeniser, from a folder that `save_pretrained` wrote.

    Raises:
        InputError: `transformers` is missing; no causal model in safetensors, or one with missing weights; or no
            tokeniser.
    """
    model, tokenizer = load_pretrained(folder, "AutoModelForCausalLM", "causal model", "preferences")
    # Answers are drawn from the model's own probabilities; how its makers draw stays in the folder.
    model.generation_config = library("transformers", "preferences").GenerationConfig()
    return model, tokenizer


def save_causal(model: Any, tokenizer: Any, folder: Path, like: Path | None = None) -> None:
    """Write a model and its tokeniser as `load_causal` and `from_pretrained` read them, in one step.

    Args:
        model: a causal model of transformers.
        tokenizer: its tokeniser.
        folder: a new or an empty folder.
        like: the folder that the model came from, which says how to draw from it.

    Raises:
        InputError: the folder holds something, or cannot be written.
    """
    with new_folder(folder) as partial:
        with quiet():
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
        (partial / _DRAWING).unlink(missing_ok=True)
        if like is not None and (like / _DRAWING).is_file():
            shutil.copy(like / _DRAWING, partial / _DRAWING)


def folder_fingerprint(folder: Path) -> str:
    """A hash of a model's configuration and of the sizes of its files of weights, to detect that it changed."""
    config = folder / "config.json"
    sizes = sorted((file.name, file.stat().st_size) for file in folder.glob("*.safetensors"))
    known = config.read_bytes() if config.is_file() else b""
    return hashlib.sha256(known + repr(sizes).encode()).hexdigest()


def learn_tokenizer(texts: Iterable[str], size: int) -> Any:
    """Byte-pair encoding of UTF-8 with at most `size` pieces: it reads any text, and gives it back as it was.

    Source: Sennrich et al. 2016, §3.2; on bytes: Radford et al. 2019, §2.2.
    """
    transformers, tokenizers = (library(name, "preferences") for name in ("transformers", "tokenizers"))
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[_PAD, _BOS, _EOS],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=_BOS, eos_token=_EOS, pad_token=_PAD, clean_up_tokenization_spaces=False
    )


def new_causal(options: PreferenceOptions, tokenizer: Any) -> Any:
    """A small Llama with the first weights that the seed decides; input and output share their vectors."""
    transformers = library("transformers", "preferences")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.width,
        intermediate_size=8 * options.width // 3,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // _HEAD_WIDTH,
        max_position_embeddings=options.longest,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return seeded(options.seed, lambda: transformers.LlamaForCausalLM(config))


def with_lora(model: Any, rank: int, seed: int) -> Any:
    """The model in which LoRA trains two matrices of this rank beside each linear layer; the rest is frozen.

    Source: Hu et al. 2022, §4.1.

    Raises:
        InputError: `peft` is missing.
    """
    peft = library("peft", "lora")
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with quiet():
        return seeded(seed, lambda: peft.get_peft_model(model, config))


def seeded(seed: int, make: Callable[[], Any]) -> Any:
    """What `make` makes with random numbers that the seed decides; those of others stay as they are."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()
