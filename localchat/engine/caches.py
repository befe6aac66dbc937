"""The cache of keys and values that a model's decoder works on."""

from __future__ import annotations

from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.engine.quantized_cache import NativeQuantizedKVCache, QuantizedKVCache
from localchat.messages import CacheChoice
from localchat.model.cache_room import CacheKind
from localchat.model.load import LoadedModel
from localchat.model.plan import Plan
from localchat.translation import _


def cache_for(model: LoadedModel, context_length: int, kind: CacheKind | None = None) -> KVCache:
    """An empty cache that the model's decoder works on.

    Args:
        kind: None is the one that there is memory for.

    Raises:
        InvalidSetting: the model's keys and values cannot be held so.
    """
    kind, native_code = kind or model.cache_kind, isinstance(model.decoder, Plan)
    if kind == "full":
        if native_code:
            return NativeKVCache(model.spec, context_length)
        return KVCache(model.spec, context_length, model.cache_dtype, model.device)
    if native_code:
        return NativeQuantizedKVCache(model.spec, context_length, kind)
    return QuantizedKVCache(model.spec, context_length, kind, model.device)


def cache_facts(model: LoadedModel, asked: CacheChoice) -> dict[str, str]:
    """How keys and values are held, and what there is to say of that, as `ModelInfo` has them."""
    note = ""
    if asked == "auto" and model.cache_kind != "full":
        words = _("{tokens} tokens of context do not fit into the memory in full: what is read is held in {kind}.")
        note = words.format(tokens=f"{model.context_length:,}", kind=model.cache_kind)
    return {"cache": model.cache_kind, "cache_note": note}
