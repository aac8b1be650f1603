"""What is wrong with a receiver: switched on by words such as `slow=0.02 ae=3 lost=0.1 down`, and off by `none`."""

from __future__ import annotations

from collections import Counter
from random import Random

# With a number: seconds.
SECONDS = ("slow", "late")
# Alone: always. With a whole number: the next so many. With a share from 0.0 to 1.0: at random.
OCCASIONAL = ("ae", "ar", "lost", "doubled", "other", "error_inside")
SWITCHES = ("down", "duplicates")
NAMES = {
    "slow": "answers after so many seconds",
    "late": "works, and answers after so many seconds",
    "ae": "refuses the content: AE, HTTP 422",
    "ar": "cannot now: AR, HTTP 503",
    "lost": "works, and answers nothing",
    "doubled": "answers twice (MLLP)",
    "other": "answers for another message; FHIR: with another resource's location",
    "error_inside": "AA or HTTP 200, with an error inside, and nothing filed",
    "down": "refuses connections",
    "duplicates": "files what it has already again, under a second row",
}


class Faults:
    """Those that are on, and how often each came about."""

    def __init__(self, words: str = "", seed: int = 1) -> None:
        self.happened: Counter[str] = Counter()
        self._values: dict[str, float] = {}
        self._left: dict[str, int] = {}  # of those for the next so many
        self._rng = Random(seed)
        self.set(words)

    def set(self, words: str) -> None:
        """These and no others. Raises ValueError, with what is possible, for what is none; then nothing changes."""
        values, left = {}, {}
        for word in words.replace(",", " ").split():
            name, _, number = word.partition("=")
            if name == "none":
                continue
            if name not in NAMES:
                raise ValueError(f"no fault {name!r}: none or {', '.join(NAMES)}")
            value = _number(word, number)
            if name in OCCASIONAL and number.isdecimal():
                left[name] = int(number)
            elif name in OCCASIONAL and value > 1:
                raise ValueError(f"{word}: a share is from 0.0 to 1.0, a whole number is the next so many")
            elif name in SECONDS and not number:
                raise ValueError(f"{word}: write its seconds, as in {name}=0.5")
            values[name] = value
        self._values, self._left = values, left

    @property
    def words(self) -> str:
        """Those that are on, as `set` takes them."""
        return " ".join(self._word(name) for name in self._values if self._left.get(name, 1)) or "none"

    def _word(self, name: str) -> str:
        if name in self._left:
            return f"{name}={self._left[name]}"
        return name if name in SWITCHES else f"{name}={self._values[name]}"

    def seconds(self, name: str) -> float:
        """Of `slow` or `late`; 0: not on."""
        value = self._values.get(name, 0.0)
        self.happened[name] += value > 0
        return value

    def is_on(self, name: str) -> bool:
        """Of a switch."""
        return self._values.get(name, 0.0) > 0

    def happens(self, name: str) -> bool:
        """Whether it comes about now."""
        if name not in self._values:
            return False
        if name in self._left:
            if not self._left[name]:
                return False
            self._left[name] -= 1
        elif self._rng.random() >= self._values[name]:
            return False
        self.happened[name] += 1
        return True


def _number(word: str, number: str) -> float:
    try:
        value = float(number or 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise ValueError(f"{word}: not a number from 0 on")
    return value
