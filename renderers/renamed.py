"""Arguments by the names that they had before."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")


def renamed_arguments(**names: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Have a constructor take arguments by old names, too: old name = present one. Its signature has the present alone.

    Raises:
        TypeError: from the constructor, where one argument is given by both names.
    """

    def take(constructor: Callable[P, None]) -> Callable[P, None]:
        @wraps(constructor)
        def by_present_names(*args: P.args, **given: P.kwargs) -> None:
            both = next((old for old in given if names.get(old) in given), None)
            if both is not None:
                present = names[both]
                raise TypeError(f"got `{both}` and `{present}`, which are the same: give `{present}`")
            renamed: Any = {names.get(name, name): value for name, value in given.items()}
            constructor(*args, **renamed)

        return by_present_names

    return take
