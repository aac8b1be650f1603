"""`vitalwire doctor tcp://:2575` and `mqtt://host/topic`: who sends there, and what of it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from edge_agent.config import MqttLink, TcpLink
from edge_agent.links.address import split_address
from edge_agent.links.mqtt import topic_problem
from edge_agent.links.tcp import server_tls
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from runtime.tls import is_loopback
from vitalwire.doctor.port.asked import Asked, finish
from vitalwire.doctor.port.hl7_listener import hear_senders
from vitalwire.doctor.port.hl7_sender import PLAIN, HL7Sender
from vitalwire.doctor.port.hl7_words import Answer, answer_about, nobody
from vitalwire.doctor.port.mqtt_broker import ALL_TOPICS, hear_topics
from vitalwire.doctor.port.mqtt_topics import TopicsHeard, answer_about_topics
from vitalwire.doctor.port.source_table import table
from vitalwire.output import as_json, cell, console

MLLP_PORT, MQTT_PORT, MQTTS_PORT = 2575, 1883, 8883


def examine_hl7(asked: Asked, rest: str) -> None:
    """Who connects, and what they send; raises typer.Exit where something is wrong with one of them, and UserError."""
    place = _with_port(rest.strip("/"), MLLP_PORT)
    link = TcpLink(listen=place, tls_cert=asked.tls_cert, tls_key=asked.tls_key, tls_ca=asked.tls_ca)
    context = server_tls(link)
    _check_plaintext(place, asked, has_tls=context is not None, mend="--tls-cert and --tls-key")
    with _shown(asked) as show:
        senders = asyncio.run(hear_senders(place, context, asked.seconds, lambda found: show(_progress(asked, found))))
    answer = [answer_about(sender, asked.language, has_tls=context is not None) for sender in senders]
    answer = answer or [nobody(place, asked.seconds, asked.language)]
    good = [sender for sender, each in zip(senders, answer, strict=False) if each.slug in ("read", "adt")]
    found = _hl7_table(asked, place, good, has_tls=context is not None) if good else ""
    if asked.json:
        as_json({"senders": [_facts(each, words) for each, words in zip(senders, answer, strict=False)],
                 "slug": answer[0].slug, "text": [each.text for each in answer], "source": found})  # fmt: skip
    else:
        _print(answer)
    finish(asked, found, is_certain=all(each.slug in ("read", "adt") for each in answer))


def _hl7_table(asked: Asked, place: str, good: list[HL7Sender], *, has_tls: bool) -> str:
    adt_alone = all(each.types and all(kind.startswith("ADT") for kind in each.types) for each in good)
    driver = "hl7_adt" if adt_alone else "hl7_oru"
    link: dict[str, object] = {"type": "tcp", "listen": place}
    if has_tls:
        files = {"tls_cert": asked.tls_cert, "tls_key": asked.tls_key, "tls_ca": asked.tls_ca}
        link |= {key: str(path) for key, path in files.items() if path is not None}
    dialects = {sender.best_dialect for sender in good}
    settings = {"dialect": dialects.pop()} if driver == "hl7_oru" and len(dialects) == 1 else {}
    if settings == {"dialect": PLAIN}:
        settings = {}
    beyond = not has_tls and not is_loopback(split_address(place)[0])
    return table(asked.name or driver, driver, link, insecure=beyond, settings=settings)


def _facts(sender: HL7Sender, answer: Answer) -> dict[str, object]:
    best = sender.dialects[sender.best_dialect]
    return {
        "slug": answer.slug, "text": answer.text, "peer": sender.peer, "connections": sender.connections,
        "bytes": sender.bytes_heard, "tls_offered": sender.tls_offered, "tls_problem": sender.tls_problem,
        "messages": sender.messages, "senders": sender.senders, "types": sender.types, "versions": sender.versions,
        "dialect": sender.best_dialect, "values": best.values, "codes": best.codes, "unmapped": best.unmapped,
        "unreadable": best.unreadable, "unframed": sender.unframed, "head": sender.head,
    }  # fmt: skip


def _progress(asked: Asked, senders: list[HL7Sender]) -> str:
    messages = sum(sender.messages for sender in senders)
    if asked.language == "zh":
        return f"正在监听：{len(senders)}个发送方，{messages}条消息"
    return f"listening: {len(senders)} senders, {messages} messages"


def examine_mqtt(asked: Asked, rest: str, *, has_tls: bool) -> None:
    """What the broker's topics say; raises typer.Exit where no driver is certain of it, and UserError."""
    where, _, topic = rest.partition("/")
    topic = topic or ALL_TOPICS
    if problem := topic_problem(topic):
        raise UserError(problem)
    if has_tls and asked.tls_ca is None:
        raise UserError("mqtts:// needs the CA of the broker: --tls-ca ca.pem")
    place = _with_port(where, MQTTS_PORT if asked.tls_ca is not None else MQTT_PORT)
    link = MqttLink(
        broker=place, topics=(topic,), username=asked.user or None, password_file=asked.password_file,
        tls_ca=asked.tls_ca, tls_cert=asked.tls_cert, tls_key=asked.tls_key, insecure=asked.insecure,
    )  # fmt: skip
    _check_plaintext(place, asked, has_tls=asked.tls_ca is not None, mend="--tls-ca")
    with _shown(asked) as show:
        heard, link = asyncio.run(hear_topics(link, asked.seconds, lambda found: show(_mqtt_progress(asked, found))))
    answer = answer_about_topics(heard, asked.seconds, asked.language)
    found = _mqtt_table(asked, link, heard) if answer.slug in ("read", "likely") else ""
    if asked.json:
        as_json({"slug": answer.slug, "text": [answer.text], "driver": heard.best.driver.name if found else "",
                 "messages": heard.messages, "read": heard.best.read, "values": heard.best.values,
                 "topics": heard.topics, "first": heard.first, "source": found})  # fmt: skip
    else:
        _print([answer])
    finish(asked, found, is_certain=answer.slug == "read")


def _mqtt_table(asked: Asked, link: MqttLink, heard: TopicsHeard) -> str:
    shown = {name: value for name, value in msgspec.structs.asdict(link).items() if value not in (None, "", ())}
    keys = ("broker", "topics", "version", "username", "password_file", "tls_ca", "tls_cert", "tls_key")
    of_link = {"type": "mqtt", **{key: shown[key] for key in keys if key in shown}}
    beyond = link.tls_ca is None and not is_loopback(split_address(link.broker)[0])
    driver = heard.best.driver.name
    return table(asked.name or driver, driver, of_link, insecure=beyond)


def _mqtt_progress(asked: Asked, heard: TopicsHeard) -> str:
    if asked.language == "zh":
        return f"正在监听：{len(heard.topics)}个主题，{heard.messages}条消息"
    return f"listening: {len(heard.topics)} topics, {heard.messages} messages"


def _check_plaintext(place: str, asked: Asked, *, has_tls: bool, mend: str) -> None:
    """As in the agent: nothing beyond loopback goes without TLS unless it is asked for by name."""
    host = split_address(place)[0]
    if not (has_tls or asked.insecure or is_loopback(host)):
        raise UserError(
            f"plaintext at {host or 'all addresses'} can be read on the way: {mend} (or, knowingly, --insecure)"
        )


def _with_port(where: str, port: int) -> str:
    """The address with a port; raises UserError where it is none."""
    _, colon, stated = where.rpartition(":")
    address = where if colon and stated.isdigit() else f"{where.rstrip(':')}:{port}"
    try:
        split_address(address)
    except ValueError:
        raise UserError(f"{where!r} is no address: write host:port", EXIT_DOES_NOT_HOLD) from None
    return address


@contextmanager
def _shown(asked: Asked) -> Iterator[Callable[[str], object]]:
    """On a terminal, what came so far; nothing elsewhere."""
    if asked.json or not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda text: status.update(cell(text))


def _print(answer: list[Answer]) -> None:
    for each in answer:
        console.print(cell(each.text), markup=False, style="bold")
