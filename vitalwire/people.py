"""`vitalwire people`: the staff file, who works here, and what takes two people."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import UUID

import typer

from clinical.ward_names import ward_name
from emr_store import acts, grants, provider_accounts, second_person, staff
from emr_store.acts import this_user
from emr_store.grants import GrantRefusedError
from emr_store.second_person import Request, SecondPersonError
from emr_store.staff import AnotherPersonError, Changes, StaffMember
from gateway.people.staff_file import read_staff_file
from runtime.errors import EXIT_USAGE, UserError
from schemas.errors import VitalwireError
from vitalwire.on_demand import on_demand
from vitalwire.output import as_json, cell, console, listed
from vitalwire.record import Database, Json, Why, connect, since_moment

IN_OTHER_MODULES = {
    "key": "vitalwire.people_keys:keys",
    "display": "vitalwire.people_keys:displays",
    "client": "vitalwire.people_client:app",
    "emergency": "vitalwire.emergency:app",
}
app = typer.Typer(
    cls=on_demand(IN_OTHER_MODULES), help="Who works here, and what takes two people.", no_args_is_help=True
)
FILE_BYTES_MAX = 16 * 1024 * 1024
_SHOWN_MAX = 20  # numbers of people, of each kind of change
Staff = Annotated[str, typer.Argument(help="the number (工号), as in `vitalwire people list`")]
Asked = Annotated[UUID, typer.Argument(help="its id in `vitalwire people asked`")]


@app.command("import")
def people_import(
    file: Annotated[Path, typer.Argument(help="CSV: 工号,姓名,角色,执业,病区,起,止,机动病区; docs/people.md")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what it would do, and do nothing")] = False,
    same_person: Annotated[
        list[str] | None, typer.Option(help="a number whose new name or role is of the same person; also several times")
    ] = None,
    why: Why = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Import the staff file, whole: who is absent from it has ended: vitalwire people import staff.csv.

    First: vitalwire people import staff.csv --dry-run. Who married: vitalwire people import staff.csv --same-person
    10023. A file that ends half of the staff or more waits until a second person does `vitalwire people agree`.
    """
    content = _bytes_of(file)
    digest, same, author = sha256(content).digest(), same_person or [], this_user(why)
    with connect(database) as conn:
        found = read_staff_file(content, staff.known_wards(conn))
        if found.errors:
            _stop(json, [f"line {error.line}: {error.text}" for error in found.errors])
        try:
            if dry_run:
                with conn.transaction():
                    changes = staff.changes_of(conn, found.rows, acts.now(conn), same)
            else:
                changes = staff.import_file(conn, found.rows, digest, same_person=same, author=author)
        except AnotherPersonError as error:
            _stop(json, error.problems)
        except SecondPersonError:
            raise staff.ask_for(conn, found.rows, digest, same_person=same, author=author) from None
    _print_changes(json, changes, dry_run=dry_run)


@app.command("list")
def people_list(
    whole: Annotated[bool, typer.Option("--all", help="also who ended, or has not begun")] = False,
    database: Database = "",
    json: Json = False,
) -> None:
    """Who works here, by the newest staff file: vitalwire people list."""
    with connect(database) as conn:
        now = acts.now(conn)
        found = [member for member in staff.members(conn) if whole or member.works(now)]
    columns = ("staff", "name", "role", "licence", "wards", "pool", "from", "until", "ended")
    listed(json, "People", columns, found, _person_row)


def _person_row(member: StaffMember) -> Sequence[object]:
    licence = member.licence if member.licence_until is None else f"{member.licence} until {member.licence_until}"
    return (
        member.staff, member.name, member.role, licence, _wards(member.wards), _wards(member.pool), member.since,
        member.until, member.ended_at,
    )  # fmt: skip


@app.command("end")
def people_end(
    number: Staff, why: Annotated[str, typer.Option(help="the reason, kept with the act in the log")],
    database: Database = "",
) -> None:  # fmt: skip
    """End somebody now, sessions too: vitalwire people end 10023 --why 'left the hospital'.

    Later staff files do not bring him back; `vitalwire people import staff.csv --same-person 10023` does.
    """
    with connect(database) as conn:
        member = staff.end(conn, number, this_user(why))
    console.print(cell(f"{member.name} ({member.staff}) has ended, and so have all sessions"), markup=False)


@app.command("unbind")
def people_unbind(
    number: Staff, why: Annotated[str, typer.Option(help="the reason, kept with the act in the log")],
    database: Database = "",
) -> None:  # fmt: skip
    """Let another account at the provider sign somebody in: vitalwire people unbind 10023 --why 'a new account'.

    The first sign-in by the provider binds a number to the account there; another account is refused from then on.
    """
    with connect(database) as conn:
        ended = provider_accounts.unbind(conn, number, this_user(why))
    console.print(
        cell(f"the next account that says {number} is bound to it; sessions that ended: {ended}"), markup=False
    )


@app.command("supervise")
def people_supervise(
    supervisor: Staff,
    trainee: Annotated[str, typer.Argument(help="the number of whom he answers for")],
    until: Annotated[str, typer.Option(help="until when: 2026-12-31, or 2026-12-31T18:00+08:00")],
    why: Why = "",
    database: Database = "",
) -> None:
    """Somebody answers for a trainee's entries: vitalwire people supervise 10002 10099 --until 2026-12-31."""
    moment = since_moment(until, "--until")
    with connect(database) as conn:
        try:
            grants.supervise(conn, supervisor, trainee, until=moment, author=this_user(why))
        except GrantRefusedError as error:
            raise VitalwireError(f"{supervisor} does not answer for {trainee}: {_WORDS[error.refusal]}") from None
    console.print(cell(f"{supervisor} answers for {trainee} until {cell(moment)}"), markup=False)


_WORDS = {
    grants.Refusal.NO_STAFF: "one of them does not work here; see `vitalwire people list`",
    grants.Refusal.NO_TRAINEE: "only who is a trainee, or has no licence, is answered for",
    grants.Refusal.NO_LICENCE: "only who has a licence answers for others",
    grants.Refusal.TO_ONESELF: "nobody answers for himself",
    grants.Refusal.ENDS_TOO_EARLY: "--until lies in the past",
    grants.Refusal.ENDS_TOO_LATE: f"--until lies more than {grants.SUPERVISION_MAX.days} days ahead",
}


@app.command("asked")
def people_asked(database: Database = "", json: Json = False) -> None:
    """What waits for a second person, or was agreed to and not done yet: vitalwire people asked."""
    with connect(database) as conn:
        found = second_person.asked(conn)
    columns = ("id", "what", "by", "since", "until", "", "details")
    listed(json, "Asked", columns, found, _asked_row)


def _asked_row(asked: Request) -> Sequence[object]:
    state = f"{asked.answered_by} agrees" if asked.agrees else "waits"
    details = ", ".join(f"{name}: {value}" for name, value in asked.details.items())
    return asked.request, asked.kind, asked.by, asked.at, asked.expires_at, state, details


@app.command("agree")
def people_agree(
    request: Asked,
    decline: Annotated[bool, typer.Option("--decline", help="do not agree; or take back what oneself asked")] = False,
    why: Why = "",
    database: Database = "",
) -> None:
    """As a second person, agree to what somebody asked: vitalwire people agree 7f3a0c1e-....

    See what it is first: vitalwire people asked. Not to agree: vitalwire people agree 7f3a0c1e-... --decline. It takes
    another account of the operating system than that of who asked.
    """
    answer = second_person.decline if decline else second_person.agree
    with connect(database) as conn:
        found = answer(conn, request, this_user(why))
    then = "nothing is done" if decline else f"{found.by} can do it until {cell(found.expires_at)}"
    word = "declined" if decline else "agreed to"
    console.print(cell(f"{word} {found.kind}, asked by {found.by}: {then}"), markup=False)


def _bytes_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise UserError(f"{file} is longer than {FILE_BYTES_MAX} bytes: is it the staff file?")
    return content


def _stop(json: bool, problems: Sequence[str]) -> NoReturn:
    """Each on a line of its own; nothing was imported."""
    if json:
        as_json({"errors": problems})
    else:
        for problem in problems:
            console.print(cell(problem), markup=False)
        console.print("nothing was imported: correct the file, and import it again")
    raise typer.Exit(EXIT_USAGE)


def _print_changes(json: bool, changes: Changes, *, dry_run: bool) -> None:
    kinds = {
        "new": changes.new, "changed": changes.changed, "ended": changes.ended, "unchanged": changes.unchanged,
        "kept_ended": changes.kept_ended,
    }  # fmt: skip
    if json:
        as_json({**kinds, "takes_two": changes.takes_two, "dry_run": dry_run})
        return
    counts = ", ".join(f"{len(numbers)} {kind.replace('_', ' ')}" for kind, numbers in kinds.items())
    console.print(f"{'would be: ' if dry_run else ''}{counts}")
    for kind, numbers in kinds.items():
        if numbers and kind != "unchanged":
            more = f" and {len(numbers) - _SHOWN_MAX} more" if len(numbers) > _SHOWN_MAX else ""
            console.print(cell(f"{kind.replace('_', ' ')}: {', '.join(numbers[:_SHOWN_MAX])}{more}"), markup=False)
    if changes.kept_ended:
        console.print("kept ended: an administrator ended them; --same-person NUMBER brings one back")
    if dry_run and changes.takes_two:
        console.print(f"it would end {len(changes.stops)} of {changes.worked}, half or more: that takes two people")


def _wards(wards: Sequence[str]) -> str:
    return "; ".join(ward_name(ward) for ward in wards)
