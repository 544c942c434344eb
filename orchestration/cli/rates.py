"""Events a second, from counts that are read now and then."""

from collections.abc import Mapping

_SECONDS = 10.0


class Rates:
    """How fast counts have grown over the last ten seconds, or since the look before where that is longer."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, Mapping[str, int]]] = []

    def measure(self, counts: Mapping[str, int], *, now_s: float) -> dict[str, float]:
        """Name → growth a second; a name that is seen for the first time has none yet.

        Args:
            counts: Name → how many there are now. Empty where they could not be read: that says nothing.
            now_s: Seconds from a clock that never goes back.
        """
        if not counts:
            self._looks.clear()
            return {}
        self._looks.append((now_s, dict(counts)))
        while len(self._looks) > 2 and self._looks[1][0] <= now_s - _SECONDS:
            del self._looks[0]
        then_s, before = self._looks[0]
        if now_s <= then_s:
            return {}
        return {
            name: max(0, count - before[name]) / (now_s - then_s)
            for name, count in counts.items()
            if name in before
        }
