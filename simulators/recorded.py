"""A patient whose waves are a recording of a real one, played again and again; the numbers stay those of its seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.patient import Patient, Times

Recording = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RecordedPatient(Patient):
    """`ppg` is 0 to 1 (`normalised`), `ecg` in millivolts; the rates are samples a second. None: as simulated."""

    ppg: Recording | None = None
    ppg_hz: float = 1.0
    ecg: Recording | None = None
    ecg_hz: float = 1.0

    def pleth(self, t: Times) -> Times:
        """The recorded pulse wave."""
        return super().pleth(t) if self.ppg is None else played(self.ppg, self.ppg_hz, t)

    def ecg_mv(self, t: Times) -> Times | None:
        """The recorded ECG."""
        return None if self.ecg is None else played(self.ecg, self.ecg_hz, t)


def played(recording: Recording, rate_hz: float, t: Times) -> Times:
    """The recording at these times, in a loop; between two samples a straight line."""
    place = np.asarray(t) * rate_hz % len(recording)
    found: Times = np.interp(place, np.arange(len(recording) + 1), np.append(recording, recording[0]))
    return found


def normalised(raw: NDArray[np.float64]) -> Recording:
    """From its least, 0, to its greatest, 1."""
    low, high = float(raw.min()), float(raw.max())
    return (raw - low) / (high - low)
