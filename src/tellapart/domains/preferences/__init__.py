"""Preferences: prompts with chosen and rejected answers, causal models of `transformers`, and what they answer."""

from tellapart.domains.preferences.answered import Answered
from tellapart.domains.preferences.batch import Batch
from tellapart.domains.preferences.causal import load_causal, save_causal
from tellapart.domains.preferences.commands import Commands, Texts
from tellapart.domains.preferences.dataset import Dataset
from tellapart.domains.preferences.options import PreferenceOptions
from tellapart.domains.preferences.policy import Policy
from tellapart.domains.preferences.preferences import Preference, Preferences
from tellapart.domains.preferences.pretraining import pretrain, reference_of
from tellapart.domains.preferences.read import load_preferences
from tellapart.domains.preferences.reference import reference_log_probs
from tellapart.domains.preferences.step import Compared, PreferenceStep
from tellapart.domains.preferences.tokens import Answers, Tokens

__all__ = [
    "Answered",
    "Answers",
    "Batch",
    "Commands",
    "Compared",
    "Dataset",
    "Policy",
    "Preference",
    "PreferenceOptions",
    "PreferenceStep",
    "Preferences",
    "Texts",
    "Tokens",
    "load_causal",
    "load_preferences",
    "pretrain",
    "reference_log_probs",
    "reference_of",
    "save_causal",
]
