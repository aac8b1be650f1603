"""The byte layout of a batch: sizes, limits, and one numpy dtype a table (docs/batch.md draws them to the byte).

Little-endian and packed; offsets are derived, never stored.
"""

import struct
from enum import IntEnum, IntFlag

import numpy as np

MAGIC_HEAD = b"VWBATCH"  # of every layout; the number of the layout is the byte after it
LAYOUT = 2  # the newest that this version reads
BATCH_MAGIC = MAGIC_HEAD + bytes([LAYOUT])
SUITE_P256_SHA256 = 1
CODEC_ZSTD = 1
SIGNATURE_BYTES_BY_SUITE = {SUITE_P256_SHA256: 64}  # r || s
SIGNATURE_BYTES = SIGNATURE_BYTES_BY_SUITE[SUITE_P256_SHA256]  # of a batch's header
BATCH_NO_MAX = 2**63 - 2  # the database keeps ranges of numbers: int8, whose upper end is excluded
FRAME_BYTES_MAX = 256 * 1024  # one frame of a device
CUT_BYTES = 512 * 1024  # a batch is cut at this plain size
PLAIN_BYTES_MAX = 1024 * 1024  # cut size plus the largest report, with room
SEALED_BYTES_MAX = PLAIN_BYTES_MAX + 64 * 1024  # what zstd may add to bytes that do not compress
REPORTS_MAX = 16_384
RECORDS_PER_REPORT_MAX = 10_000
ABSENT_TIME = -(2**63)  # device's own time, where the message carries none

# magic · suite · lane · codec · edge · spool · batch_no · previous header's hash · created_at · report, record, tail
# counts · key_id · hash of config and driver versions · Merkle root · hash of the body as it travels · zeros
HEADER = struct.Struct("<8sHBB16s16sQ32sqIII32s32s32s32s24s")
# Every later layout keeps the size of this header, the signature after it, and where lane, edge, spool, batch_no and
# key_id are: a hospital that cannot read a batch yet tells its edge so.
HEADER_BYTES = HEADER.size  # 256
BODY_START = HEADER_BYTES + SIGNATURE_BYTES

REPORT_ROW = np.dtype(
    [
        ("device", "V16"),
        ("salt", "V16"),
        ("frame_hash", "V32"),  # H(salt || frame)
        ("observed_at", "<i8"),
        ("device_at", "<i8"),
        ("received_at", "<i8"),
        ("sequence", "<u8"),
        ("uncertainty_ms", "<u4"),
        ("clock_quality", "u1"),
        ("kind", "u1"),
        ("record_count", "<u2"),
        ("tail_len", "<u4"),
    ]
)
# The same row for the edge, which writes one report at a time.
REPORT_STRUCT = struct.Struct("<16s16s32sqqqQIBBHI")
SEQUENCE_OFFSET = 88

RECORD = np.dtype(
    [
        ("code", "<u4"),
        ("unit", "<u4"),
        ("channel", "<u4"),
        ("kind", "u1"),
        ("validity", "u1"),
        ("exponent", "i1"),
        ("marks", "u1"),
        ("mantissa", "<i8"),
    ]
)
RECORD_STRUCT = struct.Struct("<IIIBBbBq")
CHANNEL_BYTES = 12  # code, unit, channel: what tells one channel of a report from another

TAIL_ENTRY = struct.Struct("<HBBI")  # record index, tail kind, zero, length of what follows
# rate numerator and denominator, first sample, scale and offset mantissa, exponent, zero, invalid stretches; then begin
# and end of each of these stretches, then int16 samples
SAMPLES_HEAD = struct.Struct("<IIQiibBH")
STRETCH = struct.Struct("<II")
# state, priority, kind, bits (AlarmBit), since, low and high mantissa, their exponents; then condition and text: UTF-8,
# U+001F between
ALARM_HEAD = struct.Struct("<BBBBqqqbb")
REPORT_LEVEL = 0xFFFF  # the entry belongs to the report, not to one of its records


class AlarmBit(IntFlag):
    """What an alarm's bits say."""

    LATCHED = 1
    AUDIO_PAUSED = 2
    HAS_LOW = 4
    HAS_HIGH = 8


class TailKind(IntEnum):
    """What a tail entry holds."""

    TEXT = 1  # UTF-8
    BYTES = 2  # a text that could not be decoded, as it came
    NOTE = 3  # a remark beside the value: UTF-8
    AS_SENT = 4  # code system, code, unit: three UTF-8 texts separated by U+001F
    SAMPLES = 5
    ALARM = 6
    FRAME = 7  # the bytes of a frame that could not be read
    CLAIM = 8  # the identity as the sender states it: UTF-8


assert REPORT_ROW.itemsize == REPORT_STRUCT.size == 108
assert RECORD.itemsize == RECORD_STRUCT.size == 24
assert REPORT_ROW.fields is not None
assert REPORT_ROW.fields["sequence"][1] == SEQUENCE_OFFSET
