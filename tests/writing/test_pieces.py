"""A text in pieces: paragraphs without their marks; code, tables and what lies between them are left alone."""

from __future__ import annotations

from localchat.writing.language import language_of
from localchat.writing.pieces import about_tokens, large_pieces, last_piece, paragraphs


def texts(text: str, most_tokens: int = 400) -> list[str]:
    return [piece.text for piece in paragraphs(text, most_tokens)]


def test_paragraphs_lose_the_marks_that_are_not_theirs() -> None:
    text = "# A title\r\n\r\n- first item\r\n- second item\r\n  1. third\r\n> a quotation\r\n　　一段中文。\r\n"
    assert texts(text) == ["A title", "first item", "second item", "third", "a quotation", "一段中文。"]


def test_pieces_say_where_they_stand() -> None:
    text = "  One. \n\n* Two.\n\n三。"
    assert [text[piece.start : piece.end] for piece in paragraphs(text, 400)] == ["One.", "Two.", "三。"]


def test_code_tables_rules_and_front_matter_are_no_prose() -> None:
    text = (
        "---\ntitle: x\n---\nProse.\n\n```python\nprint('hi')\n```\n\n| a | b |\n|---|---|\n\n***\n\n~~~\nmore code\n"
    )
    assert texts(text) == ["Prose."]


def test_lines_that_an_editor_broke_are_one_paragraph() -> None:
    wrapped = (
        "This is a paragraph whose lines were broken by an editor at\n"
        "seventy columns, as many people do, and the model is given it\n"
        "as one line."
    )
    assert texts(wrapped) == [wrapped.replace("\n", " ")]
    chinese = "这一段文字被编辑器在六十列处换行，这在纯文本文件里很常见，模型\n看到的是完整的一行，没有空格。"
    assert texts(chinese) == [chinese.replace("\n", "")]


def test_lines_that_are_paragraphs_stay_apart() -> None:
    text = "今天下雨了，我们没有去公园，而是在家里看了一整天的书。\n明天如果天晴，就去爬山。"
    assert texts(text) == text.split("\n")


def test_a_long_paragraph_is_cut_behind_sentences() -> None:
    sentence = "The bridge was closed, and nobody knew why it had been built. "
    pieces = texts(sentence * 20, 60)
    assert "".join(f"{piece} " for piece in pieces) == sentence * 20
    assert all(about_tokens(piece) <= 60 and piece.endswith("built.") for piece in pieces)
    chinese = texts("桥被关闭了，没有人知道当初为什么要建它。" * 20, 60)
    assert len(chinese) > 3
    assert all(piece.endswith("。") for piece in chinese)


def test_a_sentence_without_an_end_is_cut_where_it_has_to_be() -> None:
    pieces = list(paragraphs("字" * 5000, 100))
    assert "".join(piece.text for piece in pieces) == "字" * 5000
    assert all(about_tokens(piece.text) <= 101 for piece in pieces)


def test_large_pieces_hold_several_paragraphs_with_all_between_them() -> None:
    text = "\n\n".join(f"Paragraph {i} says something about the weather of its day." for i in range(20))
    pieces = list(large_pieces(text, 60))
    assert 1 < len(pieces) < 20
    assert "\n\n".join(piece.text for piece in pieces) == text


def test_the_end_of_a_text_begins_with_a_paragraph() -> None:
    text = "\n\n".join(f"Paragraph {i} says something about the weather of its day." for i in range(20))
    piece = last_piece(text, 60)
    assert piece is not None
    assert piece.text.startswith("Paragraph 1")
    assert piece.end == len(text)
    assert last_piece("  \n", 60) is None


def test_a_chinese_text_with_english_words_is_chinese() -> None:
    assert language_of("我们用 Python 写了一个小程序。") == "zh"
    assert language_of("The word 桥 means bridge.") == "en"
