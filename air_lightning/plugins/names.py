"""What to say of a name that nobody knows."""

from collections.abc import Sequence
from difflib import get_close_matches


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """What to say where no ``what`` has this name: the nearest of those known, and all of them."""
    near = get_close_matches(name.lower(), [other.lower() for other in known], 1)
    meant = next((f", did you mean {other}?" for other in known if [other.lower()] == near), ".")
    return f"no {what} is called {name!r}{meant} There are {', '.join(known)}"
