"""How a checkpoint says that its matrices are quantized: GPTQ, AWQ, compressed-tensors, MLX, MXFP4.

Strict at the door: what decides the meaning of the bits is read, what has none is known by name, and all else is
refused. `localchat.weights.packed_matrix` reads the bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from localchat.errors import BadWeights, UnsupportedModel
from localchat.translation import _
from localchat.weights.mxfp4 import GROUP

Method = Literal["gptq", "awq", "compressed-tensors", "mlx", "mxfp4"]
CONFIG_KEYS = frozenset({"quantization_config", "quantization", "compression_config"})
"""Of config.json: they say how weights are stored, and nothing of the computation."""

_WHOLE_ROW = -1
_TITLES: Mapping[Method, str] = {
    "gptq": "GPTQ", "awq": "AWQ", "compressed-tensors": "compressed-tensors", "mlx": "MLX",
    "mxfp4": "MXFP4",
}  # fmt: skip
# How it was calibrated, and by which program it is to be run.
_INERT: Mapping[Method, frozenset[str]] = {
    "gptq": frozenset(
        """
        damp_percent damp_auto_increment true_sequential static_groups model_name_or_path model_file_base_name dataset
        tokenizer batch_size block_name_to_quantize module_name_preceding_first_block modules_in_block_to_quantize
        use_cuda_fp16 model_seqlen use_exllama disable_exllama exllama_config max_input_length cache_block_outputs
        pad_token_id meta mse act_group_aware lm_head version
        """.split()  # noqa: SIM905
    ),
    "awq": frozenset(
        "modules_to_not_convert backend do_fuse exllama_config fuse_max_seq_len modules_to_fuse".split()  # noqa: SIM905
    ),
    "compressed-tensors": frozenset({"ignore", "global_compression_ratio", "version", "quantization_status"}),
    "mlx": frozenset(),
    "mxfp4": frozenset({"modules_to_not_convert"}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PackedFormat:
    """How the matrices of a checkpoint are packed.

    Attributes:
        bits, group_size: of a code, and of the weights along a row that share a scale; -1 is the whole row.
        zero_offset: what GPTQ adds to a stored zero point: 1 in its first format, 0 in its second.
        modules: MLX only: other bits and group sizes of some matrices, by the name of their module.
    """

    method: Method
    bits: int
    group_size: int
    zero_offset: int = 0
    modules: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        said = _("{title}, {bits} bits by {group_size}")
        if self.group_size == _WHOLE_ROW:
            said = _("{title}, {bits} bits by row")
        return said.format(title=_TITLES[self.method], bits=self.bits, group_size=self.group_size)


def read_packed_format(config: Mapping[str, Any], folder: Path) -> PackedFormat | None:
    """What config.json, or the file that came before it, says of quantization; None in full precision.

    Raises:
        UnsupportedModel: a method, a key or a value that is not understood; the message names it.
        BadWeights: the older file is damaged.
    """
    found = [config[key] for key in sorted(CONFIG_KEYS) if config.get(key) is not None]
    if not found:
        return _from_older_file(folder)
    if not all(isinstance(item, Mapping) for item in found):
        raise UnsupportedModel(_("The quantization_config of config.json is not a table of values."))
    if any(item != found[0] for item in found):
        raise UnsupportedModel(_("The configuration says twice how it is quantized, and contradicts itself."))
    values = _Values(found[0])
    # MLX writes neither its name nor a method.
    method = values.take("quant_method", None if "bits" not in found[0] else "mlx")
    if method == "gptq":
        return _gptq(values)
    if method == "awq":
        return _awq(values)
    if method == "compressed-tensors":
        return _compressed_tensors(values)
    if method == "mlx":
        return _mlx(values)
    if method == "mxfp4":
        values.finish("mxfp4")
        return PackedFormat("mxfp4", 4, GROUP)
    raise UnsupportedModel(
        _("The checkpoint is quantized by the method {method!r}, which is not understood.").format(method=method),
        _("Take one in full precision, or quantized as {titles} or GGUF.").format(titles=", ".join(_TITLES.values())),
    )


def _from_older_file(folder: Path) -> PackedFormat | None:
    """Before it was written to config.json, GPTQ had quantize_config.json and AWQ quant_config.json."""
    for name, reader in (("quantize_config.json", _gptq), ("quant_config.json", _awq)):
        try:
            values = json.loads((folder / name).read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise BadWeights(
                _("{name} cannot be read ({error}).").format(name=folder / name, error=error),
                _("Fetch the model again."),
            ) from error
        if not isinstance(values, dict):
            raise BadWeights(
                _("{name} does not hold a JSON object.").format(name=folder / name), _("Fetch the model again.")
            )
        newer = {"w_bit": "bits", "q_group_size": "group_size"} if reader is _awq else {}
        read = _Values({newer.get(str(key), str(key)): value for key, value in values.items()})
        read.take("quant_method", None)
        return reader(read)
    return None


class _Values:
    """A table whose keys are taken one by one; `finish` refuses what is left and says something."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def take(self, key: str, default: Any) -> Any:
        value = self._values.pop(key, None)
        return default if value is None else value

    def rest(self) -> dict[str, Any]:
        rest, self._values = self._values, {}
        return rest

    def finish(self, method: Method) -> None:
        for key, value in self._values.items():
            # What is null, false or empty asks for nothing.
            if key not in _INERT[method] and value not in (None, False, {}, []):
                raise UnsupportedModel(
                    _("{title}: {key} = {value!r} is not understood.").format(
                        title=_TITLES[method], key=key, value=value
                    )
                )

    def only(self, method: Method, key: str, allowed: tuple[Any, ...], default: Any) -> Any:
        """The value of `key`, which must be one of `allowed`."""
        value = self.take(key, default)
        if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            shown = _(" or ").join(map(repr, allowed))
            raise UnsupportedModel(
                _("{title}: {key} = {value!r} is not supported, only {shown}.").format(
                    title=_TITLES[method], key=key, value=value, shown=shown
                )
            )
        return value

    def group_size(self, method: Method, default: Any = None) -> int:
        value = self.take("group_size", default)
        if type(value) is not int or not (value == _WHOLE_ROW or value > 0):
            raise UnsupportedModel(
                _("{title}: group_size = {value!r} is not a group size.").format(title=_TITLES[method], value=value)
            )
        return value


def _gptq(values: _Values) -> PackedFormat:
    bits = values.only("gptq", "bits", (4, 8), None)
    group_size = values.group_size("gptq")
    values.only("gptq", "pack_dtype", ("int32",), "int32")
    version = values.only("gptq", "checkpoint_format", ("gptq", "gptq_v2"), values.take("format", "gptq"))
    for key in ("sym", "desc_act"):  # zero points and the groups of columns are stored in either case
        values.only("gptq", key, (True, False), False)
    values.finish("gptq")
    return PackedFormat("gptq", bits, group_size, zero_offset=1 if version == "gptq" else 0)


def _awq(values: _Values) -> PackedFormat:
    bits = values.only("awq", "bits", (4,), None)
    group_size = values.group_size("awq")
    values.only("awq", "zero_point", (True,), True)
    values.only("awq", "version", ("gemm", "GEMM"), "gemm")
    values.finish("awq")
    return PackedFormat("awq", bits, group_size)


def _compressed_tensors(values: _Values) -> PackedFormat:
    method: Method = "compressed-tensors"
    values.only(method, "format", ("pack-quantized",), None)
    groups = values.take("config_groups", {})
    if not isinstance(groups, Mapping) or len(groups) != 1:
        raise UnsupportedModel(
            _("{method}: config_groups = {groups!r} is not supported, only a single group.").format(
                method=method, groups=groups
            )
        )
    (group,) = groups.values()
    sparsity = _Values(values.take("sparsity_config", {}))
    sparsity.only(method, "format", ("dense",), "dense")
    values.finish(method)
    inner = _Values(group if isinstance(group, Mapping) else {})
    inner.take("targets", None)  # what is packed is seen from the tensors
    inner.only(method, "format", ("pack-quantized",), "pack-quantized")
    weights = inner.take("weights", {})
    inner.finish(method)  # among them the quantization of activations, which would change the results
    told = _Values(weights if isinstance(weights, Mapping) else {})
    told.only(method, "type", ("int",), None)
    strategy = told.only(method, "strategy", ("group", "channel"), None)
    # Zero points and the order of columns are seen from the tensors.
    told.only(method, "symmetric", (True, False), None)
    if (order := told.take("actorder", False)) not in (False, True, "static", "weight", "group", "dynamic"):
        raise UnsupportedModel(
            _("{method}: actorder = {order!r} is not understood.").format(method=method, order=order)
        )
    for key in ("observer", "observer_kwargs", "scale_dtype", "zp_dtype"):
        told.take(key, None)
    bits = told.only(method, "num_bits", (4, 8), None)
    group_size = told.group_size(method, _WHOLE_ROW) if strategy == "group" else _WHOLE_ROW
    told.take("group_size", None)
    told.finish(method)
    return PackedFormat(method, bits, group_size)


def _mlx(values: _Values) -> PackedFormat:
    values.only("mlx", "mode", ("affine",), "affine")
    bits = values.only("mlx", "bits", (4, 8), None)
    group_size = values.group_size("mlx")
    modules: dict[str, tuple[int, int]] = {}
    for module, own in values.rest().items():
        if own in (None, False, True):  # left in full precision, or as all others
            continue
        if not isinstance(own, Mapping):
            raise UnsupportedModel(_("MLX: {module} = {own!r} is not understood.").format(module=module, own=own))
        told = _Values(own)
        told.only("mlx", "mode", ("affine",), "affine")
        modules[module] = told.only("mlx", "bits", (4, 8), bits), told.group_size("mlx", group_size)
        told.finish("mlx")
    return PackedFormat("mlx", bits, group_size, modules=modules)
