"""Entries of the table of families: those that keep states in the place of keys and values in most of their layers."""

from __future__ import annotations

from localchat.model.family import GUESSING_LAYERS, Family, Fused

LFM2 = Family(
    "lfm2",
    "lfm2",
    spec={"qk_norm": "head"},
    reads=frozenset({"conv_L_cache", "layer_types", "full_attn_idxs", "block_auto_adjust_ff_dim"})
    | {"block_ffn_dim_multiplier", "block_multiple_of"},
    renamed={
        "norm_eps": "rms_norm_eps",
        "block_ff_dim": "intermediate_size",
        "tie_embedding": "tie_word_embeddings",
    },
    defaults={"tie_word_embeddings": True, "rope_theta": 1000000.0, "conv_L_cache": 3, "rms_norm_eps": 1e-5}
    | {"block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256},
    # What the first ones of the family say twice, or of how they were trained.
    inert_keys=frozenset({"block_dim", "block_norm_eps", "conv_dim", "conv_dim_out", "num_heads", "theta"})
    | {"block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init", "conv_use_xavier_init"},
    gguf_reads=frozenset({"shortconv.l_cache"}),
    names={
        "huggingface": {
            "attention_norm": "model.layers.{i}.operator_norm",
            "query_norm": "model.layers.{i}.self_attn.q_layernorm",
            "key_norm": "model.layers.{i}.self_attn.k_layernorm",
            "attention_output": "model.layers.{i}.self_attn.out_proj",
            "mlp_norm": "model.layers.{i}.ffn_norm",
            "gate": "model.layers.{i}.feed_forward.w1",
            "up": "model.layers.{i}.feed_forward.w3",
            "down": "model.layers.{i}.feed_forward.w2",
            "output_norm": "model.embedding_norm",
            "mix.input": "model.layers.{i}.conv.in_proj",
            "mix.convolution": "model.layers.{i}.conv.conv",
            "mix.output": "model.layers.{i}.conv.out_proj",
        },
        "gguf": {
            "output_norm": "token_embd_norm",
            "mix.input": "blk.{i}.shortconv.in_proj",
            "mix.convolution": "blk.{i}.shortconv.conv",
            "mix.output": "blk.{i}.shortconv.out_proj",
        },
    },
)
QWEN3_5 = Family(
    "qwen3_5_text",
    "qwen35",
    spec={"qk_norm": "head", "attention_gate": True},
    reads=frozenset({"linear_conv_kernel_dim", "linear_num_key_heads", "linear_num_value_heads", "layer_types"})
    | {"linear_key_head_dim", "linear_value_head_dim", "full_attention_interval", "partial_rotary_factor"}
    | {"attn_output_gate"},
    defaults={"head_dim": 256, "partial_rotary_factor": 0.25, "linear_conv_kernel_dim": 4, "rms_norm_eps": 1e-6}
    | {"linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128}
    | {"linear_value_head_dim": 128, "full_attention_interval": 4, "attn_output_gate": True},
    # Of what guesses several tokens at once, which is left out, and of memory for training.
    inert_keys=frozenset({"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mamba_ssm_dtype"})
    | {"mlp_only_layers"},
    gguf_reads=frozenset({"ssm.conv_kernel", "ssm.state_size", "ssm.group_count", "ssm.time_step_rank"})
    | {"ssm.inner_size", "full_attention_interval", "rope.dimension_count", "rope.dimension_sections"}
    | {"attention.recurrent_layers", GUESSING_LAYERS},
    norm_offset=1.0,
    names={
        "huggingface": {
            "mix.input": "model.layers.{i}.linear_attn.in_proj_qkv",
            "mix.convolution": "model.layers.{i}.linear_attn.conv1d",
            "mix.gates": "model.layers.{i}.linear_attn.in_proj_z",
            "mix.rates": "model.layers.{i}.linear_attn.in_proj_b",
            "mix.fading": "model.layers.{i}.linear_attn.in_proj_a",
            "mix.fading_bias": "model.layers.{i}.linear_attn.dt_bias",
            "mix.speeds": "model.layers.{i}.linear_attn.A_log",
            "mix.norm_of_heads": "model.layers.{i}.linear_attn.norm",
            "mix.output": "model.layers.{i}.linear_attn.out_proj",
        },
        "gguf": {
            "mlp_norm": "blk.{i}.post_attention_norm",
            "mix.input": "blk.{i}.attn_qkv",
            "mix.convolution": "blk.{i}.ssm_conv1d",
            "mix.gates": "blk.{i}.attn_gate",
            "mix.rates": "blk.{i}.ssm_beta",
            "mix.fading": "blk.{i}.ssm_alpha",
            "mix.fading_bias": "blk.{i}.ssm_dt.bias",
            "mix.speeds": "blk.{i}.ssm_a",
            "mix.norm_of_heads": "blk.{i}.ssm_norm",
            "mix.output": "blk.{i}.ssm_out",
        },
    },
    fused={
        "huggingface": (Fused("model.layers.{i}.self_attn.q_proj", ("query", "attention_gate"), by_head=True),),
        "gguf": (Fused("blk.{i}.attn_q", ("query", "attention_gate"), by_head=True),),
    },
    spellings=(("model.", "model.language_model."), ("model.", "language_model.model.")),
    wrapper="qwen3_5",
    spare_tensors=r"(model\.)?(visual|mtp)\..*",
)
