"""What to say of a name that nobody knows."""

from collections.abc import Sequence
from difflib import get_close_matches

MEANT = ", did you mean "


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """What to say where no ``what`` has this name: the nearest of those known, and all of them."""
    return f"no {what} is called {name!r}{did_you_mean(name, known) or '.'} There are {', '.join(known)}"


def did_you_mean(name: str, known: Sequence[str], alike: float = 0.6) -> str:
    """A question for the nearest of the known names, to be put behind one; empty if none is alike by so large a share.

    The share is that of `difflib.SequenceMatcher.ratio`.
    """
    near = get_close_matches(name.lower(), [other.lower() for other in known], 1, alike)
    return next((f"{MEANT}{other}?" for other in known if [other.lower()] == near), "")
