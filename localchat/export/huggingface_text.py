"""A tokenizer as the files of a Hugging Face checkpoint: the inverse of `localchat.text.hugging_face`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localchat.text import sentencepiece_model, tokenizer_json
from localchat.text.chat_text import ChatText
from localchat.text.tokenizer import SPEC_FILE, Tokenizer
from localchat.text.vocabulary_spec import ControlToken

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def huggingface_text_files(text: ChatText, context_length: int) -> dict[str, bytes]:
    """Name and content of the files that have to do with text, generation_config.json excepted."""
    tokenizer = text.tokenizer
    files = {name: content for name, content in text.files().items() if name != SPEC_FILE}
    config: dict[str, Any] = {
        "add_bos_token": tokenizer.adds_bos,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_length,
    }
    for name, id in (("bos_token", tokenizer.bos_id), ("eos_token", tokenizer.eos_id)):
        if id is not None:
            config[name] = tokenizer.token_text(id)
    if tokenizer_json.FILE in files:
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        files[tokenizer_json.FILE] = _json(_library_file(json.loads(files[tokenizer_json.FILE]), tokenizer))
    else:
        config |= {"tokenizer_class": "LlamaTokenizer", "legacy": tokenizer.spec.space_prefix == "every"}
        config["add_eos_token"] = False
        config["added_tokens_decoder"] = {str(token.id): _added(token) for token in tokenizer.spec.control}
        if tokenizer.spec.space_prefix != "never":
            model = files[sentencepiece_model.FILE]
            files[sentencepiece_model.FILE] = sentencepiece_model.with_space_prefix(model)
    return {**files, "tokenizer_config.json": _json(config)}


def generation_config(text: ChatText, sampling: Mapping[str, Any]) -> dict[str, Any]:
    """What generation_config.json says: where a reply ends, and what the model's authors recommend."""
    tokenizer = text.tokenizer
    ends = sorted(tokenizer.stop_ids)
    if tokenizer.eos_id is not None:
        ends = [tokenizer.eos_id, *(id for id in ends if id != tokenizer.eos_id)]
    config: dict[str, Any] = {"bos_token_id": tokenizer.bos_id, "eos_token_id": ends or None}
    known = {key: sampling[key] for key in _SAMPLING if key in sampling}
    config |= {"do_sample": True, **known} if known else {}
    return {key: value for key, value in config.items() if value is not None}


def _library_file(data: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """`tokenizer.json` that does by itself what `Tokenizer` does around it: the first space, the first token."""
    if tokenizer.spec.space_prefix == "first":
        component = data["pre_tokenizer"]
        for step in component.get("pretokenizers", [component]):
            if step.get("type") == "Metaspace":
                step["prepend_scheme"] = "first"
    if tokenizer.adds_bos and tokenizer.bos_id is not None:
        name = tokenizer.token_text(tokenizer.bos_id)
        begin = {"SpecialToken": {"id": name, "type_id": 0}}
        first, second = ({"Sequence": {"id": which, "type_id": number}} for number, which in enumerate("AB"))
        data["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [begin, first],
            "pair": [begin, first, {"SpecialToken": {"id": name, "type_id": 1}}, second],
            "special_tokens": {name: {"id": name, "ids": [tokenizer.bos_id], "tokens": [name]}},
        }
    return data


def _added(token: ControlToken) -> dict[str, Any]:
    flags = {"lstrip": token.strip_left, "rstrip": token.strip_right, "normalized": False, "single_word": False}
    return {"content": token.text, **flags, "special": True}


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode()
