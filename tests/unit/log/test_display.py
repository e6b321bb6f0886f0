"""No secret of a known shape is shown, and nothing that is shown can command the terminal."""

from __future__ import annotations

import base64

import msgspec
import pytest

from coda.log import mask, mask_data, render, sanitise, to_envelope

SECRETS = [
    "sk-proj-abcdefghijklmnop0123456789", "sk-ant-api03-AbCdEfGhIjKlMnOpQrSt-_xyz", "ghp_" + "a1" * 18,
    "github_pat_" + "A1b2" * 8, "AKIAIOSFODNN7EXAMPLE", "xoxb-1234567890-abcdefghij",
    "AIza" + "Sy0123456789" * 3,
    "sk_live_0123456789abcdefghij", "glpat-abcdefghij0123456789", "hf_" + "abcDEF123456" * 3,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nq83\n-----END RSA PRIVATE KEY-----",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:8])
@pytest.mark.parametrize("around", ["{}", "key: {} end", "x={}&y", "'{}'", "\n{}\n", "see({})"])
def test_keys_of_known_shapes_are_masked(secret: str, around: str) -> None:
    hidden = mask(around.format(secret))
    assert secret not in hidden
    assert "***" in hidden
    assert mask(hidden) == hidden


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:8])
def test_keys_in_base64_and_in_bytes_are_masked(secret: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for text in (secret, f"user:{secret}"):
            encoded = encode(text.encode()).decode()
            assert encoded.rstrip("=") not in mask(f"data {encoded} end")
    assert secret.encode() not in base64.b64decode(mask_data(to_envelope(secret.encode()))["v"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter22", "password=***"),
        ("DB_PASSWORD='hunter22'", "DB_PASSWORD='***'"),
        ("API_KEY=zzz", "API_KEY=***"),
        ("{'token': ('zzz', 1)}", "{'token': ('***', 1)}"),
        ("API_KEY=z\n", "API_KEY=***\n"),
        ('{"api_key": "abcd1234"}', '{"api_key": "***"}'),
        ("OPENAI_API_KEY=abcd1234 make", "OPENAI_API_KEY=*** make"),
        ("export GITHUB_TOKEN=abc123def", "export GITHUB_TOKEN=***"),
        ("client_secret: s3cr3t99", "client_secret: ***"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("postgres://bob:hunter22@db/x", "postgres://bob:***@db/x"),
        ("curl -H 'Authorization: Basic Ym9iOmh1bnRlcjI='", "curl -H 'Authorization: Basic ***'"),
    ],
)
def test_assigned_secrets_lose_their_value_and_keep_their_name(text: str, shown: str) -> None:
    assert mask(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "for key in keys:", "token = None", "max_tokens=4096", "d.items(key=len)", "if password == given:",
        "sk-learn", "the secret of success", "TOKEN=${TOKEN}", "token: str", "password = getpass()",
        "https://example.org/a:b@c", "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0", "total tokens: 123",
        "import secrets; secrets.token_hex(8)", "token = (a + b)", "password = ''", 'keys["token"] = [1]',
        "4322b29fc10d806ec115a54411a29637c660fd527dd53297c8e11a7c257be17c",
        "SELECT * FROM very_long_table_name_with_many_words",
    ],
)  # fmt: skip
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert mask(text) == text


def test_data_is_masked_wherever_the_text_is() -> None:
    key = SECRETS[0]
    data = {
        "args": [key, {"$": "tuple", "v": [f"x {key}"]}],
        "password": "plain word",
        "name": "api_key",
        "value": "plain value",
        "n": 7,
    }
    hidden = mask_data(data)
    assert key not in msgspec.json.encode(hidden).decode()
    assert hidden["password"] == hidden["value"] == "***"
    assert hidden["n"] == 7
    assert data["password"] == "plain word"


def test_one_text_is_masked_alike_in_data_and_in_words() -> None:
    values = (
        ("API_KEY=zzz", 2), {"password": "abc"}, {"password": "abc", 1: "x"}, {"password": ("abc", "zzz")},
        {"secret": ["zzz"], "d": {"token": "abc"}}, "token=zzz\n", [b"API_KEY=zzz"],
    )  # fmt: skip
    for value in values:
        for text in (
            render(mask_data(to_envelope(value))),
            msgspec.json.encode(mask_data(to_envelope(value))),
        ):
            assert "zzz" not in str(text)
            assert "abc" not in str(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07x", "x"),
        ("\x1bP1$r\x1b\\x", "x"),
        ("\x9b2Jx", "x"),
        ("a\rb\x08c\x00", "a\\x0db\\x08c\\x00"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\x1b", ""),
        ("\x1b]0;never ends", ""),
        ("caf\u00e9 \u2603", "caf\u00e9 \u2603"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_sequences_are_disarmed(text: str, shown: str) -> None:
    assert sanitise(text) == shown
    assert "\x1b" not in sanitise(text)


def test_masking_is_linear_in_long_text() -> None:
    for unit in ("a", "key", "-", "://", "ab_key=", "A" * 23 + " ", "eyJ", "\x1b["):
        text = unit * (300_000 // len(unit))
        mask(text)
        sanitise(text)
