"""What the processes of `test_systems` compute: a system's loss, alone or with a share of the batch each."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from unittest.mock import patch

import numpy as np
import torch

from tellapart.distributed import gather, share
from tellapart.domains.pictures import ImageShape, Pairs, PictureSet
from tellapart.domains.sound import Moments, Recorders
from tellapart.domains.text import ReadPairs, Translations
from tellapart.systems import audiovisual, bilingual, clip, genomics, moco, simclr
from tests.distributed.jobs import rows_of
from tests.tiny.genomes import GENOME_OPTIONS
from tests.tiny.pictures import MOCO_OPTIONS, OPTIONS, PICTURE_OPTIONS, patterns
from tests.tiny.sentences import SENTENCE_OPTIONS, translations
from tests.tiny.sound import SOUND_OPTIONS


@contextmanager
def in_the_world_of(group, system):
    """As if there were no other processes than the group's."""
    stead = {"world": lambda: group, "gather": partial(gather, group=group), "share": partial(share, group=group)}
    with ExitStack() as stack:
        for name, function in stead.items():
            if hasattr(system, name) and (group is not None or name == "world"):
                stack.enter_context(patch.object(system, name, function))
        for module in ("distributed.gather", "distributed.batch_norm"):
            stack.enter_context(patch(f"tellapart.{module}.world", lambda: group))
        yield


def said(group, terms, model):
    """Loss, candidates, accuracy and gradients; their mean over processes must be that of one process."""
    loss = terms.loss()
    loss.backward()
    size = 1 if group is None else torch.distributed.get_world_size(group)
    gradients = {f"mean of {name}": p.grad.to_dense() for name, p in model.named_parameters() if p.grad is not None}
    shares = {"mean of losses": loss.detach(), "mean of accuracies": terms.accuracy()}
    return shares | gradients | {"candidates": terms.n_candidates, "processes": torch.tensor(size)}


def shown(rows, group):
    pictures, _ = patterns(sum(rows))
    here = rows_of(group, rows)
    made = torch.from_numpy(np.moveaxis(pictures, 3, 1).copy())[here]
    return PictureSet(made, None, None, [str(i) for i in range(len(made))]), torch.arange(sum(rows))[here]


def views(pictures, n_views):
    """Views without chance: shifted pictures."""
    return tuple((pictures.float() / 255).roll(i, dims=3) for i in range(n_views))


def clips(group, rows):
    own, ids = shown(rows, group)
    texts = [f"text {i % 4}" for i in ids.tolist()]  # several processes have the same texts
    options = {name: value for name, value in OPTIONS.items() if name in clip.Config.__dataclass_fields__}
    model = clip.CLIP(clip.Config(**options | {"text_dropout": 0.0})).eval().double()
    with in_the_world_of(group, clip):
        return said(group, clip.terms(model, Pairs(own.pictures, texts, own.names)), model)


def simclrs(group, rows):
    own, _ = shown(rows, group)
    model = simclr.SimCLR(simclr.Config(**PICTURE_OPTIONS | {"views": 3}), ImageShape(16, 3)).double()
    model.make_views = views
    with in_the_world_of(group, simclr):
        return said(group, simclr.terms(model, own), model)


def audiovisuals(group, rows):
    """Each process has a block of time, far from the others'; a step of EM on the clocks follows the loss."""
    own, _ = shown(rows, group)
    random = np.random.default_rng(0)
    times = np.concatenate([1000 * block + np.arange(n) for block, n in enumerate(rows)])
    heard = random.normal(size=(len(times), 40, 20)), times + 0.3 + 0.5 * random.normal(size=len(times))
    here = rows_of(group, rows)
    sounds, sound_times, picture_times = (torch.from_numpy(x)[here] for x in (*heard, times.astype(float)))
    recorders = (torch.arange(len(times)) % 2)[here]
    config = audiovisual.Config(**SOUND_OPTIONS | {"data": "", "picture_jitter": 0.0, "sigma": 1.0})
    model = audiovisual.AudioVisual(config, Recorders(["a", "b"], len(times), 0, 5000)).eval().double()
    batch = Moments(sounds, sound_times, recorders, own.pictures, picture_times)
    with in_the_world_of(group, audiovisual):
        terms = audiovisual.terms(model, batch)
        found = said(group, terms, model)
        audiovisual.observe(model, batch, terms)
    return found | {"mean of offsets": model.clock.offsets(), "mean of widths": model.clock.variance}


def genomes(group, rows):
    """Neighbours of a read are in other processes, too."""
    random = np.random.default_rng(0)
    n, here = sum(rows), rows_of(group, rows)
    bases = torch.from_numpy(1 << random.integers(0, 4, (n, 50))).to(torch.uint8)
    sequence, begin = torch.arange(n) % 2, torch.from_numpy(random.permutation(n) * 60)
    model = genomics.Genomics(genomics.Config(**GENOME_OPTIONS | {"data": ""})).double()
    with in_the_world_of(group, genomics):
        return said(group, genomics.terms(model, genomics.Reads(bases[here], sequence[here], begin[here])), model)


def sentences(group, rows):
    """Every fourth target is the same, and several processes have it."""
    sources, targets, groups = map(list, zip(*translations(sum(rows)), strict=True))
    pairs = Translations(sources, [target if i % 4 else "the same" for i, target in enumerate(targets)], groups)
    model = bilingual.Bilingual(bilingual.Config(**SENTENCE_OPTIONS | {"data": ""}), "").double()
    batch = ReadPairs.of(model.encoder, pairs).rows(torch.arange(sum(rows))[rows_of(group, rows)])
    with in_the_world_of(group, bilingual):
        return said(group, bilingual.terms(model, batch), model)


def mocos(group, rows, symmetric):
    """The second of two steps, and the queue after it."""
    own, ids = shown(rows, group)
    options = MOCO_OPTIONS | {"symmetric": symmetric, "batch_size": 4, "queue": 14}
    model = moco.MoCo(moco.Config(**options), ImageShape(16, 3)).double()
    model.make_views = views
    with in_the_world_of(group, moco):
        for progress in (0.0, 0.5):
            asked = moco.prepare(model, moco.Batch(own, ids))
            terms = moco.terms(model, asked)
            moco.after_step(model, asked, progress)
        answer = said(group, terms, model)
    keys, queue_ids = model.queue.read()
    order = queue_ids.argsort(stable=True)
    return answer | {"queue's ids": queue_ids[order], "sum of the queue's keys": keys.sum(0)}
