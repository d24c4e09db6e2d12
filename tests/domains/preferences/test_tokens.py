"""One BOS and one EOS whatever the tokeniser adds; long prompts and answers."""

import pytest
import torch

from tellapart import InputError
from tellapart.domains.preferences import Answers, Preference, Preferences, Tokens
from tests.domains.preferences.conftest import CHAT, made

HI = [{"role": "user", "content": "hi"}]
YES = [{"role": "assistant", "content": "yes"}]


def tokens(longest=64, **changes):
    return Tokens(made(**changes)[1], longest)


def adds_its_own(tokenizer):
    """As Llama's tokeniser does: BOS and EOS around whatever is read."""
    from tokenizers.processors import TemplateProcessing

    special = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("<s>", "</s>")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=special)
    return tokenizer


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("prompt", ["the cat", "<s>the cat", "<s><s>the cat"])
@pytest.mark.parametrize("answer", [" sees", " sees</s>", " sees</s></s>", " sees</s> and more"])
def test_there_is_one_bos_and_one_eos(own, prompt, answer):
    tokenizer = made()[1]
    read = Tokens(adds_its_own(tokenizer) if own else tokenizer, 64)
    before, after = read.answer(prompt, answer, "line 1")
    assert before == [read.bos, *tokenizer("the cat", add_special_tokens=False)["input_ids"]]
    assert after == [*tokenizer(" sees", add_special_tokens=False)["input_ids"], read.eos]
    assert read.prompt(prompt) == before
    assert read.text(after) == " sees"


def test_a_tokeniser_without_bos_begins_with_the_prompt_and_refuses_an_empty_one():
    read = tokens(bos_token=None)
    assert read.bos is None
    before, after = read.answer("the cat", " sees", "line 1")
    assert None not in [*before, *after]
    assert read.text(before) == "the cat"
    with pytest.raises(InputError, match="line 3: the prompt is empty, and the tokeniser has no BOS"):
        read.answer("", "yes", "line 3")
    assert tokens().answer("", "yes", "line 3")[0] == [tokens().bos]


def test_bos_may_be_the_same_token_as_eos():
    read = tokens(bos_token="</s>")
    before, after = read.answer("the cat", " sees", "line 1")
    assert [*before, *after].count(read.eos) == 2
    assert (before[0], after[-1]) == (read.eos, read.eos)


def test_a_tokeniser_without_eos_is_refused():
    with pytest.raises(InputError, match="no EOS"):
        tokens(eos_token=None)


def test_messages_go_through_the_chat_template_with_one_bos_and_one_eos():
    read = tokens(chat_template=CHAT)
    before, after = read.answer(HI, YES, "line 1")
    assert [before.count(read.bos), after.count(read.eos)] == [1, 1]
    assert after[-1] == read.eos
    assert read.text(after) == "yes"
    assert read.text(before).endswith("assistant: ")
    assert read.prompt(HI) == before


def test_messages_without_a_chat_template_or_against_it_are_refused_with_the_line():
    with pytest.raises(InputError, match="line 7: messages, but the tokeniser has no chat template"):
        tokens().answer(HI, YES, "line 7")
    refusing = "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}"
    with pytest.raises(InputError, match="line 7: the chat template refuses the messages, no system"):
        tokens(chat_template=refusing).answer(HI, YES, "line 7")


def test_the_end_of_a_long_answer_is_cut_off_and_counted_and_nothing_left_of_it_is_refused_with_the_line():
    read = tokens(longest=8)
    before, after = read.answer("a", "b" * 20, "line 1")
    assert len(before) + len(after) == 8
    assert read.eos not in after
    rows = [Preference("line 1", "a", ("b" * 20, "c")), Preference("line 2", "a", ("b", "c"))]
    assert Answers.of(Preferences(rows), read).n_cut == 1
    rows.append(Preference("line 3", "xyzxyzxyz", ("b", "c")))
    with pytest.raises(InputError, match="line 3: the prompt has 10 tokens, so nothing of the answer is left of 8"):
        Answers.of(Preferences(rows), read)


def test_a_token_that_runs_across_the_border_is_cut_at_the_border():
    """Read together, prompt and answer may have a token that holds the end of one and the beginning of the other."""
    read = tokens()
    whole = read.tokenizer("the", add_special_tokens=False)["input_ids"]
    assert len(whole) == 1
    before, after = read.answer("th", "e", "line 1")
    assert before == read.prompt("th")
    assert read.text(before) + read.text(after) == "the"


def test_a_batch_is_a_table_of_answers_with_the_chosen_ones_first():
    rows = [
        Preference("1", "a", ("b", "cc", "ddd")),
        Preference("2", "aa", ("b", "c")),
        Preference("3", "a", ("x", "y")),
    ]
    answers = Answers.of(Preferences(rows), tokens())
    reference = torch.arange(7.0)
    batch = answers.rows(torch.tensor([1, 0]), reference)
    assert batch.candidates.tolist() == [[True, True, False], [True, True, True]]
    assert batch.table(batch.reference).tolist() == [[3, 4, 0], [0, 1, 2]]
    assert batch.lengths().tolist() == [2, 2, 2, 3, 4]
    assert (batch.real.sum(dim=1) - batch.lengths()).tolist() == [3, 3, 2, 2, 2]
    assert answers.lengths().tolist() == [4 + 5 + 6, 5 + 5, 4 + 4]
