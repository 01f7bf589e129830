"""Light that nobody knows: what of it a data set shares and may have learnt."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from renderers.mesh.projection import Scenery
from renderers.mesh.scenery import Light, Shadow, falling
from renderers.spaces import Coordinate

GROUPS = {
    "light": ("light_azimuth", "light_elevation", "light_nearness", "light_ambient", "light_diffuse"),
    "tint": ("light_red", "light_blue", "ambient_red", "ambient_blue"),
    "shadow": ("shadow_strength", "shadow_softness"),
}
"""Short names of what belongs together; ``all`` is all of it."""

HALF_TURN = math.pi
COORDINATES = {
    # from z towards x, and above the table; the least height leaves the softest light's disc above it
    "light_azimuth": Coordinate("light_azimuth", "radians", -HALF_TURN, HALF_TURN, 0.06, circular=True),
    "light_elevation": Coordinate("light_elevation", "radians", 0.45, 1.5, 0.05),
    "light_nearness": Coordinate("light_nearness", "1 / world units", 0.0, 0.3, 0.02),
    "light_ambient": Coordinate("light_ambient", "share of the colour", 0.0, 1.0, 0.03),
    "light_diffuse": Coordinate("light_diffuse", "share of the colour", 0.0, 1.5, 0.05),
    # factors on red and blue, green staying as it is: of what shines from the light's side, and from everywhere
    **{
        name: Coordinate(name, "log factor", -1.0, 1.0, 0.04, prior="normal", sd=0.2)
        for name in ("light_red", "light_blue", "ambient_red", "ambient_blue")
    },
    "shadow_strength": Coordinate("shadow_strength", "share of the table's light", 0.0, 1.0, 0.06),
    "shadow_softness": Coordinate("shadow_softness", "degrees", 0.5, 20.0, 1.0),
}


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The coordinates that these names of theirs and of groups mean, in their own order.

    Errors:
        ValueError for an unknown name.
    """
    groups = {**GROUPS, "all": tuple(COORDINATES)}
    wanted: set[str] = set()
    for name in names:
        if name not in groups and name not in COORDINATES:
            raise ValueError(f"shared names {name!r}, which is none of {', '.join((*groups, *COORDINATES))}")
        wanted |= set(groups.get(name, (name,)))
    return tuple(name for name in COORDINATES if name in wanted)


def with_shadow(light: Light, names: Sequence[str]) -> Light:
    """The light, with a shadow where one is to be learnt.

    Errors:
        ValueError for a nearness to be learnt beside other lamps.
    """
    if light.lamps and "light_nearness" in names:
        raise ValueError(
            f"shared has light_nearness, and light has {len(light.lamps)} lamps, which are distant: name those that "
            "are to be learnt"
        )
    wants = light.shadow is None and any(name in GROUPS["shadow"] for name in names)
    return replace(light, shadow=Shadow()) if wants else light


def values_of(light: Light) -> dict[str, float]:
    """What a light has of every coordinate."""
    x, y, z = np.asarray(light.direction, np.float64) / np.linalg.norm(light.direction)
    shadow = light.shadow or Shadow(strength=0.0)
    return {
        "light_azimuth": math.atan2(x, z),
        "light_elevation": math.asin(y),
        "light_nearness": 0.0 if light.distance is None else 1 / light.distance,
        "light_ambient": light.ambient,
        "light_diffuse": light.directed,
        "light_red": 0.0,
        "light_blue": 0.0,
        "ambient_red": 0.0,
        "ambient_blue": 0.0,
        "shadow_strength": shadow.strength,
        "shadow_softness": shadow.softness,
    }


def relit(scenery: Scenery, light: Light, learnt: Mapping[str, float]) -> Scenery:
    """The scenery in a light that has other values of some coordinates."""
    v = values_of(light) | dict(learnt)
    across = math.cos(v["light_elevation"])
    azimuth = v["light_azimuth"]
    direction = (across * math.sin(azimuth), math.sin(v["light_elevation"]), across * math.cos(azimuth))
    strength = min(v["shadow_strength"], 1 - light.taken_by_lamps)  # all together take no more than all light
    shadow = light.shadow and replace(light.shadow, strength=strength, softness=v["shadow_softness"])
    distance = 1 / v["light_nearness"] if v["light_nearness"] > 0 else None
    tint = np.exp([v["light_red"], 0.0, v["light_blue"]])
    glow = np.exp([v["ambient_red"], 0.0, v["ambient_blue"]])
    return scenery._replace(
        ambient=(v["light_ambient"] * glow * light.ambient_color).astype(np.float32),
        diffuse=(v["light_diffuse"] * tint * light.color).astype(np.float32),
        **falling(replace(light, direction=direction, shadow=shadow, distance=distance)),
    )
