"""Token ids to text as they come, in whole characters only.

A Chinese character or an emoji is often spread over two or three tokens: its first bytes wait until the last has come.
"""

from __future__ import annotations

import codecs

from localchat.text.tokenizer import Tokenizer


class StreamDecoder:
    """Decodes one reply. What all `push` and the one `flush` return, joined, is `tokenizer.decode` of all ids.

    Constant work per token. U+FFFD appears only for bytes that no later byte could make UTF-8.

    Args:
        goes_on: text stands before these ids, so that a space at their beginning is one.
    """

    def __init__(self, tokenizer: Tokenizer, *, goes_on: bool = False) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_beginning = not goes_on

    def push(self, id: int) -> str:
        """The characters that this token completes; often one word, sometimes none."""
        data = self._tokenizer.token_bytes(id)
        if data and self._at_beginning:
            self._at_beginning = False
            if self._tokenizer.strips_space:
                data = data.removeprefix(b" ")
        return self._decoder.decode(data)

    def flush(self) -> str:
        """The end of the reply: U+FFFD when a character remained incomplete, else nothing."""
        return self._decoder.decode(b"", final=True)
