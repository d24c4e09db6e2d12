"""Log-probabilities under the reference: computed once, and kept with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load, save

from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.runs import Run, is_first_process

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.domains.preferences.policy import Policy
    from tellapart.domains.preferences.tokens import Answers

_NAME = "log_probabilities"


def reference_log_probs(policy: Policy, answers: Answers, run: Run) -> Float[Tensor, " total"]:
    """Those of all training answers, of a policy that was not trained yet, or as they were kept before.

    Raises:
        InputError: the file is damaged, or of other data.
    """
    path = run.reference_scores
    if not path.is_file():
        found = policy.log_probs(answers)
        if is_first_process():
            with atomic_write(path) as file:
                file.write(save({_NAME: found}))
        return found
    try:
        kept = load(path.read_bytes())[_NAME]
    except (SafetensorError, KeyError, OSError) as error:
        raise InputError(f"{path}: damaged. Delete it, and it is computed anew.") from error
    if len(kept) != len(answers.tokens):
        raise InputError(f"{path}: of {len(kept)} answers, not of {len(answers.tokens)}. Delete it.")
    return kept
