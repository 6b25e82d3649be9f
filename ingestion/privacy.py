"""Pseudonyms for personal identifiers, made before anything is written.

- `Pseudonyms.of(text)` = "v1:" + hex HMAC-SHA256(key, normalised text). E-mail addresses are normalised by
  NFKC, trim and case-folding, telephone numbers to their digits. The key lies in `<data
  folder>/pseudonym.key` (0600), made at first use.
- Addresses inside other text, JSON and URLs (also `%40`) are replaced by the same pseudonym, so that
  identities still meet.
- A vendor's own digest of an address (md5) identifies a person as well as the address does: it becomes a
  pseudonym too.
- A pseudonym that comes in again (a replay of the quarantine) is left as it is.

`FUNNELHOUSE_CLEAR_PERSONAL_DATA=1` keeps clear values beside the pseudonyms. It is off by default.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import unicodedata
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.errors import ConfigurationError

VERSION = "v1"
_PSEUDONYM = r"v1:[0-9a-f]{64}"
PSEUDONYM = re.compile(_PSEUDONYM)
PSEUDONYM_WITH_DOMAIN = re.compile(rf"({_PSEUDONYM})(?:/([a-z0-9.-]+))?")
_AT = r"(?:@|%(?:25)*40|＠|\\u0040)"
_LOCAL = r"(?:[\w.!#$&'*+/=?^`{|}~-]|%(?:25)*2[Bb])"
EMAIL = re.compile(rf"{_LOCAL}{{1,64}}{_AT}[^\W_](?:[\w.-]{{0,250}}[^\W_])?\.[^\W\d_]{{2,24}}")
DIGEST = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{32}|[0-9A-F]{32})(?![0-9A-Za-z])")
# Characters that are legal in a local part, but far more often separate an address from what stands before
# it in URLs and prose.
_BEFORE = re.compile(r"^.*[=&/?'`{|}#]")
_CACHE_SIZE = 200_000


def clear_values_allowed() -> bool:
    return os.environ.get("FUNNELHOUSE_CLEAR_PERSONAL_DATA", "").strip().lower() in ("1", "true", "yes")


def normalise_email(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def normalise_phone(text: str) -> str | None:
    """Digits with a leading + where there was + or 00; None for what has fewer than five digits."""
    text = unicodedata.normalize("NFKC", text).strip()
    digits = re.sub(r"\D", "", text)
    if len(digits) < 5:
        return None
    if text.startswith("+"):
        return "+" + digits
    return "+" + digits[2:] if digits.startswith("00") else digits


def read_or_make_key(file: Path) -> bytes:
    """The key of this data folder. Losing it makes old pseudonyms meet no new ones; it is never replaced
    silently."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = file.read_text(encoding="ascii").strip()
        if len(key) != 64:
            raise ConfigurationError(
                f"{file} does not hold a key of 64 hexadecimal characters. Restore it from a backup."
            ) from None
        file.chmod(0o600)
        return bytes.fromhex(key)
    key = secrets.token_hex(32)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(key + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return bytes.fromhex(key)


class Pseudonyms:
    """Makes pseudonyms under one key. Distinct values are hashed once and remembered; columns never loop over
    rows."""

    def __init__(self, key: bytes, keep_clear: bool | None = None) -> None:
        self._key = key
        self.keep_clear = clear_values_allowed() if keep_clear is None else keep_clear
        self._known: dict[tuple[str, str], tuple[str | None, str | None]] = {}

    @classmethod
    def for_folder(cls, key_file: Path) -> Pseudonyms:
        return cls(read_or_make_key(key_file))

    def of(self, normalised: str) -> str:
        text = normalised.encode("utf-8", "surrogatepass")
        return f"{VERSION}:{hmac.digest(self._key, text, 'sha256').hex()}"

    # ---- single values

    def email(self, text: str) -> tuple[str | None, str | None]:
        """(pseudonym, domain) of an address; (None, None) for what is no address."""
        return self._remembered("email", text)

    def phone(self, text: str) -> str | None:
        return self._remembered("phone", text)[0]

    def digest(self, text: str) -> str | None:
        return self._remembered("digest", text)[0]

    def _remembered(self, kind: str, text: str) -> tuple[str | None, str | None]:
        found = self._known.get((kind, text))
        if found is None:
            found = self._make(kind, text)
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            self._known[kind, text] = found
        return found

    def _make(self, kind: str, text: str) -> tuple[str | None, str | None]:
        again = PSEUDONYM_WITH_DOMAIN.fullmatch(text) if text.startswith(VERSION) else None
        if again:
            return again[1], again[2]
        if kind == "phone":
            number = normalise_phone(text)
            return (self.of(number) if number else None), None
        if kind == "digest":
            return (self.of("digest:" + text.strip().lower()) if text.strip() else None), None
        address = normalise_email(text)
        name, at, domain = address.rpartition("@")
        return (self.of(address), domain) if name and at and domain else (None, None)

    # ---- text

    def scrub(self, text: str, digests: bool = False, keep_domain: bool = False) -> str:
        """The text with every e-mail address replaced by its pseudonym (`keep_domain`:
        "v1:…/example.com")."""

        def replace(match: re.Match[str]) -> str:
            found = match[0]
            before = _BEFORE.match(found)
            prefix = before[0] if before and before.end() < len(found) else ""
            if not prefix and match.start() and text[match.start() - 1] == "%":
                prefix = found[:2]  # the rest of an escape such as %3D
            address = found[len(prefix) :]
            for _ in range(3):
                address = unquote(address)
            address = address.replace("\\u0040", "@")
            pseudonym, domain = self.email(address)
            if pseudonym is None:
                return found
            return prefix + (f"{pseudonym}/{domain}" if keep_domain else pseudonym)

        text = EMAIL.sub(replace, text)
        if digests:
            text = DIGEST.sub(lambda match: self.digest(match[0]) or "", text)
        return text

    # ---- columns

    def email_columns(self, values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """Hashes and domains of a column of addresses."""
        return self._mapped(values, "email")

    def phone_column(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        return self._mapped(values, "phone")[0]

    def digest_column(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        return self._mapped(values, "digest")[0]

    def _mapped(self, values: pa.ChunkedArray, kind: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        encoded = values.combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        made = [self._remembered(kind, text) for text in encoded.dictionary.to_pylist()]
        first, second = (pa.array([pair[part] for pair in made], pa.string()) for part in (0, 1))
        return (
            pa.chunked_array([first.take(encoded.indices)], pa.string()),
            pa.chunked_array([second.take(encoded.indices)], pa.string()),
        )

    def scrub_column(
        self, values: pa.ChunkedArray, digests: bool = False, keep_domain: bool = False
    ) -> pa.ChunkedArray:
        """The column with addresses inside its texts replaced. Only texts that hold an @ (or a digest) are
        looked at."""
        if not digests and not _may_hold_address(values):
            return values
        pattern = r"@|%(25)*40|＠|\\u0040" + (r"|[0-9a-f]{32}|[0-9A-F]{32}" if digests else "")
        suspect = pc.fill_null(pc.match_substring_regex(values, pattern), False)
        if not pc.any(suspect).as_py():
            return values
        found = values.filter(suspect).to_pylist()
        scrubbed = [self.scrub(text, digests, keep_domain) for text in found]
        flags = suspect.combine_chunks() if isinstance(suspect, pa.ChunkedArray) else suspect
        whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        replaced = pc.replace_with_mask(whole, flags, pa.array(scrubbed, pa.string()))
        return pa.chunked_array([replaced], pa.string())


# One of these stands in every spelling of an @.
_SIGNS = tuple(re.compile(re.escape(sign)) for sign in (b"@", b"%40", b"2540", "＠".encode(), b"\\u0040"))


def _may_hold_address(values: pa.ChunkedArray) -> bool:
    """Whether an @ may stand anywhere in the texts: one search in the column's bytes costs far less than a
    pattern per text."""
    if not pa.types.is_string(values.type):
        return True
    texts = [memoryview(data) for chunk in values.chunks if (data := chunk.buffers()[2]) is not None]
    return any(sign.search(text) for text in texts for sign in _SIGNS)
