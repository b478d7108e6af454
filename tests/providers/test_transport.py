"""The transport below the SDK: framing at every cut, connections kept and gone stale, TLS."""

import itertools
import os
import resource
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from bench.model import ModelServer
from chatbot.providers.openai import retry_after
from chatbot.providers.transport import ChunkDecoder
from tests.providers.asking import REQUEST, At, a_call, listen, provider_of
from tests.providers.plain_server import STREAM, answer, read_request, serving
from tests.providers.test_stopping import SOON, stop_after

MORE = b'data: {"choices":[{"index":0,"delta":{"content":"More."},"finish_reason":null}]}\n\n'
CHUNKS = st.lists(st.binary(min_size=1, max_size=60), max_size=8)
CUTS = st.lists(st.integers(0, 400), max_size=12)
EXTENSIONS = st.sampled_from([b"", b";name=value", b' ; quoted="a"'])
TRAILERS = st.sampled_from([b"", b"X-Checksum: abc\r\n"])


@given(CHUNKS, CUTS, EXTENSIONS, TRAILERS)
def test_chunks_are_joined_whatever_the_cuts(chunks: list[bytes], cuts: list[int], extra: bytes, tail: bytes) -> None:
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extra, chunk) for chunk in chunks)
    framed += b"0%b\r\n%b\r\n" % (extra, tail)
    decoder, got = ChunkDecoder(), b""
    edges = [0, *sorted(cut for cut in cuts if cut < len(framed)), len(framed)]
    for start, end in itertools.pairwise(edges):
        assert not decoder.is_done or start == end
        got += decoder.feed(framed[start:end])
    assert got == b"".join(chunks)
    assert decoder.is_done


@given(st.binary(max_size=200))
def test_no_framing_is_no_crash(noise: bytes) -> None:
    decoder = ChunkDecoder()
    with suppress(ValueError):  # what the transport takes for a broken answer
        decoder.feed(noise)


def test_an_endless_chunk_header_is_refused() -> None:
    decoder = ChunkDecoder()
    decoder.feed(b"0" * 4000)
    with pytest.raises(ValueError):
        decoder.feed(b"0" * 100)


def test_a_negative_chunk_is_refused() -> None:
    with pytest.raises(ValueError):
        ChunkDecoder().feed(b"-5\r\nabcde")


def test_a_connection_serves_one_call_after_another() -> None:
    def script(line: socket.socket, number: int) -> None:
        while read_request(line):
            answer(line)

    with serving(script) as server:
        provider = provider_of(server, "any")
        assert [listen(provider, a_call()).text for _ in range(5)] == ["Hello."] * 5
        provider.close()
        assert server.connections == 1


@pytest.mark.parametrize("way", ["closed", "reset", "chatty"])
def test_a_kept_connection_gone_stale_is_not_used(way: str) -> None:
    def script(line: socket.socket, number: int) -> None:
        read_request(line)
        answer(line)
        if way == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if way == "chatty":
            line.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        else:
            line.close()

    with serving(script) as server:
        provider = provider_of(server, "any")
        for _ in range(3):
            assert listen(provider, a_call()).text == "Hello."
            time.sleep(0.1)
        provider.close()
        assert server.connections == 3


def test_a_connection_that_dies_under_the_request_is_asked_again() -> None:
    """The other side closes it in the very moment in which it is used: no look beforehand can see that."""

    def script(line: socket.socket, number: int) -> None:
        read_request(line)
        answer(line)
        if number == 1:
            read_request(line)
            line.close()

    with serving(script) as server:
        provider = provider_of(server, "any")
        assert [listen(provider, a_call()).text for _ in range(2)] == ["Hello."] * 2
        provider.close()


def test_an_answer_half_read_frees_its_connection() -> None:
    def script(line: socket.socket, number: int) -> None:
        read_request(line)
        line.sendall(STREAM)
        for _ in range(1000):
            line.sendall(b"%x\r\n%b\r\n" % (len(MORE), MORE))

    with serving(script) as server:
        provider = provider_of(server, "any")
        for _ in range(2):
            speech = provider.stream(REQUEST, a_call())
            next(speech)
            speech.close()  # type: ignore[attr-defined]
        assert server.connections == 2, "a line with words left on it is never used again"


def test_sockets_beyond_the_1024th_are_looked_after(llm: ModelServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with ExitStack() as stack:
        for _ in range(1100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        provider = provider_of(llm, "instant-3")
        assert [listen(provider, a_call()).ending for _ in range(3)] == ["stop"] * 3
        provider.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = At(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    assert listen(provider_of(free, "any"), a_call()).ending == "model-broken"


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 70])
def test_a_host_that_is_none(host: str) -> None:
    assert listen(provider_of(At(f"http://{host}/v1"), "any"), a_call(seconds=3)).ending == "model-broken"


@pytest.mark.parametrize(
    "value, seconds",
    [(None, None), ("", None), ("2", 2), ("1.5", 1.5), ("-3", 0), ("soon", None), ("inf", None), ("nan", None),
     ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("Fri, 99 Dec 1999", None), ("86400", 86400)],
)  # fmt: skip
def test_reads_any_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's side of TLS for `localhost`, whose authority this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path / "tls.pem"
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(text + certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def at_localhost(address: str) -> At:
    return At(address.replace("http://127.0.0.1", "https://localhost"))


def test_speaks_tls(tls: ssl.SSLContext) -> None:
    def script(line: socket.socket, number: int) -> None:
        with tls.wrap_socket(line, server_side=True) as safe:
            while read_request(safe):
                answer(safe)

    with serving(script) as server:
        provider = provider_of(at_localhost(server.base_url), "any")
        assert [listen(provider, a_call()).text for _ in range(3)] == ["Hello."] * 3
        provider.close()
        assert server.connections == 1


def test_refuses_a_certificate_of_another_name(tls: ssl.SSLContext) -> None:
    def script(line: socket.socket, number: int) -> None:
        with tls.wrap_socket(line, server_side=True) as safe:
            read_request(safe)

    with serving(script) as server:
        address = At(server.base_url.replace("http:", "https:"))
        assert listen(provider_of(address, "any"), a_call()).ending == "model-broken"


def test_stops_in_the_middle_of_a_handshake(tls: ssl.SSLContext) -> None:
    with serving(lambda line, number: time.sleep(4)) as server:
        heard, taken = stop_after(0.3, at_localhost(server.base_url), "any")
    assert heard.ending == "stopped"
    assert taken < SOON


def test_stops_in_the_middle_of_an_encrypted_answer(tls: ssl.SSLContext) -> None:
    def script(line: socket.socket, number: int) -> None:
        with tls.wrap_socket(line, server_side=True) as safe:
            read_request(safe)
            safe.sendall(STREAM)
            safe.recv(1)

    with serving(script) as server:
        heard, taken = stop_after(0.3, at_localhost(server.base_url), "any")
    assert heard.ending == "stopped"
    assert taken < SOON
