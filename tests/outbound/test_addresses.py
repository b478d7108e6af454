"""How an address is written: one reader, one normal form, and what is inside is refused when saved and when used."""

from ipaddress import ip_address

import pytest

from chatbot.outbound import OutboundRefused, check_address, fetch
from chatbot.outbound.addresses import is_inside, read_address

INSIDE_LITERALS = """
127.0.0.1  127.255.255.254  10.0.0.1  172.16.0.1  172.31.255.255  192.168.1.1  169.254.169.254  0.0.0.0  0.1.2.3
100.64.0.1  100.100.100.200  192.0.0.192  192.0.2.1  198.18.0.1  198.51.100.1  203.0.113.1  224.0.0.1  239.1.1.1
240.0.0.1  255.255.255.255  192.88.99.1  168.63.129.16
[::1]  [::]  [fe80::1]  [fc00::1]  [fd00:ec2::254]  [fec0::1]  [ff02::1]  [ff0e::1]  [2001:db8::1]  [3fff::1]  [100::1]
[::ffff:127.0.0.1]  [::ffff:a9fe:a9fe]  [::ffff:0:127.0.0.1]  [::127.0.0.1]  [::a9fe:a9fe]  [64:ff9b::7f00:1]
[64:ff9b::169.254.169.254]  [64:ff9b:1::1]  [2002:7f00:1::]  [2002:a9fe:a9fe::1]  [2001:0:4136:e378:8000:63bf:80ff:fffe]
[5f00::1]  [0:0:0:0:0:0:0:1]  [0000::0001]
""".split()

ODD_HOSTS = """
2130706433  0x7f000001  0x7f.0.0.1  0x7f.1  017700000001  0177.0.0.1  0177.1  127.1  127.0.1  0  00  0x0  0x  1
127.0.0.01  127.0.0.1.  127.0.0.256  1.2.3.4.5  foo.1  foo.0x1  １２７.0.0.1  127。0。0。1  127．0．0．1  ①②⑦.0.0.1  0ｘ7f.1
[fe80::1%25eth0]  [fe80::1%eth0]  [::1  ::1]  [127.0.0.1]  [localhost]  [::ffff:127.0.0.1.]  [v1.x]
localhost  LOCALHOST  localhost.  ｌｏｃａｌｈｏｓｔ  foo.localhost  printer.local  db.internal  metadata.google.internal
router.lan  nas.home.arpa  intranet  db  redis
127.0.0.1%00  127.0.0.1%2f  %31%32%37.0.0.1  a..b  .a.com  a.com..  -a.com  a-.com  a,b.com  a_b!.com  *.a.com  a℀b.com
a：80.com  a＠b.com  a／b.com  ＠  .  ..  xn--a@b  exa<b>mple.com  a|b.com  a^b.com  "a".com
""".split()

ODD_ADDRESSES = [
    "",
    " ",
    "friend.example",
    "//friend.example/",
    "/path",
    "http:friend.example",
    "http:/friend.example",
    "http:///friend.example",
    "http:////friend.example",
    "http://",
    "http://:80/",
    "http://?x",
    "http://#friend.example",
    "http:\\\\friend.example",
    "http://friend.example\\@127.0.0.2/",
    "http://friend.example\\.127.0.0.2/",
    "http://friend.example/\\..\\x",
    "http://127.0.0.2@friend.example/",
    "http://friend.example@127.0.0.2/",
    "http://friend.example:80@127.0.0.2/",
    "http://friend.example%2f@127.0.0.2/",
    "http://friend.example%40127.0.0.2/",
    "http://@friend.example/",
    "http://friend.example\t@127.0.0.2/",
    "http://fri\tend.example/",
    "http://friend.example/\r\nX-Evil: 1",
    "http://friend.example/\n",
    "\nhttp://friend.example/",
    "ht\ntp://friend.example/",
    "http://friend.example\x00.evil.test/",
    "http://friend example/",
    "http://friend.example /",
    "http://friend.example\u00a0/",
    "http://friend\u200b.example/x\u2028y",
    "http://friend.example:0/",
    "http://friend.example:65536/",
    "http://friend.example:８０/",
    "http://friend.example:-80/",
    "http://friend.example:80:80/",
    "http://friend.example:+80/",
    "http://friend.example:80 /",
    "http\u017f://friend.example/",
    "http://[::1]friend.example/",
    "http://friend.example[::1]/",
    "http://" + "a." * 200 + "com/",
    "http://" + "a" * 64 + ".com/",
    "http://friend.example/" + "a" * 5000,
    "http://\ud800.com/",
    "http://friend.example/\ud800",
    *(f"{scheme}://friend.example/" for scheme in ("ftp", "gopher", "dict", "unix", "http+unix", "ws", "ldap", "tftp")),
    "file:///etc/passwd",
    "file://friend.example/etc/passwd",
    "data:text/html,hello",
    "jar:http://friend.example/x!/",
    "view-source:http://friend.example/",
    "url:http://friend.example/",
    "javascript:alert(1)",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
]


@pytest.mark.parametrize("host", INSIDE_LITERALS + ODD_HOSTS)
@pytest.mark.usefixtures("no_connection", "names")
def test_an_inside_host_is_refused_when_saved_and_when_used(host):
    for port in ("", ":8080"):
        with pytest.raises(OutboundRefused):
            check_address(f"http://{host}{port}/", allow=[])
        with pytest.raises(OutboundRefused):
            fetch(f"https://{host}{port}/", allow=[])


@pytest.mark.parametrize("url", ODD_ADDRESSES)
@pytest.mark.usefixtures("no_connection")
def test_an_address_that_can_be_read_in_two_ways_is_refused(url, names):
    names["friend.example"] = [["93.184.216.34"]] * 3
    with pytest.raises(OutboundRefused):
        check_address(url, allow=[])
    with pytest.raises(OutboundRefused):
        fetch(url, allow=[])


@pytest.mark.parametrize(
    "url, normal",
    [
        ("https://example.com", "https://example.com/"),
        ("  HTTPS://EXAMPLE.com:443/A?b=c#d ", "https://example.com/A?b=c"),
        ("http://example.com.:8080", "http://example.com:8080/"),
        ("http://example.com:/", "http://example.com/"),
        (
            "http://bücher.example/größe?q=ä b&r=%20%",
            "http://xn--bcher-kva.example/gr%C3%B6%C3%9Fe?q=%C3%A4%20b&r=%20%",
        ),
        ("http://faß。example", "http://xn--fa-hia.example/"),
        ("http://my_shop.example?x=/@", "http://my_shop.example/?x=/@"),
        ("http://8.8.8.8:80", "http://8.8.8.8/"),
        ("http://８.8.8.8", "http://8.8.8.8/"),
        ("https://[2606:4700:4700:0::1111]:8443/x", "https://[2606:4700:4700::1111]:8443/x"),
        ("http://friend.example#@127.0.0.2/", "http://friend.example/"),
        ("http://friend.example/@127.0.0.2/", "http://friend.example/@127.0.0.2/"),
        ("https://10.example.com/", "https://10.example.com/"),
    ],
)
@pytest.mark.usefixtures("names")
def test_an_address_has_one_normal_form(url, normal):
    assert check_address(url, allow=[]) == normal
    assert read_address(normal).url == normal


def test_a_password_in_an_address_is_named_as_the_reason():
    with pytest.raises(OutboundRefused) as refused:
        check_address("https://bob:hunter2@friend.example/", allow=[])
    assert "password" in str(refused.value.detail)
    assert "hunter2" not in str(refused.value.problem())


def test_https_alone_where_it_is_asked_for(names):
    names["friend.example"] = [["93.184.216.34"]]
    assert check_address("https://friend.example", https_only=True, allow=[])
    with pytest.raises(OutboundRefused, match="refused"):
        check_address("http://friend.example", https_only=True, allow=[])


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "172.32.0.1", "100.128.0.1"],
)
def test_public_addresses_are_not_inside(address):
    assert not is_inside(ip_address(address))
