"""Videos: frames, optical flow, warps, fully convolutional encoders, and what a system of pixels is measured on."""

from tellapart.domains.pixels.commands import commands_for, encoder_of, matched, propagated, search
from tellapart.domains.pixels.dataset import Dataset
from tellapart.domains.pixels.encoder import STRIDE, DenseConv, FourCells, as_cells
from tellapart.domains.pixels.flow import Flows, Followed, dis_flow, sampled
from tellapart.domains.pixels.given import as_frame, as_videos
from tellapart.domains.pixels.match import Matches, match
from tellapart.domains.pixels.matching import Encode, Found, find, read
from tellapart.domains.pixels.measure import Asked, by_encoder, by_flow, places_found, questions, share_found
from tellapart.domains.pixels.options import PixelOptions
from tellapart.domains.pixels.propagate import Propagated, propagate, read_mask
from tellapart.domains.pixels.pyramid import PYRAMID, seen_at
from tellapart.domains.pixels.sampling import Sampler, Shown, Views
from tellapart.domains.pixels.video import Video, read_picture, read_videos
from tellapart.domains.pixels.views import TwoViews, Warp, recoloured, two_views

__all__ = [
    "PYRAMID",
    "STRIDE",
    "Asked",
    "Dataset",
    "DenseConv",
    "Encode",
    "Flows",
    "Followed",
    "Found",
    "FourCells",
    "Matches",
    "PixelOptions",
    "Propagated",
    "Sampler",
    "Shown",
    "TwoViews",
    "Video",
    "Views",
    "Warp",
    "as_cells",
    "as_frame",
    "as_videos",
    "by_encoder",
    "by_flow",
    "commands_for",
    "dis_flow",
    "encoder_of",
    "find",
    "match",
    "matched",
    "places_found",
    "propagate",
    "propagated",
    "questions",
    "read",
    "read_mask",
    "read_picture",
    "read_videos",
    "recoloured",
    "sampled",
    "search",
    "seen_at",
    "share_found",
    "two_views",
]
