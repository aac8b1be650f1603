"""The transition: an alert's episode opened or resolved; what travels on the topic `alerts`."""

import msgspec


class Transition(msgspec.Struct, frozen=True):
    """An episode opened or resolved; instants in microseconds. Its id follows from its cause: said twice, it is one."""

    id: str
    episode: str
    device: str
    condition: str
    priority: str
    opened: bool
    at_us: int
    opened_at_us: int
    message: str
