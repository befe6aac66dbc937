"""The alphabet in which byte-level BPE writes bytes: one printable letter each (GPT-2, `bytes_to_unicode`)."""

from __future__ import annotations

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

LETTER_OF_BYTE: dict[int, str] = {
    **{byte: chr(byte) for byte in _PRINTABLE},
    **{byte: chr(0x100 + index) for index, byte in enumerate(_OTHERS)},
}
BYTE_OF_LETTER: dict[str, int] = {letter: byte for byte, letter in LETTER_OF_BYTE.items()}


def bytes_of_letters(token: str) -> bytes:
    """The bytes that `token` spells; a token with any other letter stands for itself, as the library has it."""
    try:
        return bytes(BYTE_OF_LETTER[letter] for letter in token)
    except KeyError:
        return token.encode()
