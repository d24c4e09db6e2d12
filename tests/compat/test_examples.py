"""What the peers' front pages show, with one import changed: training steps after which the loss is smaller.

Each example is a string, run as it stands. `EXAMPLES` is also the table of docs/adapters.md.
"""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[2] / "docs" / "adapters.md"

# The peer, what its example imports, and the example with this library's import in its place.
EXAMPLES = {
    "lightly": (
        "from lightly.loss import NTXentLoss",
        """
        from tellapart.compat.lightly import NTXentLoss

        backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 16), torch.nn.ReLU())
        model = torch.nn.Sequential(backbone, torch.nn.Linear(16, 8))
        criterion = NTXentLoss(temperature=0.5, memory_bank_size=0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.06)

        losses = []
        for x0, x1 in [two_views(32) for _ in range(30)]:
            z0, z1 = model(x0), model(x1)
            loss = criterion(z0, z1)
            losses.append(loss.detach())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        """,
    ),
    "open_clip": (
        "from open_clip.loss import ClipLoss",
        """
        from tellapart.compat.open_clip import ClipLoss

        class TwoTowers(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.visual, self.text = torch.nn.Linear(12, 8), torch.nn.Linear(12, 8)
                self.logit_scale = torch.nn.Parameter(torch.tensor(2.0))

            def forward(self, image, text):
                unit = torch.nn.functional.normalize
                return {
                    "image_features": unit(self.visual(image.flatten(1)), dim=-1),
                    "text_features": unit(self.text(text.flatten(1)), dim=-1),
                    "logit_scale": self.logit_scale.exp(),
                }

        model = TwoTowers()
        loss = ClipLoss(local_loss=False, gather_with_grad=False, cache_labels=True, rank=0, world_size=1,
                        use_horovod=False)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)

        losses = []
        for images, texts in [two_views(32) for _ in range(30)]:
            optimizer.zero_grad()
            model_out = model(images, texts)
            found = loss(**model_out, output_dict=True)
            total_loss = sum(found.values())
            losses.append(total_loss.detach())
            total_loss.backward()
            optimizer.step()
        """,
    ),
    "pytorch-metric-learning": (
        "from pytorch_metric_learning.losses import SupConLoss",
        """
        from tellapart.compat.metric_learning import SupConLoss

        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 8))
        loss_func = SupConLoss(temperature=0.2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

        losses = []
        for data, _ in [two_views(32) for _ in range(30)]:
            labels = data.flatten(1)[:, :2].sign().sum(1)  # floats
            optimizer.zero_grad()
            embeddings = model(data)
            indices_tuple = None  # or those of a miner
            loss = loss_func(embeddings, labels, indices_tuple)
            losses.append(loss.detach())
            loss.backward()
            optimizer.step()
        """,
    ),
    "info-nce-pytorch": (
        "from info_nce import InfoNCE, info_nce",
        """
        from tellapart.compat.info_nce_pytorch import InfoNCE, info_nce

        loss = InfoNCE(negative_mode="paired")
        encoder = torch.nn.Linear(12, 8)
        optimizer = torch.optim.Adam(encoder.parameters(), lr=0.02)

        losses = []
        for x0, x1 in [two_views(32) for _ in range(30)]:
            query, positive_key = encoder(x0.flatten(1)), encoder(x1.flatten(1))
            negative_keys = encoder(torch.randn(32, 6, 12))
            output = loss(query, positive_key, negative_keys)
            assert output == info_nce(query, positive_key, negative_keys, negative_mode="paired")
            losses.append(output.detach())
            optimizer.zero_grad()
            output.backward()
            optimizer.step()
        """,
    ),
    "sentence-transformers": (
        "from sentence_transformers.losses import CachedMultipleNegativesRankingLoss",
        """
        from tellapart.compat.sentence_transformers import CachedMultipleNegativesRankingLoss

        class Model(torch.nn.Module):  # as a SentenceTransformer is called
            def __init__(self):
                super().__init__()
                self.words = torch.nn.Embedding(30, 8)

            def forward(self, features):
                mask = features["attention_mask"][..., None]
                total = (self.words(features["input_ids"]) * mask).sum(1)
                return {"sentence_embedding": total / mask.sum(1)}

        model = Model()
        loss = CachedMultipleNegativesRankingLoss(model, mini_batch_size=4)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)

        losses = []
        for _ in range(30):
            numbers = torch.randperm(10)
            anchors = {"input_ids": numbers[:, None], "attention_mask": torch.ones(10, 1, dtype=torch.long)}
            answers = {"input_ids": torch.stack([numbers + 10, numbers + 20], 1),
                       "attention_mask": torch.ones(10, 2, dtype=torch.long)}
            value = loss([anchors, answers], None)
            losses.append(value.detach())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        """,
    ),
}


def two_views(n):
    """The same pictures twice, with noise."""
    pictures = torch.randn(n, 3, 2, 2)
    return tuple(pictures + 0.1 * torch.randn(n, 3, 2, 2) for _ in range(2))


@pytest.mark.parametrize("peer", EXAMPLES)
def test_the_peers_example_trains_with_one_import_changed(peer):
    torch.manual_seed(0)
    _, example = EXAMPLES[peer]
    indent = re.match(r"\n( +)", example).group(1)
    names = {"torch": torch, "two_views": two_views}
    exec(compile(example.replace("\n" + indent, "\n"), peer, "exec"), names)
    losses = torch.stack(names["losses"])
    assert losses.isfinite().all()
    assert losses[-5:].mean() < losses[:5].mean()


def test_the_docs_name_these_imports():
    page = DOCS.read_text(encoding="utf-8")
    for peer, (theirs, example) in EXAMPLES.items():
        ours = example.strip().splitlines()[0]
        assert f"| {peer} | `{theirs}` | `{ours}` |" in page
