"""Security keys, screens of wards, programs and boxes, held against the acts that let them in and that revoked them.

Not held, for no act says so: how often a key was used and when, whether its owner was told, and the code of a link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec
import psycopg

from emr_store.instants import moment
from emr_store.invitations import CODE_LASTS
from emr_store.station_displays import LINK_LASTS
from emr_store.verification import Verification
from evidence.act import Act

_ACT = "newest act"  # what a row names
_KEY, _DISPLAY, _CLIENT, _BOX = "security_key", "station_display", "machine_client", "edge_invitation"
_UNSTATED = "public keys without hash"


class _Id(NamedTuple):
    table: str
    id: str


class _Stated(NamedTuple):
    """What an act says of a field; `value` as `_in_words` writes it."""

    value: str
    act: Act


@dataclass
class _Credential:
    """What the acts about one come to, field by field."""

    where: str  # for people
    newest: Act
    fields: dict[str, _Stated] = field(default_factory=dict)


class _KeyEnrolled(msgspec.Struct):
    """What acts say; unknown details are passed over, here and below. An act of an older program names no hash."""

    staff: str
    credential: str
    label: str
    model: str
    key_sha256: str = ""


class _KeyNamed(msgspec.Struct):
    credential: str


class _DisplayAdded(msgspec.Struct):
    display: str
    ward: str
    label: str


class _DisplayNamed(msgspec.Struct):
    display: str


class _ClientRegistered(msgspec.Struct):
    client: str
    key_sha256: str
    scopes: list[str]
    wards: list[str]


class _ClientNamed(msgspec.Struct):
    client: str


class _BoxInvited(msgspec.Struct):
    invitation: str
    label: str
    code_sha256: str


class _BoxAsked(msgspec.Struct):
    invitation: str
    key_id: str
    address: str


class _BoxAgreed(msgspec.Struct):
    invitation: str
    edge: str
    key_id: str


class _BoxNamed(msgspec.Struct):
    invitation: str


class _Credentials:
    """What the acts come to, one after the other."""

    def __init__(self, result: Verification) -> None:
        self.all: dict[_Id, _Credential] = {}
        self._result = result

    def enrol_key(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _KeyEnrolled)
        fields: dict[str, object] = {
            "owner": stated.staff, "label": stated.label, "model": stated.model, "enrolled": moment(act.at_us),
        }  # fmt: skip
        if stated.key_sha256:
            fields["public key (SHA-256)"] = stated.key_sha256
        else:
            self._result.counts[_UNSTATED] += 1
        self._let_in(_Id(_KEY, stated.credential), f"key {stated.credential[:16]} of {stated.staff}", act, fields)

    def revoke_key(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _KeyNamed)
        self._change(_Id(_KEY, stated.credential), act, {
            "revoked": moment(act.at_us), "revoked by": act.by, "reason of the revocation": act.why,
        })  # fmt: skip

    def add_display(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _DisplayAdded)
        fields = {
            "ward": stated.ward, "label": stated.label, "link open until": moment(act.at_us) + LINK_LASTS,
        }  # fmt: skip
        self._let_in(_Id(_DISPLAY, stated.display), f"screen {stated.label} of {stated.ward}", act, fields)

    def enrol_display(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _DisplayNamed)
        self._change(_Id(_DISPLAY, stated.display), act, {"enrolled": moment(act.at_us)})

    def revoke_display(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _DisplayNamed)
        self._change(_Id(_DISPLAY, stated.display), act, {"revoked": moment(act.at_us)})

    def register_client(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _ClientRegistered)
        fields: dict[str, object] = {
            "public key (SHA-256)": stated.key_sha256, "scopes": stated.scopes, "wards": stated.wards,
            "registered": moment(act.at_us), "act of the registration": act.act_id,
        }  # fmt: skip
        self._let_in(_Id(_CLIENT, stated.client), f"client {stated.client}", act, fields)

    def revoke_client(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _ClientNamed)
        self._change(_Id(_CLIENT, stated.client), act, {"revoked": moment(act.at_us)})

    def invite_box(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _BoxInvited)
        fields: dict[str, object] = {
            "label": stated.label, "invited by": act.by, "invited": moment(act.at_us), "code": stated.code_sha256,
            "code open until": moment(act.at_us) + CODE_LASTS,
        }  # fmt: skip
        self._let_in(_Id(_BOX, stated.invitation), f"invitation of {stated.label}", act, fields)

    def ask_of_box(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _BoxAsked)
        self._change(_Id(_BOX, stated.invitation), act, {
            "key (SHA-256)": stated.key_id, "address": stated.address, "asked": moment(act.at_us),
        })  # fmt: skip

    def agree_to_box(self, act: Act) -> None:
        stated = msgspec.convert(act.details, _BoxAgreed)
        fields: dict[str, object] = {"key (SHA-256)": stated.key_id, "edge": stated.edge}
        self._change(_Id(_BOX, stated.invitation), act, fields | _decision(act, agrees=True))

    def refuse_box(self, act: Act) -> None:
        self._change(_Id(_BOX, msgspec.convert(act.details, _BoxNamed).invitation), act, _decision(act, agrees=False))

    def _let_in(self, id_: _Id, where: str, act: Act, fields: dict[str, object]) -> None:
        if id_ in self.all:
            self._result.add(f"{id_.table}: {where}", f"{_words_of(act)} in the log lets it in a second time")
            return
        self.all[id_] = _Credential(f"{id_.table}: {where}", act)
        self._change(id_, act, fields)

    def _change(self, id_: _Id, act: Act, fields: dict[str, object]) -> None:
        known = self.all.get(id_)
        if known is None:
            self._result.add(f"{id_.table}: {id_.id}", f"{_words_of(act)} is about it, and no act in the log let it in")
            return
        known.newest = act
        known.fields |= {name: _Stated(_in_words(value), act) for name, value in fields.items()}
        known.fields[_ACT] = _Stated(_in_words(act.act_id), act)


def _decision(act: Act, *, agrees: bool) -> dict[str, object]:
    return {"agreed to": agrees, "decided by": act.by, "decided": moment(act.at_us)}


_APPLY: dict[str, Callable[[_Credentials, Act], None]] = {
    "security_key.enrol": _Credentials.enrol_key,
    "security_key.revoke": _Credentials.revoke_key,
    "display.add": _Credentials.add_display,
    "display.enrol": _Credentials.enrol_display,
    "display.revoke": _Credentials.revoke_display,
    "client.register": _Credentials.register_client,
    "client.revoke": _Credentials.revoke_client,
    "edge.invite": _Credentials.invite_box,
    "edge.ask": _Credentials.ask_of_box,
    "edge.agree": _Credentials.agree_to_box,
    "edge.refuse": _Credentials.refuse_box,
}


def check_credentials(conn: psycopg.Connection, acts: Sequence[Act], result: Verification) -> None:
    """Step 9, keys, screens, programs and boxes: each row is what acts of people say, and every act has its row."""
    stated = _Credentials(result)
    for act in sorted(acts, key=lambda act: act.at_us):
        apply = _APPLY.get(act.kind)
        if apply is None:
            continue
        try:
            apply(stated, act)
        except (msgspec.ValidationError, ValueError, OverflowError) as error:
            result.add(_words_of(act), f"what it says cannot be read: {error}")
    kept = _kept(conn)
    result.counts["credentials"] += len(kept)
    for id_, row in sorted(kept.items()):
        known = stated.all.get(id_)
        if known is None:
            named = f"(the row names act {row[_ACT][:16]})"
            result.add(f"{id_.table}: {id_.id}", f"no act in the log let it in {named}")
        else:
            _compare(row, known, result)
    for id_ in sorted(stated.all.keys() - kept.keys()):
        known = stated.all[id_]
        result.add(known.where, f"{_words_of(known.newest)} in the log is about it, and the table does not have it")
    if result.counts[_UNSTATED]:
        result.not_proved.append(
            f"the public keys of {result.counts[_UNSTATED]} security keys: an older program let them in, by acts that"
            " do not state them"
        )


def _compare(row: dict[str, str], known: _Credential, result: Verification) -> None:
    """Field by field; what the act of an older program does not state is not looked at."""
    for name, value in row.items():
        stated = known.fields.get(name)
        if stated is None:
            if value and name != "public key (SHA-256)":
                result.add(known.where, f"{name}: the row says {value}, and no act in the log says so")
        elif value != stated.value:
            says = f"{_words_of(stated.act)} in the log says {stated.value or 'nothing'}"
            result.add(known.where, f"{name}: the row says {value or 'nothing'}, and {says}")


def _words_of(act: Act) -> str:
    return f"act {act.act_id.hex()[:16]} ({act.kind})"


def _in_words(value: object) -> str:
    """As it stands in a finding: "" for nothing."""
    if value is None:
        return ""
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)


def _kept(conn: psycopg.Connection) -> dict[_Id, dict[str, str]]:
    """The rows, by the names of fields that findings use."""
    found = dict[_Id, dict[str, str]]()
    for table, (sql, names) in _KEPT_SQL.items():
        for id_, *values in conn.execute(sql.encode()):
            row = dict(zip(names, (_in_words(value) for value in values), strict=True))
            found[_Id(table, str(id_))] = row
    for each in found.values():
        if "public key" in each:
            each["public key (SHA-256)"] = sha256(bytes.fromhex(each.pop("public key"))).hexdigest()
    return found


_KEPT_SQL = {
    _KEY: (
        "SELECT encode(credential, 'hex'), staff, public_key, label, model, enrolled_at, revoked_at, revoked_by,"
        " revoke_reason, act_id FROM security_key",
        ("owner", "public key", "label", "model", "enrolled", "revoked", "revoked by", "reason of the revocation",
         _ACT),
    ),
    _BOX: (
        "SELECT invitation, label, invited_by, invited_at, encode(code_sha256, 'hex'), open_until,"
        " encode(sha256(public_der), 'hex'), address, asked_at, agrees, decided_by, decided_at, edge, act_id"
        " FROM edge_invitation",
        ("label", "invited by", "invited", "code", "code open until", "key (SHA-256)", "address", "asked", "agreed to",
         "decided by", "decided", "edge", _ACT),
    ),
    _DISPLAY: (
        "SELECT display, ward, label, open_until, enrolled_at, revoked_at, act_id FROM station_display",
        ("ward", "label", "link open until", "enrolled", "revoked", _ACT),
    ),
    _CLIENT: (
        "SELECT client, public_key, scopes, wards, registered_at, revoked_at, c.act_id, coalesce(r.act_id, c.act_id)"
        " FROM machine_client c LEFT JOIN machine_client_revoked r USING (client)",
        ("public key", "scopes", "wards", "registered", "revoked", "act of the registration", _ACT),
    ),
}  # fmt: skip
