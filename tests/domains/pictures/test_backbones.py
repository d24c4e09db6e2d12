"""Backbones of transformers as encoders: what they compute, what they load, what they refuse."""

import json
import socket
import sys

import pytest
import torch

from tellapart import InputError
from tellapart.domains.pictures import Backbone

VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 8,
    "patch_size": 4,
}
RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}


def random_pictures(n=3, channels=3, size=8):
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8)


@pytest.fixture
def folder(tmp_path):
    """A tiny vision transformer for colour pictures, as save_pretrained leaves it."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    ViTModel(ViTConfig(**VIT)).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "options", "dim"), [("vit", VIT, 16), ("resnet", RESNET, 8)])
def test_a_model_type_with_options_makes_features_that_can_be_learned(kind, options, dim, channels):
    torch.manual_seed(0)
    encoder = Backbone(kind, channels, json.dumps(options))
    features = encoder(random_pictures(channels=channels))
    assert features.shape == (3, encoder.dim) == (3, dim)
    features.square().sum().backward()
    assert next(encoder.model.parameters()).grad.abs().sum() > 0
    assert encoder.training


def test_a_folder_gives_the_features_that_transformers_itself_gives(folder):
    from transformers import ViTModel

    pictures = random_pictures()
    reference = ViTModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = reference(pixel_values=(pictures / 255 - 0.5) / 0.5).pooler_output
        encoder = Backbone(folder, 3).eval()
        torch.testing.assert_close(encoder(pictures), expected)
        torch.testing.assert_close(encoder(pictures / 255), expected)
        (folder / "preprocessor_config.json").write_text(
            '{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3]}'
        )
        mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([0.4, 0.5, 0.6], [0.1, 0.2, 0.3]))
        expected = reference(pixel_values=(pictures / 255 - mean) / deviation).pooler_output
        torch.testing.assert_close(Backbone(str(folder), 3).eval()(pictures), expected)
        (folder / "preprocessor_config.json").write_text('{"do_normalize": false, "image_mean": 0.2}')
        expected = reference(pixel_values=pictures / 255).pooler_output
        torch.testing.assert_close(Backbone(str(folder), 3).eval()(pictures), expected)


def test_the_network_is_never_asked(folder, monkeypatch):
    def refuse(*_):
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert Backbone(folder, 3).dim == Backbone("vit", 3, VIT).dim == 16
    with pytest.raises(InputError, match="neither a model type nor a folder"):
        Backbone("google/vit-base-patch16-224", 3)


def test_grey_pictures_are_repeated_for_a_model_of_colours_and_others_resized_to_its_side(folder):
    encoder = Backbone(folder, 1).eval()
    grey = random_pictures(channels=1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(grey), Backbone(folder, 3).eval()(grey.repeat(1, 3, 1, 1)))
        assert encoder(random_pictures(channels=1, size=13)).shape == (3, 16)


def test_a_pooler_without_weights_is_not_used(tmp_path):
    from transformers import ViTConfig, ViTModel

    network = ViTModel(ViTConfig(**VIT), add_pooling_layer=False).eval()
    network.save_pretrained(tmp_path / "vit")
    pictures = random_pictures()
    encoder = Backbone(tmp_path / "vit", 3)
    encoder(pictures).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters() if parameter.requires_grad)
    with torch.no_grad():
        expected = network(pixel_values=pictures / 255 * 2 - 1).last_hidden_state.mean(dim=1)
        torch.testing.assert_close(Backbone(tmp_path / "vit", 3).eval()(pictures), expected)


def test_a_configuration_object_will_do():
    from transformers import ResNetConfig

    assert Backbone(ResNetConfig(**RESNET, num_channels=1), 1).dim == 8


def test_its_state_can_be_loaded_into_another_and_holds_nothing_but_the_models():
    torch.manual_seed(1)
    one, other = (Backbone("vit", 3, VIT).eval() for _ in range(2))
    assert all(name.startswith("model.") for name in one.state_dict())
    other.load_state_dict(one.state_dict())
    pictures = random_pictures()
    assert torch.equal(one(pictures), other(pictures))


def test_making_one_leaves_the_generator_where_the_weights_left_it():
    """The trial picture is seen in evaluation mode: dropout draws nothing."""
    from transformers import ViTConfig, ViTModel

    options = VIT | {"hidden_dropout_prob": 0.5, "num_channels": 3}
    torch.manual_seed(4)
    ViTModel(ViTConfig(**options))
    after_weights = torch.rand(1)
    torch.manual_seed(4)
    Backbone("vit", 3, options)
    assert torch.equal(torch.rand(1), after_weights)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("name", "setting"),
    [("pytorch_model.bin", {}), ("adapter_model.bin", {"transformers_weights": "adapter_model.bin"})],
)
def test_pickled_weights_are_refused_and_never_run(folder, tmp_path, name, setting):
    (folder / "model.safetensors").unlink()
    torch.save({"x": Trap(tmp_path / "sprung")}, folder / name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | setting))
    with pytest.raises(InputError, match=r"no file named model\.safetensors") as error:
        Backbone(folder, 3)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "sprung").exists()


def test_code_in_a_folder_is_not_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mine", "auto_map": names}))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    with pytest.raises(InputError):
        Backbone(folder, 3)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_or_partial_folder_is_named(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layernorm" in name)
    for change in ({name: torch.zeros(3)}, {}):
        rest = {key: value for key, value in weights.items() if key != name} | change
        save_file(rest, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(InputError, match=r"vit: 1 weights of another shape or missing, such as .*layernorm"):
            Backbone(folder, 3)
    (folder / "model.safetensors").write_bytes(b"hello")
    with pytest.raises(InputError, match="vit: cannot build the model"):
        Backbone(folder, 3)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="vit: cannot build the model"):
        Backbone(folder, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "not a preprocessor's configuration"),
        ("{", "not a preprocessor's configuration"),
        ('{"image_mean": "x"}', "not a preprocessor's configuration"),
        ('{"image_mean": [NaN, 0, 0]}', "not finite"),
        ('{"image_std": [0.1, 0, 0.1]}', "image_std must be positive"),
        ('{"image_std": [0.1, 0.1]}', "cannot make features of a picture"),
    ],
)
def test_a_wrong_preprocessor_configuration_is_named(folder, content, message):
    (folder / "preprocessor_config.json").write_text(content)
    with pytest.raises(InputError, match=message) as error:
        Backbone(folder, 3)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "channels", "options", "message"),
    [
        ("nothing-of-the-kind", 3, None, "neither a model type nor a folder"),
        ("vit", 3, {"hiden_size": 4}, "vit: no option hiden_size"),
        ("vit", 3, "{", "`options` must be JSON"),
        ("vit", 3, "[1]", "`options` must be a JSON object"),
        ("vit", 3, VIT | {"patch_size": 0}, "vit: cannot"),
        ("vit", 3, VIT | {"hidden_size": "many"}, "vit: cannot build the model"),
        ("vit", 3, VIT | {"num_channels": 2}, "vit: takes pictures of 2 channels"),
        ("vit", 3, VIT | {"num_channels": 1}, "vit: "),
        ("vit", 3, VIT | {"image_size": [8, 12]}, "Only squares"),
        (
            "bert",
            3,
            {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
            "bert: cannot make features",
        ),
    ],
)
def test_what_cannot_be_an_encoder_of_pictures_is_refused_in_one_line(model, channels, options, message):
    with pytest.raises(InputError, match=message) as error:
        Backbone(model, channels, options)
    assert "\n" not in str(error.value)


def test_options_do_not_go_with_a_folder(folder):
    with pytest.raises(InputError, match="options go with a model type"):
        Backbone(folder, 3, {"hidden_size": 4})


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        InputError, match=r"the package transformers is missing\. pip install 'tellapart\[transformers\]'"
    ):
        Backbone("vit", 3)


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="`channels` must be 1 or 3"):
        Backbone("vit", 2)
