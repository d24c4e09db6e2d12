"""Micrographs: TIFF and other pictures of any size, turned patches, an encoder of textures, made-up microstructures."""

from tellapart.domains.micrographs.clusters import ENDINGS, PlaceClusters
from tellapart.domains.micrographs.commands import as_micrographs, cluster, commands_for
from tellapart.domains.micrographs.dataset import Blocks, Dataset
from tellapart.domains.micrographs.grains import GrainStatistics, boundaries, drawn, grain_statistics
from tellapart.domains.micrographs.measure import Labelled, labels_told, radial_spectrum
from tellapart.domains.micrographs.micrographs import Micrograph, Micrographs, load_micrographs
from tellapart.domains.micrographs.options import MicrographOptions
from tellapart.domains.micrographs.pairs import Patches, cut_twice
from tellapart.domains.micrographs.patches import Cutter, Places, Region, aperture, disc, standardised, varied
from tellapart.domains.micrographs.structures import KINDS, Kind, Structure, generate, power_cells
from tellapart.domains.micrographs.texture_net import TextureNet

__all__ = [
    "ENDINGS",
    "KINDS",
    "Blocks",
    "Cutter",
    "Dataset",
    "GrainStatistics",
    "Kind",
    "Labelled",
    "Micrograph",
    "MicrographOptions",
    "Micrographs",
    "Patches",
    "PlaceClusters",
    "Places",
    "Region",
    "Structure",
    "TextureNet",
    "aperture",
    "as_micrographs",
    "boundaries",
    "cluster",
    "commands_for",
    "cut_twice",
    "disc",
    "drawn",
    "generate",
    "grain_statistics",
    "labels_told",
    "load_micrographs",
    "power_cells",
    "radial_spectrum",
    "standardised",
    "varied",
]
