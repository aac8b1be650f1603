import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UserError
from runtime.tls import (
    check_client,
    check_listener,
    client_context,
    database_problem,
    kafka_problem,
    librdkafka_tls,
    server_context,
)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """Let the two speak in memory; gives the version that they agreed on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
    ]
    for end in ends[::-1] * 4:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ends[0].version()


def test_who_trusts_the_certificate_connects(ours: Any) -> None:
    assert handshake(server_context(ours.cert, ours.key), client_context(ours.cert)) == "TLSv1.3"


def test_who_does_not_trust_it_does_not(ours: Any, theirs: Any) -> None:
    for ca in (theirs.cert, None):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server_context(ours.cert, ours.key), client_context(ca))


def test_with_a_client_ca_only_its_clients_connect(ours: Any, theirs: Any) -> None:
    server = server_context(ours.cert, ours.key, client_ca=theirs.cert)
    assert handshake(server, client_context(ours.cert, theirs.cert, theirs.key)) == "TLSv1.3"
    for stranger in (client_context(ours.cert), client_context(ours.cert, ours.cert, ours.key)):
        with pytest.raises(ssl.SSLError):
            handshake(server, stranger)


def test_nothing_older_than_tls_1_2(ours: Any) -> None:
    old = client_context(ours.cert)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(server_context(ours.cert, ours.key), old) == "TLSv1.2"
    for context in (old, server_context(ours.cert, ours.key)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_what_cannot_be_used_is_named(ours: Any, theirs: Any, tmp_path: Path) -> None:
    locked, open_key = tmp_path / "locked.key", tmp_path / "open.key"
    key: Any = load_pem_private_key(ours.key.read_bytes(), None)
    locked.touch(0o600)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    open_key.write_bytes(ours.key.read_bytes())
    open_key.chmod(0o644)
    for cert, private, words in [
        (ours.cert, theirs.key, "key values mismatch"),
        (ours.cert, locked, f"key {locked} cannot be used"),
        (ours.cert, open_key, f"chmod 600 {open_key}"),
        (ours.cert, tmp_path / "none", "none cannot be read"),
        (tmp_path / "none", ours.key, "none with key"),
    ]:
        with pytest.raises(UserError, match=words):
            server_context(cert, private)
    with pytest.raises(UserError, match=r"CA file .*none cannot be used"):
        client_context(tmp_path / "none")
    with pytest.raises(UserError, match="need each other"):
        client_context(ours.cert, cert=ours.cert)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    check_listener(host, tls=False, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "ward-edge", "127.0.0.1.example.org"])
def test_beyond_loopback_needs_tls_or_insecure(host: str) -> None:
    with pytest.raises(UserError, match="insecure = true"):
        check_listener(host, tls=False, insecure=False)
    check_listener(host, tls=True, insecure=False)
    check_listener(host, tls=False, insecure=True)


@pytest.mark.parametrize("host", ["10.0.0.7", "ward-broker", "", "127.0.0.1.example.org"])
def test_a_client_goes_beyond_loopback_in_plaintext_by_name_alone(host: str) -> None:
    with pytest.raises(UserError, match=rf"plaintext to {host} .*: buy a lock \(or, knowingly, insecure = true\)"):
        check_client(host, tls=False, insecure=False, mend="buy a lock")
    check_client(host, tls=True, insecure=False)
    check_client(host, tls=False, insecure=True)
    check_client("127.0.0.1", tls=False, insecure=False)


HERE = ("127.0.0.1:9092", "localhost:9092", "127.3.2.1:1", "[::1]:9092", "::1", "localhost", " 127.0.0.1:9092 ")
BEYOND = (
    "10.0.0.7:9092", "broker:9092", "[fe80::1]:9092", "fe80::1", "", ":9092", "127.0.0.1.example.org:9092",
    "127.0.0.1:9092;broker", "127.0.0.1@broker:9092", "PLAINTEXT://broker:9092", "0.0.0.0:9092",
)  # fmt: skip


@given(st.lists(st.sampled_from((*HERE, *BEYOND)), min_size=1))
def test_one_broker_beyond_loopback_is_enough_to_refuse(servers: list[str]) -> None:
    refused = kafka_problem(",".join(servers), tls=False, insecure=False)
    assert (refused is not None) == any(server in BEYOND for server in servers)
    assert kafka_problem(",".join(servers), tls=True, insecure=False) is None
    assert kafka_problem(",".join(servers), tls=False, insecure=True) is None


@given(st.text(), st.integers(0, 65535))
def test_a_host_that_is_not_loopback_by_name_is_refused(host: str, port: int) -> None:
    try:
        by_name = host.strip() == "localhost" or ip_address(host.strip()).is_loopback
    except ValueError:
        by_name = False
    if not by_name:
        assert kafka_problem(f"{host}:{port}", tls=False, insecure=False) is not None


def test_what_is_wrong_with_a_broker_is_said_with_the_remedy() -> None:
    assert kafka_problem("127.0.0.1:1,broker:9092", tls=False, insecure=False) == (
        "plaintext to the broker at broker can be read and changed on the way: "
        "give kafka_ca, or, knowingly, set insecure = true"
    )


@pytest.mark.parametrize("hosts", [(), ("",), ("/run/postgresql",), ("@abstract",), ("127.0.0.1", "::1", "localhost")])
def test_a_database_on_this_machine_needs_no_tls(hosts: tuple[str, ...]) -> None:
    for mode in ("disable", "prefer", "require", "verify-full"):
        assert database_problem(hosts, mode, insecure=False) is None


@pytest.mark.parametrize("hosts", [("10.0.0.7",), ("store",), ("127.0.0.1", "store"), ("service store",)])
def test_a_database_beyond_needs_tls_that_knows_the_server(hosts: tuple[str, ...]) -> None:
    for mode in ("disable", "allow", "prefer", "require", "", "(of the service)"):
        problem = database_problem(hosts, mode, insecure=False)
        assert problem is not None
        assert f"sslmode={mode} to the database at {hosts[-1]}" in problem
        assert "give sslmode=verify-full" in problem
        assert "insecure = true" in problem
        assert database_problem(hosts, mode, insecure=True) is None
    assert "does not check who answers" in (database_problem(hosts, "require", insecure=False) or "")
    for mode in ("verify-full", "verify-ca"):
        assert database_problem(hosts, mode, insecure=False) is None


def test_settings_of_librdkafka(ours: Any, theirs: Any) -> None:
    assert librdkafka_tls(None) == {}
    assert librdkafka_tls(theirs.cert) == {"security.protocol": "ssl", "ssl.ca.location": str(theirs.cert)}
    assert librdkafka_tls(theirs.cert, ours.cert, ours.key) == {
        "security.protocol": "ssl",
        "ssl.ca.location": str(theirs.cert),
        "ssl.certificate.location": str(ours.cert),
        "ssl.key.location": str(ours.key),
    }
    for files, words in [
        ((None, ours.cert, ours.key), "no use without the CA file"),
        ((theirs.cert, ours.cert, None), "need each other"),
        ((theirs.cert, None, ours.key), "need each other"),
        ((theirs.cert, ours.cert, theirs.key), "key values mismatch"),
    ]:
        with pytest.raises(UserError, match=words):
            librdkafka_tls(*files)
