"""Backbones of timm from the folders that its `save_for_hf` writes, without a network."""

import timm
import torch
from timm.models import save_for_hf

import tellapart
from tellapart.domains.pictures import Backbone
from tests.tiny.pictures import CAPTIONS, OPTIONS, write_pairs


def saved(folder, name, **options):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0, **options)
    save_for_hf(model, str(folder), safe_serialization=True)
    return model.eval()


def test_its_features_are_timms_own(tmp_path):
    model = saved(tmp_path / "net", "resnet10t")
    backbone = Backbone(tmp_path / "net", 3).eval()
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(model.pretrained_cfg[name]).reshape(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = model((pictures / 255 - mean) / std)
        torch.testing.assert_close(backbone(pictures), expected, rtol=1e-4, atol=1e-4)
    assert backbone.dim == model.num_features


def test_a_transformer_of_one_size_gets_its_size(tmp_path):
    saved(tmp_path / "vit", "vit_tiny_patch16_224", depth=1)
    backbone = Backbone(tmp_path / "vit", 3)
    assert backbone.side == 224
    assert backbone(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 192)


def test_clip_locks_one(tmp_path):
    saved(tmp_path / "net", "resnet10t")
    options = OPTIONS | {"epochs": 1, "picture_encoder": str(tmp_path / "net"), "locked": "picture"}
    run = tellapart.train("clip", data=write_pairs(tmp_path / "pairs"), run=tmp_path / "run", **options)
    assert run.embed(CAPTIONS).vectors.shape == (24, 16)
