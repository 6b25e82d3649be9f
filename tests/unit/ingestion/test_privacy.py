"""Pseudonyms: the same person gives the same text wherever the address stands, and nothing clear is left."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.errors import ConfigurationError
from ingestion.privacy import PSEUDONYM, Pseudonyms, normalise_phone, read_or_make_key

MAKER = Pseudonyms(b"k" * 32, keep_clear=False)
ANN = MAKER.email("ann.lee@customer.example")[0]
assert ANN is not None


@pytest.mark.parametrize(
    "text", [" Ann.Lee@Customer.Example ", "ann.lee@customer.example", "ａnn.lee@customer.example"]
)
def test_spellings_of_one_address_meet(text: str) -> None:
    assert MAKER.email(text) == (ANN, "customer.example")


@pytest.mark.parametrize("text", ["", "n/a", "unknown", "@handle", "ann@"])
def test_what_is_no_address_is_nobody(text: str) -> None:
    assert MAKER.email(text) == (None, None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("mail ann.lee@customer.example, please", f"mail {ANN}, please"),
        ("https://x.example/?email=ann.lee%40customer.example&a=1", f"https://x.example/?email={ANN}&a=1"),
        ("https://x.example/?u=ann.lee%2540customer.example", f"https://x.example/?u={ANN}"),
        ("https://x.example/ann.lee@customer.example/z", f"https://x.example/{ANN}/z"),
        ("next%3Dann.lee@customer.example", f"next%3D{ANN}"),
        ('{"to":"Ann.Lee@customer.example"}', f'{{"to":"{ANN}"}}'),
        ('{"to":"ann.lee\\u0040customer.example"}', f'{{"to":"{ANN}"}}'),
        ("<ann.lee@customer.example>", f"<{ANN}>"),
        ("mailto:ann.lee@customer.example", f"mailto:{ANN}"),
        ("pkg@1.2 and @handle", "pkg@1.2 and @handle"),
    ],
)
def test_addresses_inside_text(before: str, after: str) -> None:
    assert MAKER.scrub(before) == after
    assert MAKER.scrub(after) == after, "a second time changes nothing"


def test_a_replayed_pseudonym_is_left_as_it_is() -> None:
    kept = MAKER.scrub("ann.lee@customer.example", keep_domain=True)
    assert kept == f"{ANN}/customer.example"
    assert MAKER.email(kept) == (ANN, "customer.example")
    assert MAKER.email(ANN or "") == (ANN, None)


def test_digests_are_pseudonyms_too() -> None:
    digest = "0123456789abcdef0123456789abcdef"
    made = MAKER.digest(digest)
    assert made is not None
    assert PSEUDONYM.fullmatch(made)
    assert MAKER.digest(digest.upper()) == made
    assert MAKER.scrub(f"/lists/1/members/{digest}", digests=True) == f"/lists/1/members/{made}"
    assert MAKER.scrub(f"/lists/1/members/{digest}") == f"/lists/1/members/{digest}"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+31 (0)6-1234", "+31061234"),
        ("0031 6 1234", "+3161234"),
        ("06 1234 56", "06123456"),
        ("12", None),
        ("-", None),
    ],
)
def test_telephone_numbers(text: str, number: str | None) -> None:
    assert normalise_phone(text) == number


def test_columns() -> None:
    column = pa.chunked_array([["ann.lee@customer.example", None], ["Ann.Lee@customer.example", "x"]])
    hashes, domains = MAKER.email_columns(column)
    assert hashes.to_pylist() == [ANN, None, ANN, None]
    assert domains.to_pylist() == ["customer.example", None, "customer.example", None]
    assert MAKER.scrub_column(column).to_pylist() == [ANN, None, ANN, "x"]
    empty = pa.chunked_array([[]], pa.string())
    assert MAKER.scrub_column(empty).to_pylist() == MAKER.email_columns(empty)[0].to_pylist() == []


@given(
    st.text(), st.from_regex(r"[a-z][a-z0-9._+-]{0,20}@[a-z]{1,10}\.(com|example)", fullmatch=True), st.text()
)
def test_no_address_survives(before: str, address: str, after: str) -> None:
    scrubbed = MAKER.scrub(f"{before} {address} {after}")
    assert address not in scrubbed.replace(before, "").replace(after, "") or address in before + after
    assert MAKER.email(address)[0] in scrubbed or re.search(r"v1:[0-9a-f]{64}", scrubbed)


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "pseudonym.key"
    key = read_or_make_key(file)
    assert len(key) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_or_make_key(file) == key
    assert Pseudonyms(b"other key").email("ann.lee@customer.example")[0] != ANN
    file.write_text("short")
    with pytest.raises(ConfigurationError, match="does not hold a key"):
        read_or_make_key(file)
