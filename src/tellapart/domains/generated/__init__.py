"""Examples that a network generates: two players, mixtures and pictures to learn from, and how close it comes."""

from tellapart.domains.generated.commands import Commands, Data
from tellapart.domains.generated.measure import calibration, frechet_distance, kl_bound
from tellapart.domains.generated.mixture import MIXTURES, Mixture, kl_to_even
from tellapart.domains.generated.networks import PictureGenerator, picture_critic, point_critic, point_generator
from tellapart.domains.generated.options import GeneratorOptions
from tellapart.domains.generated.pictures import Judge, PictureData, as_bytes, as_shades
from tellapart.domains.generated.players import Players
from tellapart.domains.generated.points import PointData, check_mixture
from tellapart.domains.generated.step import PlayerStep, with_gradient

__all__ = [
    "MIXTURES",
    "Commands",
    "Data",
    "GeneratorOptions",
    "Judge",
    "Mixture",
    "PictureData",
    "PictureGenerator",
    "PlayerStep",
    "Players",
    "PointData",
    "as_bytes",
    "as_shades",
    "calibration",
    "check_mixture",
    "frechet_distance",
    "kl_bound",
    "kl_to_even",
    "picture_critic",
    "point_critic",
    "point_generator",
    "with_gradient",
]
