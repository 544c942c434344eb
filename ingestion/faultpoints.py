"""Named places at which a test may stop or kill the process. Costs one comparison when unused.

Only tests install a hook; the names in use are listed in docs/delivery.md.
"""

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def install_hook(hook: Callable[[str], None] | None) -> None:
    """Set or remove the hook; it gets the name of each place that is passed."""
    global _hook
    _hook = hook


def faultpoint(name: str) -> None:
    """Mark a place by name."""
    if _hook is not None:
        _hook(name)
